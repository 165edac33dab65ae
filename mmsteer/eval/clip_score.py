"""CLIPScore: how well a text fits an image, without any reference, by any CLIP model that open_clip loads.

2.5 x max(cos, 0) between the image and "A photo depicts " + the text, as published. It was made for captions of a
dozen words: CLIP reads 77 tokens, so of a caption of several sentences only the beginning is judged, and a
hallucination further on costs nothing. The published code cuts without a word; here `truncated` counts the texts that
were cut. CLIP also tells objects better than their absence or number. Take it as a check that steered captions still
fit their images, never as the measure of hallucination, and compare only values of the same model.

Source: Hessel et al. 2021, CLIPScore: a reference-free evaluation metric for image captioning, arXiv:2104.08718.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsteer.errors import EvalError, clip
from mmsteer.types.score import Score, mean_score

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

WEIGHT = 2.5
PREFIX = "A photo depicts "


@dataclass(frozen=True)
class ClipScore:
    """How well texts fit their images.

    Attributes:
        score: The mean over pairs; pairs without a text are unscored.
        values: One value a pair, from 0 to 2.5; None where the text is empty.
        truncated: How many texts were longer than the model reads.
        model: The model and its weights.
    """

    score: Score
    values: tuple[float | None, ...]
    truncated: int
    model: str


@dataclass(frozen=True, eq=False)
class _Clip:
    model: Any
    preprocess: Any
    tokenizer: Any
    device: str


def clip_score(
    images: Sequence["Image"],
    texts: Sequence[str],
    model: str | Path,
    pretrained: str | Path | None = None,
    *,
    device: str = "cpu",
    batch_size: int = 32,
    seed: int = 0,
) -> ClipScore:
    """Score each text against its image.

    `model`: a name that open_clip knows (`ViT-B-32`, `hf-hub:...`), or a folder with `open_clip_config.json` and
    weights.
    `pretrained`: the weights of a named model: a tag (`openai`) or a checkpoint file; None for a folder or hub model.

    Raises:
        EvalError: open_clip is not installed, the model cannot be loaded, or images and texts do not pair up.
    """
    if len(images) != len(texts):
        raise EvalError(f"{len(images)} images and {len(texts)} texts; CLIPScore takes one text an image")
    clip = _load(str(model), None if pretrained is None else str(pretrained), device)
    pairs = [(image, text) for image, text in zip(images, texts, strict=True) if text.strip()]
    found, truncated = list[float](), 0
    for start in range(0, len(pairs), batch_size):
        batch = pairs[start : start + batch_size]
        found += _scores(clip, batch)
        truncated += _count_truncated(clip.tokenizer, [text for _, text in batch])
    scored = iter(found)
    values = tuple(next(scored) if text.strip() else None for text in texts)
    name = str(model) if pretrained is None else f"{model}, {pretrained}"
    return ClipScore(mean_score(values, seed=seed), values, truncated, name)


def _load(model: str, pretrained: str | None, device: str) -> _Clip:
    try:
        import open_clip
    except ImportError:
        raise EvalError("CLIPScore needs open_clip; install it with: pip install 'mmsteer[clip]'") from None
    name = f"local-dir:{model}" if os.path.isdir(model) else model
    if pretrained is None and ":" not in name:
        raise EvalError(
            f"the CLIP model {clip(model)} has no weights; give pretrained, a tag or a file, or give a folder"
        )
    try:
        network, preprocess = open_clip.create_model_from_pretrained(name, pretrained=pretrained, device=device)
        tokenizer = open_clip.get_tokenizer(name)
    except (OSError, RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise EvalError(
            f"the CLIP model {clip(model)} with weights {clip(pretrained)} cannot be loaded ({reason}); without a "
            "network give a folder with open_clip_config.json and weights, or a model name and a checkpoint file"
        ) from None
    return _Clip(network.eval(), preprocess, tokenizer, device)


def _scores(clip: _Clip, pairs: Sequence[tuple["Image", str]]) -> list[float]:
    import torch

    pixels = torch.stack([clip.preprocess(image) for image, _ in pairs]).to(clip.device)
    tokens = clip.tokenizer([PREFIX + text for _, text in pairs]).to(clip.device)
    with torch.inference_mode():
        image = _unit(clip.model.encode_image(pixels))
        text = _unit(clip.model.encode_text(tokens))
    return (WEIGHT * (image * text).sum(dim=-1).clamp(min=0)).tolist()


def _unit(states: "Tensor") -> "Tensor":
    states = states.float()  # cosines of half precision differ in the third digit
    return states / states.norm(dim=-1, keepdim=True)


def _count_truncated(tokenizer: Any, texts: Sequence[str]) -> int:
    """How many texts do not fit: with room for one token more, that place is no padding."""
    room = tokenizer.context_length + 1
    padding = tokenizer([""], context_length=room)[0, -1]
    return int((tokenizer([PREFIX + text for text in texts], context_length=room)[:, -1] != padding).sum())
