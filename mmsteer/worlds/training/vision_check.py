"""What a vision-language model of the bundled kind says of the world, judged against the truth."""

from collections.abc import Mapping, Sequence

import torch
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from mmsteer.eval.chair import Chair
from mmsteer.eval.pope import build_questions, score_answers
from mmsteer.worlds.scenes import CAPTION_PROMPT, Scene, render_scene

POPE_SPLITS = ("random", "popular", "adversarial")
_ANSWER_TOKENS = 10


def measure(
    model: LlavaForConditionalGeneration, processor: LlavaProcessor, scenes: Sequence[Scene], batch: int = 64
) -> dict[str, float]:
    """CHAIR of greedy captions, and POPE's accuracy, F1 and yes-ratio in its three splits.

    Args:
        model: The model, unsteered or with hooks in it.
        processor: Its processor.
        scenes: What it is shown.
        batch: Pictures at a time.
    """
    truth = {str(index): scene.objects for index, scene in enumerate(scenes)}
    captions = replies(model, processor, scenes, [CAPTION_PROMPT] * len(scenes), batch=batch)
    chair = Chair(truth).score(dict(zip(truth, captions, strict=True)))
    found = {name: _value(getattr(chair, name).value) for name in ("chair_s", "chair_i", "recall", "f1", "length")}
    return found | pope(model, processor, scenes, truth, batch)


def pope(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    scenes: Sequence[Scene],
    truth: Mapping[str, frozenset[str]],
    batch: int,
) -> dict[str, float]:
    """POPE's accuracy, F1 and yes-ratio, as `pope_random_accuracy` and so on.

    Args:
        model: The model.
        processor: Its processor.
        scenes: What it is shown.
        truth: The objects in sight, by the scene's number.
        batch: Questions at a time.
    """
    found = {}
    for split in POPE_SPLITS:
        questions = build_questions(truth, split)
        asked = [scenes[int(one.image)] for one in questions]
        texts = replies(model, processor, asked, [one.text for one in questions], tokens=_ANSWER_TOKENS, batch=batch)
        score = score_answers(questions, {one.id: text for one, text in zip(questions, texts, strict=True)})
        for name in ("accuracy", "f1", "yes_ratio"):
            found[f"pope_{split}_{name}"] = _value(getattr(score, name).value)
    return found


@torch.no_grad()
def replies(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    scenes: Sequence[Scene],
    prompts: Sequence[str],
    *,
    tokens: int = 96,
    batch: int = 64,
) -> list[str]:
    """Greedy answers to one prompt about each scene.

    Args:
        model: The model.
        processor: Its processor.
        scenes: What it is shown.
        prompts: What it is asked, one a scene.
        tokens: Longest answer.
        batch: Rows at a time.
    """
    said: list[str] = []
    for start in range(0, len(scenes), batch):
        part = slice(start, start + batch)
        content = [[{"type": "image"}, {"type": "text", "text": prompt}] for prompt in prompts[part]]
        texts = [
            processor.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True)
            for parts in content
        ]
        images = [render_scene(scene) for scene in scenes[part]]
        inputs = processor(images=images, text=texts, padding=True, return_tensors="pt")
        output = model.generate(**inputs, do_sample=False, max_new_tokens=tokens)
        said += processor.batch_decode(output[:, inputs.input_ids.shape[1] :], skip_special_tokens=True)
    return said


def _value(value: float | None) -> float:
    # Nothing to divide by: no mention, or no yes.
    return 0.0 if value is None else round(value, 4)
