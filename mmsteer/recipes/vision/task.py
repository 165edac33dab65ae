"""Pictures with what they show, described and asked about, and scored against that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmsteer.errors import RecipeError
from mmsteer.eval.chair import Chair
from mmsteer.eval.open_nouns import open_synonyms
from mmsteer.recipes.beside import Count
from mmsteer.recipes.plan import Planned
from mmsteer.recipes.rows.task import LOOKED_AT, Item, RowsTask
from mmsteer.recipes.scoring import Line, Scored
from mmsteer.recipes.vision.pictures import Picture
from mmsteer.recipes.vision.schema import Ask, Captions
from mmsteer.recipes.vision.scoring import named_objects, scores
from mmsteer.steering import Steering
from mmsteer.types import Sample


@dataclass(frozen=True, eq=False)
class AskTask(RowsTask):
    """Pictures are described and asked about.

    Attributes:
        ask: What is asked about each.
        metrics: What a picture adds to the two sums of each metric.
    """

    ask: Ask = field(kw_only=True)
    metrics: Mapping[str, Count] = field(kw_only=True)

    def check(self) -> None:
        """Refuse more tokens than the model was made for, or words it cannot tell apart.

        Raises:
            RecipeError: It sees no images, or was made for fewer tokens.
        """
        if not self.adapter.sees:
            raise RecipeError("this model sees no images, and the recipe asks about images; take one that does")
        if self.steps > self.adapter.max_steps:
            raise RecipeError(
                f"{self.steps} tokens are asked for, this model was made for {self.adapter.max_steps} with the prompt"
            )
        pope = self.ask.pope
        if pope and pope.answer == "logits":
            self._check_words(pope.words)

    def check_own(self, own: Mapping[str, Any]) -> None:
        """Refuse answers that the model cannot tell apart.

        Raises:
            AdapterError: They begin with the same token.
        """
        if "verify" in own["decode"]:
            self._check_words(own["decode"]["verify"]["words"])

    def _check_words(self, words: Sequence[str]) -> None:
        shown = self.items[0].row.sample(self.adapter)
        self.adapter.next_word([replace(shown, prompt="a")], words)

    def make(self, planned: Planned, steering: Steering, items: Sequence[Item]) -> tuple[dict[str, bytes], Line]:
        """Ask about a batch."""
        from mmsteer.recipes.vision.asking import ask_all

        decode = {name: _given(options) for name, options in planned.own["decode"].items()}
        applied = self._applied(planned, steering, items)
        outputs, receipt = ask_all(self.adapter, applied, decode, items, self.ask, self.batch, self._after)
        return {}, {"receipt": receipt, "outputs": outputs}

    def _applied(self, planned: Planned, steering: Steering, items: Sequence[Item]) -> Steering | Sequence[Steering]:
        """What is applied to all pictures, or to each that is described."""
        from mmsteer.recipes.vision.per_image import along_each

        whose = planned.own["per_image"]
        shown = [item if whose == "own" else self._after(item) for item in items if item.row.objects is not None]
        if whose is None or not shown:
            return steering
        return along_each(self.adapter, steering, [item.row.sample(self.adapter) for item in shown])

    def _after(self, item: Item) -> Item:
        """The next picture; behind the last the first."""
        return self.items[(item.index + 1) % len(self.items)]

    def line(self, path: Path, planned: Planned, item: Item, output: Any) -> dict[str, Any]:
        """Judge a caption against what is there, and answers against their labels."""
        from mmsteer.recipes.vision.asking import outcomes

        pope, questions = self.ask.pope, item.row.questions
        answers = list(outcomes(questions, output, pope)) if pope and questions else None
        asked = {key: output[key] for key in ("said", "denied") if key in output}
        return {"id": item.row.id, **self._judged(item, output["caption"]), **asked, "answers": answers}

    def _judged(self, item: Item, caption: str | None) -> dict[str, Any]:
        picture = item.row
        if caption is None or picture.objects is None or self.ask.caption is None:
            return {"caption": None, "mentions": [], "missed": []}
        if picture.amber is not None:
            return {"caption": caption, **picture.amber.read(caption)}
        row = self._chair(picture, self.ask.caption).row(picture.id, caption).to_json()
        return {key: row[key] for key in ("caption", "mentions", "missed")}

    def _chair(self, picture: Picture, said: Captions) -> Chair:
        truth = {picture.id: picture.objects or frozenset()}
        if said.nouns == "coco":
            return Chair(truth, said.compat)
        return Chair(truth, said.compat, open_synonyms(), {picture.id: picture.backdrop or frozenset()})

    def contexts(self, path: Path, planned: Planned, items: Sequence[Item], outputs: Sequence[Any]) -> list[Sample]:
        """Unsteered captions with their images and prompts.

        Args:
            path: The run folder.
            planned: The unsteered condition.
            items: Its first pictures.
            outputs: What the model said of them.
        """
        said = [(item, output["caption"]) for item, output in zip(items, outputs, strict=True) if output["caption"]]
        return [replace(item.row.sample(self.adapter), output=caption) for item, caption in said]

    def looked_at(self, lines: Sequence[Line], unsteered: Sequence[Line] | None) -> list[Line]:
        """The captions whose objects changed most."""
        before = {line["id"]: named_objects(line) for line in unsteered or ()}
        said = [line for line in lines if line["caption"]]
        return sorted(said, key=lambda one: -len(named_objects(one) ^ before.get(one["id"], set())))[:LOOKED_AT]

    def scores(self, members: Sequence[Scored]) -> dict[str, Any]:
        """Ratios of sums over pictures, beside their controls, and the flips of answers."""
        return scores(members, self.metrics)


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}
