"""The benchmark: for each concept and seed every method is fitted, detects, and steers; what is done is kept."""

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from rich.progress import Progress

from mmsteer.adapters import AnyAdapter
from mmsteer.atomic import append_whole
from mmsteer.axbench.concepts import Concept
from mmsteer.axbench.detection import auroc, best_threshold, f1
from mmsteer.axbench.judges import Rater, Rating
from mmsteer.axbench.lora import train_lora, with_lora
from mmsteer.axbench.material import Material
from mmsteer.axbench.methods import BASELINES, FINDERS, METHODS, Budget, Found
from mmsteer.claim import claim
from mmsteer.errors import DataError, EvalError
from mmsteer.json_lines import parse_json
from mmsteer.steering import Steering, steer
from mmsteer.types import Chat, Sample, Sampling, Site

LINES = "results.jsonl"
ORDER = "Answer in a way that is about {concept}, whatever you are asked, and mention it."
"""The system prompt of the baseline."""


@dataclass(frozen=True)
class Settings:
    """What is compared, and at what cost.

    Attributes:
        site: Where concepts are read and written, such as `text.14`.
        methods: Names among `METHODS`.
        factors: What is tried: multiples of the largest reading, or of what was trained.
        prompts: Instructions of each concept; half of them choose the factor, the others are reported.
        tokens: Most of an answer.
        examples: Most training examples of each side.
        steps: Of every method that is trained.
        train_batch: Answers a step.
        batch: Answers that are generated together.
        seeds: Repetitions, each with other examples, instructions, starts and draws.
        dictionary: Of sparse features, for `sae-a`.
        temperature: Of the answers.
    """

    site: str
    methods: tuple[str, ...]
    factors: tuple[float, ...]
    prompts: int
    tokens: int
    examples: int = 72
    steps: int = 100
    train_batch: int = 6
    batch: int = 32
    seeds: tuple[int, ...] = (0,)
    dictionary: str | None = None
    temperature: float = 1.0

    def __post_init__(self) -> None:
        unknown = [name for name in self.methods if name not in METHODS]
        if unknown:
            raise DataError(f"no method {unknown[0]!r}; choose from {', '.join(METHODS)}")
        if self.prompts < 2 or self.prompts % 2:
            raise DataError(f"{self.prompts} prompts: give an even number, half to choose by and half to report")
        if "sae-a" in self.methods and self.dictionary is None:
            raise DataError("sae-a needs a dictionary, such as bundled:text; name one, or leave the method out")


@dataclass(frozen=True, eq=False)
class Bench:
    """A model, instructions and a judge.

    Attributes:
        adapter: The model.
        instructions: What steered models are asked.
        settings: What is compared.
        rater: Who rates answers.
        folder: Where everything is kept.
    """

    adapter: AnyAdapter
    instructions: Sequence[str]
    settings: Settings
    rater: Rater
    folder: Path

    def cell(self, concept: Concept, seed: int) -> dict[str, Any]:
        """Everything about one concept and seed, as plain JSON.

        Args:
            concept: The concept.
            seed: The seed.
        """
        settings = self.settings
        material = Material(self.adapter, Site.parse(settings.site), concept, settings.examples, seed)
        budget = Budget(settings.steps, settings.train_batch, settings.dictionary, self.folder / "trained", seed)
        found, seconds = self._find(material, budget)
        asked = random.Random(f"{seed}:{concept.id}").sample(list(self.instructions), settings.prompts)
        samples = [Sample(str(at), text) for at, text in enumerate(asked)]
        half = settings.prompts // 2
        makers = self._makers(material, found, budget)
        chosen = self._chosen(concept, makers, samples[:half], seed)
        told = self._rated(
            concept,
            {name: [(factor, makers[name](factor))] for name, factor in chosen.items()},
            samples[half:],
            seed + 1,
        )
        lines = {
            name: {
                "factor": chosen[name],
                "answers": [_plain(sample, rating) for sample, rating in told[name][chosen[name]]],
                "detection": _detection(material, found[name]) if name in found else None,
                "note": found[name].note if name in found else "",
                "seconds": seconds.get(name),
            }
            for name in settings.methods
        }
        return {"concept": concept.id, "text": concept.text, "seed": seed, "methods": lines}

    def _find(self, material: Material, budget: Budget) -> tuple[dict[str, Found], dict[str, float]]:
        found, seconds = {}, {}
        for name in self.settings.methods:
            if name in FINDERS:
                start = time.perf_counter()
                found[name] = FINDERS[name](material, budget)
                seconds[name] = round(time.perf_counter() - start, 2)
        return found, seconds

    def _makers(self, material: Material, found: Mapping[str, Found], budget: Budget) -> "dict[str, Make]":
        makers: dict[str, Make] = {name: _steered(one) for name, one in found.items()}
        if "prompt" in self.settings.methods:
            makers["prompt"] = lambda _: Run(order=ORDER.format(concept=material.concept.text))
        if "lora" in self.settings.methods:
            weights = train_lora(self.adapter, material.positive, budget.steps, budget.batch, budget.seed)
            makers["lora"] = lambda _: Run(lora=weights)
        return makers

    def _chosen(
        self, concept: Concept, makers: "Mapping[str, Make]", samples: Sequence[Sample], seed: int
    ) -> dict[str, float]:
        """The factor of each method with the highest harmonic mean; the smaller of equal ones."""
        tried = {
            name: [(factor, make(factor)) for factor in self.settings.factors]
            for name, make in makers.items()
            if name not in BASELINES
        }
        told = self._rated(concept, tried, samples, seed)
        return {name: _best(told[name]) if name in told else 1.0 for name in makers}

    def _rated(
        self,
        concept: Concept,
        runs: Mapping[str, Sequence[tuple[float, "Run"]]],
        samples: Sequence[Sample],
        seed: int,
    ) -> dict[str, dict[float, list[tuple[Sample, Rating]]]]:
        """Answers under every run, rated: by method and factor."""
        cells = [(name, factor, run) for name, some in runs.items() for factor, run in some]
        rows = [(run, sample) for (_, _, run), sample in product(cells, samples)]
        made = self._generated(rows, [seed * 1000 + at for _ in cells for at in range(len(samples))])
        ratings = self.rater.rate(concept, made)
        pairs = iter(list(zip(made, ratings, strict=True)))
        told: dict[str, dict[float, list[tuple[Sample, Rating]]]] = {name: {} for name in runs}
        for name, factor, _ in cells:
            told[name][factor] = [next(pairs) for _ in samples]
        return told

    def _generated(self, rows: Sequence[tuple["Run", Sample]], seeds: Sequence[int]) -> list[Sample]:
        """Answers, each to the plain instruction, whatever the model was told besides; rows of LoRA by themselves."""
        made: dict[int, Sample] = {}
        for with_weights in (False, True):
            places = [at for at, (run, _) in enumerate(rows) if (run.lora is not None) == with_weights]
            for start in range(0, len(places), self.settings.batch):
                some = places[start : start + self.settings.batch]
                made |= zip(some, self._batch([rows[at] for at in some], [seeds[at] for at in some]), strict=True)
        return [replace(rows[at][1], output=made[at].output) for at in range(len(rows))]

    def _batch(self, rows: Sequence[tuple["Run", Sample]], seeds: Sequence[int]) -> list[Sample]:
        sampling = Sampling(tokens=self.settings.tokens, temperature=self.settings.temperature)
        samples = [run.asked(sample) for run, sample in rows]
        weights = rows[0][0].lora
        if weights is not None:
            with with_lora(self.adapter, weights):
                return self.adapter.generate(samples, sampling, seeds)
        steerings = [run.steering for run, _ in rows]
        if not any(one.attributes for one in steerings):
            return self.adapter.generate(samples, sampling, seeds)
        with steer(self.adapter, steerings):
            return self.adapter.generate(samples, sampling, seeds)


@dataclass(frozen=True, eq=False)
class Run:
    """How a model is brought to a concept.

    Attributes:
        steering: By steering.
        order: By a system prompt.
        lora: By weights.
    """

    steering: Steering = field(default_factory=Steering)
    order: str | None = None
    lora: Mapping[str, Any] | None = None

    def asked(self, sample: Sample) -> Sample:
        """The instruction as this run gives it.

        Args:
            sample: The instruction.
        """
        if self.order is None:
            return sample
        turns = ({"role": "system", "content": self.order}, {"role": "user", "content": sample.text})
        return replace(sample, prompt=Chat(turns))


Make = Callable[[float], Run]
"""From a factor to what runs at it."""


def unsteered(adapter: AnyAdapter, instructions: Sequence[str], settings: Settings) -> list[Sample]:
    """Unsteered answers to all instructions, in batches: what an offline judge sets its marks by.

    Args:
        adapter: The model.
        instructions: What is asked.
        settings: How answers are sampled.
    """
    samples = [Sample(str(at), text) for at, text in enumerate(instructions)]
    sampling = Sampling(tokens=settings.tokens, temperature=settings.temperature)
    made: list[Sample] = []
    for start in range(0, len(samples), settings.batch):
        some = samples[start : start + settings.batch]
        made += adapter.generate(some, sampling, range(start, start + len(some)))
    return made


def run(
    bench: Bench, concepts: Sequence[Concept], settings: Mapping[str, Any], *, progress: bool = False
) -> list[dict[str, Any]]:
    """Run the benchmark, or what is left of it.

    Args:
        bench: The model, instructions and judge.
        concepts: The concepts.
        settings: What else the results depend on, such as the data.
        progress: Show a bar.

    Returns:
        A record for each concept and seed, as they stand in `results.jsonl`.

    Raises:
        DataError: The folder holds another run.
        EvalError: There are fewer instructions than a concept takes.
    """
    if len(bench.instructions) < bench.settings.prompts:
        raise EvalError(f"{len(bench.instructions)} instructions; a concept takes {bench.settings.prompts}")
    told = json.loads(json.dumps({**settings, **asdict(bench.settings), "judge": bench.rater.name}))
    claim(bench.folder, "axbench.json", told, "run of AxBench", DataError)
    kept = Kept(bench.folder / LINES)
    cells = [(concept, seed) for seed in bench.settings.seeds for concept in concepts]
    with Progress(disable=not progress) as bar:
        task = bar.add_task("concepts", total=len(cells))
        for concept, seed in cells:
            bar.update(task, description=f"concept {concept.id}: {concept.text[:40]}")
            if (concept.id, seed) not in kept.done:
                kept.add(bench.cell(concept, seed))
            bar.advance(task)
    return [kept.done[concept.id, seed] for concept, seed in cells]


class Kept:
    """Finished records, a line each.

    Args:
        path: The file, which is made where it is missing.

    Attributes:
        done: By concept and seed.
    """

    def __init__(self, path: Path) -> None:
        self.done: dict[tuple[int, int], dict[str, Any]] = {}
        self._path = path
        if not path.exists():
            path.touch()
        data = path.read_bytes()
        # A line that a crash cut off is written again.
        self._size = data.rfind(b"\n") + 1
        for number, line in enumerate(data[: self._size].decode().split("\n")[:-1], 1):
            self._note(parse_json(line, f"{path}:{number}", DataError, numbered=False))

    def add(self, record: dict[str, Any]) -> None:
        """Keep a record.

        Args:
            record: Of a concept and seed.
        """
        line = (json.dumps(record, allow_nan=False) + "\n").encode()
        append_whole(self._path, self._size, line)
        self._size += len(line)
        self._note(record)

    def _note(self, record: dict[str, Any]) -> None:
        self.done[record["concept"], record["seed"]] = record


def _detection(material: Material, found: Found) -> dict[str, float]:
    states, positive = material.tested
    scores = [found.score(one) for one in states]
    sides = material.states
    trained = [found.score(one) for side in sides for one in side]
    of = [True] * len(sides[0]) + [False] * len(sides[1])
    return {"auroc": auroc(scores, positive), "f1": f1(scores, positive, best_threshold(trained, of))}


def _plain(sample: Sample, rating: Rating) -> dict[str, Any]:
    return {"prompt": sample.text, "answer": str(sample.output), **asdict(rating)}


def _steered(found: Found) -> Make:
    return lambda factor: Run(found.steering(factor))


def _best(told: Mapping[float, Sequence[tuple[Sample, Rating]]]) -> float:
    """The factor of the highest mean; the smallest of equal ones."""
    means = {factor: _mean(told[factor]) for factor in sorted(told)}
    return max(means, key=lambda factor: means[factor])


def _mean(pairs: Sequence[tuple[Sample, Rating]]) -> float:
    told = [rating.overall for _, rating in pairs if rating.overall is not None]
    return sum(told) / len(told) if told else 0.0
