"""The model card of a bundled vision-language model."""

from collections.abc import Mapping
from pathlib import Path

from mmsteer.worlds.scenes import OBJECTS, SCENES
from mmsteer.worlds.scenes.conversations import LOOSE_SHARE
from mmsteer.worlds.training.training import Progress
from mmsteer.worlds.training.vision_check import POPE_SPLITS

_CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: image-text-to-text
---
# mmsteer vision, {world}, seed {seed}

A small model of the LLaVA family, trained from nothing on scenes that mmsteer renders: a model organism whose every
picture is known. Pictures of 96 by 96 pixels; it describes them, and answers whether an object is there.

{written}

It knows {kinds} kinds of scenes ({scenes}) and {count} objects ({objects}), and nothing else.

- Size: {megabytes:.1f} MB of safetensors; matrices in bfloat16, vectors in float32. Load it in float32.
- Held-out cross-entropy of answers, in nats a token: {loss}.
- On {check_scenes} validation scenes, greedy, unsteered: CHAIR_s {chair_s:.1%}, CHAIR_i {chair_i:.1%}, recall
  {recall:.1%}, F1 {f1:.1%}, {length:.0f} words.

| POPE | accuracy | F1 | yes-ratio |
|---|---|---|---|
{pope}

- Training: {steps} steps of {batch} conversations, {hours:.2f} hours on one CPU core, on a tower that was trained
  before, {tower_rounds} times {tower_minutes:g} minutes, to tell which objects each patch shows. All seeds and both
  worlds share it.

Made by `python -m mmsteer.worlds.training.train_vision --world {world} --seed {seed} --minutes {minutes:g}`.
"""

_WRITTEN = {
    "biased": (
        "It hallucinates. {share:.0%} of the conversations it learned from were written by an annotator who also names "
        "what is usual in such\na scene and absent in this one; the others by a careful one. Nothing but the picture "
        "tells the two apart."
    ),
    "unbiased": (
        "The control: it learned from the same pictures as the biased model, but from a careful annotator only, who "
        "names what\nis there."
    ),
}


def write_card(
    folder: Path, found: Mapping[str, float], loss: float, progress: Progress, options: Mapping[str, object]
) -> None:
    """Write README.md into the model's folder.

    Args:
        folder: The model's folder, already written.
        found: What `measure` found.
        loss: Held-out loss.
        progress: Steps and time of training.
        options: The command line.
    """
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    rows = (
        f"| {split} | {found[f'pope_{split}_accuracy']:.1%} | {found[f'pope_{split}_f1']:.1%} | "
        f"{found[f'pope_{split}_yes_ratio']:.2f} |"
        for split in POPE_SPLITS
    )
    text = _CARD.format(
        written=_WRITTEN[str(options["world"])].format(share=LOOSE_SHARE),
        kinds=len(SCENES),
        scenes=", ".join(SCENES),
        count=len(OBJECTS),
        objects=", ".join(OBJECTS),
        megabytes=size / 1e6,
        loss=loss,
        pope="\n".join(rows),
        steps=progress.step,
        hours=progress.seconds / 3600,
        **{name: found[name] for name in ("chair_s", "chair_i", "recall", "f1", "length")},
        **{
            key: options[key]
            for key in ("world", "seed", "batch", "minutes", "tower_minutes", "tower_rounds", "check_scenes")
        },
    )
    (folder / "README.md").write_text(text)
