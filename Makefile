# Two commands on a fresh machine with Python 3.11+, git and make: `make demo` and `make test`.
PYTHON ?= python3
UV ?= $(shell command -v uv || echo .cache/uv/bin/uv)
export HF_HUB_OFFLINE = 1
export UV_FROZEN = 1

OLDEST = 5.4.0

.PHONY: demo test test-slow test-harness docs release test-audiocraft test-oldest fuzz oracles bench clean

demo: .venv/demo  ## steer the bundled models: notes on a schedule, fewer imagined objects, a topic in answers, a feature of a dictionary in place of an instruction; the proof beside it
	.venv/bin/mmsteer run demo
	.venv/bin/mmsteer run demo-vision
	.venv/bin/mmsteer run examples/topic/recipe.yaml
	.venv/bin/mmsteer run examples/seed-methods/sea.yaml

test: .venv/test  ## lint, types, import order, doctests and tests
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	OMP_NUM_THREADS=1 .venv/bin/pytest -q -n 2 --dist loadfile

test-slow: .venv/test  ## tests that take minutes, of every command with a dictionary of sae-lens on bundled:text, too
	.venv/bin/pytest -q --slow -m slow

FUZZ_SECONDS ?= 300
FUZZ_SEED ?= 0
fuzz: .venv/test  ## damaged files, strange texts and kills, FUZZ_SECONDS for each class of them
	FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_SEED=$(FUZZ_SEED) OMP_NUM_THREADS=1 .venv/bin/pytest -q tests/fuzz

# An environment of its own: harnesses bring a hundred packages.
test-harness: .venv-harness/test  ## models for evaluation harnesses, inside the harnesses; the same tokens there, in server and studio; TRL
	OMP_NUM_THREADS=1 .venv-harness/bin/pytest -q tests/harness tests/test_same_tokens.py tests/test_trainers.py

# An environment of its own: what audiocraft asks for is of no use to anybody else.
test-audiocraft: .venv-audiocraft/test  ## the tests of audiocraft's MusicGen, which skip in the ordinary environment
	OMP_NUM_THREADS=1 .venv-audiocraft/bin/pytest -q tests/audiocraft

# What that release cannot do skips with a reason (tests/releases.py).
test-oldest: .venv-oldest/test  ## adapters, steering and contrastive decoding in the oldest transformers of the range, in some ten minutes
	.venv-oldest/bin/python -c 'import transformers; assert transformers.__version__ == "$(OLDEST)", transformers.__version__'
	OMP_NUM_THREADS=1 .venv-oldest/bin/pytest -q -n 2 --dist loadfile tests/adapters tests/steering tests/contrastive

docs: .venv-docs/docs  ## the site, strictly: dist/site; what it names in the library is read, not imported
	.venv-docs/bin/mkdocs build --strict --quiet

release: .venv/test  ## build and check what is uploaded: wheel and sdist in dist/, each under 60 MB, the wheel tried in an environment of its own
	rm -rf dist .venv-release
	$(UV) build
	$(UV) tool run twine check --strict dist/mmsteer-*
	test -z "$$(find dist -name "mmsteer-*" -size +60M)"
	$(UV) venv --quiet .venv-release
	$(UV) pip install --quiet --python .venv-release dist/*.whl
	cd dist && ../.venv-release/bin/mmsteer --version && ../.venv-release/bin/python -m mmsteer recipes list

oracles: .venv/test  ## compare the numbers of commands with those kept in tests/oracles, in 10 to 15 minutes
	.venv/bin/python tests/oracles/make.py --check

bench: .venv/test  ## speed beside peers, tables in runs/benchmarks; peers that are not installed are named as such
	OMP_NUM_THREADS=1 .venv/bin/python benchmarks/steering.py --out runs/benchmarks
	OMP_NUM_THREADS=1 .venv/bin/python benchmarks/first_token.py --out runs/benchmarks
	OMP_NUM_THREADS=1 .venv/bin/python benchmarks/generation.py --out runs/benchmarks
	OMP_NUM_THREADS=1 .venv/bin/python benchmarks/rfm.py --out runs/benchmarks
	OMP_NUM_THREADS=1 .venv/bin/python benchmarks/reading.py --out runs/benchmarks
	OMP_NUM_THREADS=1 .venv/bin/python benchmarks/dictionaries.py --only speed --out runs/benchmarks

.venv/demo: $(UV) uv.lock pyproject.toml
	$(UV) sync --no-default-groups --group text --inexact
	touch $@

.venv/test: $(UV) uv.lock pyproject.toml
	$(UV) sync --extra soundfont --extra clip --group text --inexact
	touch $@

.venv-audiocraft/test: $(UV) uv.lock pyproject.toml
	UV_PROJECT_ENVIRONMENT=.venv-audiocraft $(UV) sync --extra audiocraft --inexact
	touch $@

.venv-docs/docs: $(UV) pyproject.toml
	$(UV) venv --quiet --clear .venv-docs
	$(UV) pip install --quiet --python .venv-docs --group docs
	touch $@

.venv-harness/test: $(UV) uv.lock pyproject.toml
	UV_PROJECT_ENVIRONMENT=.venv-harness $(UV) sync --group text --inexact
	$(UV) pip install --python .venv-harness/bin/python 'lm_eval>=0.4.13' 'inspect-ai>=0.3.285' 'lmms-eval>=0.7.3' decord 'gradio>=6' 'trl>=1.16' 'wandb>=0.31'
	touch $@

.venv-oldest/test: $(UV) uv.lock pyproject.toml
	UV_PROJECT_ENVIRONMENT=.venv-oldest $(UV) sync --extra clip --inexact
	# Without our configuration, whose override of what asks for transformers would count for this as well.
	$(UV) pip install --no-config --python .venv-oldest/bin/python transformers==$(OLDEST)
	touch $@

.cache/uv/bin/uv:
	$(PYTHON) -m venv .cache/uv
	.cache/uv/bin/pip install --quiet uv

clean:
	rm -rf dist .venv .venv-docs .venv-release .venv-harness .venv-audiocraft .venv-oldest .cache
