"""Prompts in the words of the music world, played and judged against the target of each condition."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mmsteer.adapters import MusicgenAdapter
from mmsteer.eval.attributes import read_file
from mmsteer.eval.audio import read_audio
from mmsteer.eval.sound_file import to_flac
from mmsteer.recipes.folder import RunFolder
from mmsteer.recipes.generation import generate_steered
from mmsteer.recipes.music.data import Prompt
from mmsteer.recipes.music.schema import MusicRecipe
from mmsteer.recipes.music.scoring import ADHERENCE, adherence, metrics, needed
from mmsteer.recipes.music.traces import condition_traces
from mmsteer.recipes.plan import Planned
from mmsteer.recipes.scoring import Line, Scored
from mmsteer.schedules import Timeline
from mmsteer.steering import Attribute, Steering
from mmsteer.types import Sample, Sampling


@dataclass(frozen=True, eq=False)
class MusicTask:
    """Prompts are played, and clips are scored.

    Attributes:
        recipe: How.
        adapter: The model.
        items: The prompts.
    """

    ITEM: ClassVar[str] = "prompt"
    OWN: ClassVar[Mapping[str, Any]] = {"target": {}}
    recipe: MusicRecipe
    adapter: MusicgenAdapter
    items: Sequence[Prompt]

    @property
    def batch(self) -> int:
        """Prompts that are played together."""
        return self.recipe.generate.batch

    @property
    def guidance(self) -> float:
        """Scale of classifier-free guidance."""
        return self.recipe.generate.guidance

    @property
    def _steps(self) -> int:
        return self.adapter.frames(self.recipe.generate.seconds)

    def check(self) -> None:
        """Refuse a duration that the model cannot play."""
        self.adapter.frames(self.recipe.generate.seconds)

    def check_attribute(self, item: Attribute) -> None:
        """Refuse a schedule that makes no curve over the clip.

        Args:
            item: What is pushed.
        """
        item.schedule.values(Timeline(self._steps, self.adapter.rate, len(item.written)))

    def describe(self, folder: RunFolder) -> None:
        """Write `prompts.json`.

        Args:
            folder: Where to.
        """
        folder.write("prompts.json", [vars(prompt) | {"truth": dict(prompt.truth)} for prompt in self.items])

    def make(
        self, planned: Planned, steering: Steering, items: Sequence[Prompt]
    ) -> tuple[dict[str, bytes], dict[str, Any]]:
        """Play a batch.

        Args:
            planned: The condition.
            steering: What is applied.
            items: The prompts.
        """
        how = self.recipe.generate
        sampling = Sampling(seconds=how.seconds, guidance=how.guidance, temperature=how.temperature, top_k=how.top_k)
        texts, seeds = [one.text for one in items], [one.seed for one in items]
        made, receipt = generate_steered(self.adapter, steering, texts, sampling, seeds)
        rate = self.adapter.sample_rate
        return {_audio(planned, item): to_flac(one.output, rate) for item, one in zip(items, made, strict=True)}, {
            "receipt": receipt
        }

    def line(self, path: Path, planned: Planned, item: Prompt, output: None) -> dict[str, Any]:
        """Listen to a clip.

        Args:
            path: The run folder.
            planned: The condition.
            item: The prompt.
            output: Nothing; the audio file holds it all.
        """
        evaluate = self.recipe.evaluate
        readings = read_file(path / _audio(planned, item), needed(evaluate))
        return {
            "text": item.text,
            "seed": item.seed,
            "target": dict(planned.own["target"]),
            "audio": _audio(planned, item),
            "readings": readings,
            "adherence": adherence(readings, item.truth) if ADHERENCE in evaluate else None,
        }

    def contexts(self, path: Path, planned: Planned, items: Sequence[Prompt], outputs: Sequence[None]) -> list[Sample]:
        """Unsteered clips, mono.

        Args:
            path: The run folder.
            planned: The unsteered condition.
            items: Its first prompts.
            outputs: Nothing.
        """
        return [
            Sample(str(prompt.index), prompt.text, output=read_audio(path / _audio(planned, prompt)).samples)
            for prompt in items
        ]

    def scores(self, members: Sequence[Scored]) -> dict[str, Any]:
        """Means over clips, beside their controls.

        Args:
            members: Finished conditions.
        """
        return {"metrics": metrics(members)}

    def traces(self, steering: Steering, lines: Sequence[Line], unsteered: Sequence[Line] | None) -> dict[str, Any]:
        """Strength and played notes over time.

        Args:
            steering: What was applied.
            lines: The condition's clips.
            unsteered: Those of the unsteered run.
        """
        return condition_traces(steering, lines, unsteered, Timeline(self._steps, self.adapter.rate))


def _audio(planned: Planned, prompt: Prompt) -> str:
    """Where a clip lies in the run folder."""
    return f"audio/{planned.folder}/{prompt.index:02d}.flac"
