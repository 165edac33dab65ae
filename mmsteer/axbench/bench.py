"""The benchmark: for each concept and seed every method is fitted, detects, and steers; what is done is kept."""

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from rich.progress import Progress

from mmsteer.adapters import AnyAdapter
from mmsteer.axbench.answers import Make, Run, generated, prompted
from mmsteer.axbench.concepts import Concept
from mmsteer.axbench.detection import auroc, best_threshold, f1
from mmsteer.axbench.judges import Rater, Rating
from mmsteer.axbench.kept import Kept
from mmsteer.axbench.lora import train_lora
from mmsteer.axbench.material import Material
from mmsteer.axbench.methods import BASELINES, FINDERS, METHODS, Budget, Found
from mmsteer.axbench.results import AXES
from mmsteer.errors import DataError, EvalError
from mmsteer.eval.text import harmonic_mean
from mmsteer.folders import KeptLines, claimed
from mmsteer.types import Positions, Sample, Sampling, Site
from mmsteer.workers import Held, Here, Workers


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
        positions: The tokens that are steered, in training too, such as `all - first`: the paper leaves out the first.
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
    positions: str = "all"

    @property
    def sampling(self) -> Sampling:
        """How answers are drawn."""
        return Sampling(tokens=self.tokens, temperature=self.temperature)

    def __post_init__(self) -> None:
        unknown = [name for name in self.methods if name not in METHODS]
        if unknown:
            raise DataError(f"no method {unknown[0]!r}; choose from {', '.join(METHODS)}")
        Positions(self.positions)  # refuses what cannot be read
        if self.prompts < 2 or self.prompts % 2:
            raise DataError(f"{self.prompts} prompts: give an even number, half to choose by and half to report")
        if "sae-a" in self.methods and self.dictionary is None:
            raise DataError("sae-a needs a dictionary, such as bundled:text; name one, or leave the method out")


def _fits_all(concept: Concept, sample: Sample) -> bool:
    del concept, sample
    return True


@dataclass(frozen=True, eq=False)
class Bench:
    """A model, instructions and a judge.

    Attributes:
        adapter: The model.
        instructions: What steered models are asked, each of its own id.
        settings: What is compared.
        rater: Who rates answers.
        folder: Where everything is kept; None for workers, which keep nothing.
        sampling: How answers are drawn; None as the settings say.
        fits: Whether an instruction may be asked for a concept; of images, those that do not show it already.
    """

    adapter: AnyAdapter
    instructions: Sequence[Sample]
    settings: Settings
    rater: Rater
    folder: Path | None
    sampling: Sampling | None = None
    fits: Callable[[Concept, Sample], bool] = _fits_all

    def cell(self, concept: Concept, seed: int) -> dict[str, Any]:
        """Everything about one concept and seed, as plain JSON.

        Args:
            concept: The concept.
            seed: The seed.
        """
        settings = self.settings
        site, steered = Site.parse(settings.site), Positions(settings.positions)
        material = Material(self.adapter, site, concept, settings.examples, seed, steered)
        budget = Budget(
            settings.steps, settings.train_batch, settings.dictionary, self.folder and self.folder / "trained", seed
        )
        found, seconds = self._find(material, budget)
        samples = random.Random(f"{seed}:{concept.id}").sample(self._asked(concept), settings.prompts)
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

    def _asked(self, concept: Concept) -> list[Sample]:
        """What may be asked for a concept.

        Raises:
            EvalError: It is too little.
        """
        found = [one for one in self.instructions if self.fits(concept, one)]
        if len(found) < self.settings.prompts:
            raise EvalError(f"{len(found)} instructions for {concept.text!r}; a concept takes {self.settings.prompts}")
        return found

    def _find(self, material: Material, budget: Budget) -> tuple[dict[str, Found], dict[str, float]]:
        found, seconds = {}, {}
        for name in self.settings.methods:
            if name in FINDERS:
                start = time.perf_counter()
                found[name] = FINDERS[name](material, budget)
                seconds[name] = round(time.perf_counter() - start, 2)
        return found, seconds

    def _makers(self, material: Material, found: Mapping[str, Found], budget: Budget) -> dict[str, Make]:
        makers: dict[str, Make] = {name: _steered(one) for name, one in found.items()}
        if "prompt" in self.settings.methods:
            makers["prompt"] = lambda _: prompted(material.concept)
        if "lora" in self.settings.methods:
            weights = train_lora(self.adapter, material.positive, budget.steps, budget.batch, budget.seed)
            makers["lora"] = lambda _: Run(lora=weights)
        return makers

    def _chosen(
        self, concept: Concept, makers: Mapping[str, Make], samples: Sequence[Sample], seed: int
    ) -> dict[str, float]:
        """The factor of each method with the highest score."""
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
        runs: Mapping[str, Sequence[tuple[float, Run]]],
        samples: Sequence[Sample],
        seed: int,
    ) -> dict[str, dict[float, list[tuple[Sample, Rating]]]]:
        """Answers under every run, rated: by method and factor."""
        cells = [(name, factor, run) for name, some in runs.items() for factor, run in some]
        rows = [(run, sample) for (_, _, run), sample in product(cells, samples)]
        seeds = [seed * 1000 + at for _ in cells for at in range(len(samples))]
        made = generated(self.adapter, rows, seeds, self.sampling or self.settings.sampling, self.settings.batch)
        ratings = self.rater.rate(concept, made)
        pairs = iter(list(zip(made, ratings, strict=True)))
        told: dict[str, dict[float, list[tuple[Sample, Rating]]]] = {name: {} for name in runs}
        for name, factor, _ in cells:
            told[name][factor] = [next(pairs) for _ in samples]
        return told


BENCH = "axbench"
"""Name of the benchmark among the tasks that workers have."""


@dataclass(frozen=True, eq=False)
class ConceptRecord:
    """Everything about one concept and seed.

    Attributes:
        concept: The concept.
        seed: The seed.
    """

    concept: Concept
    seed: int

    def do(self, held: Held) -> dict[str, Any]:
        """The record."""
        bench: Bench = held.task(BENCH)
        return bench.cell(self.concept, self.seed)

    def __str__(self) -> str:
        return f"concept {self.concept.id}: {self.concept.text[:40]}"


def run(
    bench: Bench,
    concepts: Sequence[Concept],
    settings: Mapping[str, Any],
    *,
    workers: Workers | None = None,
    progress: bool = False,
) -> list[dict[str, Any]]:
    """Run the benchmark, or what is left of it.

    Args:
        bench: The model, instructions and judge.
        concepts: The concepts.
        settings: What else the results depend on, such as the data.
        workers: What does the concepts, each with a benchmark of its own named `BENCH`; None for this process.
        progress: Show a bar.

    Returns:
        A record for each concept and seed, as they stand in `results.jsonl`.

    Raises:
        DataError: The folder holds something else, or another process runs there.
        EvalError: There are fewer instructions than a concept takes.
    """
    if len(bench.instructions) < bench.settings.prompts:
        raise EvalError(f"{len(bench.instructions)} instructions; a concept takes {bench.settings.prompts}")
    assert bench.folder is not None
    told = json.loads(json.dumps({**settings, **asdict(bench.settings), "judge": bench.rater.name}))
    cells = [(concept, seed) for seed in bench.settings.seeds for concept in concepts]
    by = workers or Here(Held(bench.adapter, {BENCH: bench}))
    with (
        claimed(bench.folder, "axbench.json", told, "run of AxBench", DataError) as digests,
        Progress(disable=not progress) as bar,
    ):
        kept = Kept(KeptLines(digests, "results.jsonl"))
        left = [ConceptRecord(concept, seed) for concept, seed in cells if (concept.id, seed) not in kept.done]
        task = bar.add_task("concepts", total=len(cells), completed=len(cells) - len(left))
        for piece, record in by.map(left):
            kept.add(record)
            bar.update(task, description=str(piece), advance=1)
        return kept.arranged([(concept.id, seed) for concept, seed in cells])


def _detection(material: Material, found: Found) -> dict[str, float]:
    states, positive = material.tested
    scores = [found.score(one) for one in states]
    sides = material.states
    trained = [found.score(one) for side in sides for one in side]
    of = [True] * len(sides[0]) + [False] * len(sides[1])
    return {"auroc": auroc(scores, positive), "f1": f1(scores, positive, best_threshold(trained, of))}


def _plain(sample: Sample, rating: Rating) -> dict[str, Any]:
    answer = sample.output if isinstance(sample.output, str) else ""
    return {"prompt": sample.text, "answer": answer, **asdict(rating)}


def _steered(found: Found) -> Make:
    return lambda factor: Run(found.steering(factor))


def _best(told: Mapping[float, Sequence[tuple[Sample, Rating]]]) -> float:
    """The factor of the highest mean; the smallest of equal ones."""
    return max(sorted(told), key=lambda factor: _worth(told[factor]))


def _worth(pairs: Sequence[tuple[Sample, Rating]]) -> tuple[float, float]:
    """The mean score, and behind it the score of the mean ratings: few answers have all three, and most means are 0."""
    told = [rating for _, rating in pairs if rating.overall is not None]
    if not told:
        return 0.0, 0.0
    means = [sum(getattr(one, axis) for one in told) / len(told) for axis in AXES]
    return sum(one.overall or 0.0 for one in told) / len(told), harmonic_mean(means) or 0.0
