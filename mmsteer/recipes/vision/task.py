"""Pictures with what they show, described and asked about, and scored against that."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mmsteer.adapters import LanguageModelAdapter
from mmsteer.errors import RecipeError
from mmsteer.eval.chair import Chair
from mmsteer.recipes.curves import check_curve, strength_curves
from mmsteer.recipes.folder import RunFolder
from mmsteer.recipes.plan import Planned
from mmsteer.recipes.scoring import Line, Scored
from mmsteer.recipes.vision.asking import ask_all, outcomes
from mmsteer.recipes.vision.pictures import Picture
from mmsteer.recipes.vision.schema import VisionRecipe
from mmsteer.recipes.vision.scoring import metrics_of, scores
from mmsteer.steering import Attribute, Steering
from mmsteer.types import Sample


@dataclass(frozen=True, eq=False)
class VisionTask:
    """Pictures are described and asked about.

    Attributes:
        recipe: How.
        adapter: The model.
        items: The pictures.
    """

    ITEM: ClassVar[str] = "image"
    OWN: ClassVar[Mapping[str, Any]] = {"decode": {}}
    recipe: VisionRecipe
    adapter: LanguageModelAdapter
    items: Sequence[Picture]
    guidance = 1.0

    @property
    def batch(self) -> int:
        """Pictures that run together."""
        return self.recipe.batch

    @property
    def _steps(self) -> int:
        asked = self.recipe.ask.caption or self.recipe.ask.pope
        return asked.tokens if asked else 1

    def check(self) -> None:
        """Refuse more tokens than the model was made for, or words it cannot tell apart.

        Raises:
            RecipeError: There are more tokens.
        """
        if self._steps > self.adapter.max_steps:
            raise RecipeError(
                f"{self._steps} tokens are asked for, this model was made for {self.adapter.max_steps} with the prompt"
            )
        pope = self.recipe.ask.pope
        if pope and pope.answer == "logits":
            self.adapter.next_word([Sample("words", "a")], pope.words)

    def check_attribute(self, item: Attribute) -> None:
        """Refuse a schedule that makes no curve over the answer, or positions that no token has.

        Args:
            item: What is pushed.
        """
        check_curve(item, self.adapter, self._steps)

    def describe(self, folder: RunFolder) -> None:
        """Write `images.json`, and each image as PNG.

        Args:
            folder: Where to.
        """
        rows = []
        for picture in self.items:
            file = f"images/{picture.index:05d}.png"
            if not folder.has(file):
                folder.write_bytes(file, _png(picture))
            truth = None if picture.objects is None else sorted(picture.objects)
            rows.append({"index": picture.index, "name": picture.name, "file": file, "objects": truth})
        folder.write("images.json", rows)

    def make(
        self, planned: Planned, steering: Steering, items: Sequence[Picture]
    ) -> tuple[dict[str, bytes], dict[str, Any]]:
        """Ask about a batch.

        Args:
            planned: The condition.
            steering: What is applied.
            items: The pictures.
        """
        decode = {name: _given(options) for name, options in planned.own["decode"].items()}
        outputs, receipt = ask_all(self.adapter, steering, decode, items, self.recipe.ask, self.batch)
        return {}, {"receipt": receipt, "outputs": outputs}

    def line(self, path: Path, planned: Planned, item: Picture, output: Any) -> dict[str, Any]:
        """Judge a caption against what is there, and answers against their labels.

        Args:
            path: The run folder.
            planned: The condition.
            item: The picture.
            output: What the model said.
        """
        pope = self.recipe.ask.pope
        asked = pope is not None and bool(item.questions)
        return {
            "name": item.name,
            **self._judged(item, output["caption"]),
            "answers": list(outcomes(item, output, pope)) if pope and asked else None,
        }

    def _judged(self, item: Picture, caption: str | None) -> dict[str, Any]:
        if caption is None or item.objects is None or self.recipe.ask.caption is None:
            return {"caption": None, "mentions": [], "missed": []}
        if item.amber is not None:
            return {"caption": caption, **item.amber.read(caption)}
        row = Chair({item.name: item.objects}, self.recipe.ask.caption.compat).row(item.name, caption).to_json()
        return {key: row[key] for key in ("caption", "mentions", "missed")}

    def contexts(self, path: Path, planned: Planned, items: Sequence[Picture], outputs: Sequence[Any]) -> list[Sample]:
        """Unsteered captions with their images and prompts.

        Args:
            path: The run folder.
            planned: The unsteered condition.
            items: Its first pictures.
            outputs: What the model said of them.
        """
        ask = self.recipe.ask.caption
        return [
            Sample(picture.name, ask.prompt, (picture.image(),), output["caption"])
            for picture, output in zip(items, outputs, strict=True)
            if ask and output["caption"]
        ]

    def scores(self, members: Sequence[Scored]) -> dict[str, Any]:
        """Ratios of sums over pictures, beside their controls, and the flips of answers.

        Args:
            members: Finished conditions.
        """
        return scores(members, metrics_of(self.recipe))

    def traces(self, steering: Steering, lines: Sequence[Line], unsteered: Sequence[Line] | None) -> dict[str, Any]:
        """The strength of each attribute over the tokens of an answer.

        Args:
            steering: What was applied.
            lines: The condition's lines.
            unsteered: Those of the unsteered run.
        """
        return strength_curves(steering, self.adapter, self._steps)


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


def _png(picture: Picture) -> bytes:
    file = io.BytesIO()
    picture.image().save(file, format="PNG")
    return file.getvalue()
