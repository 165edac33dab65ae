"""What features of a model are looked up in, dosed along, and steered on: of the worlds of the bundled models."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mmsteer.adapters import AnyAdapter, LanguageModelAdapter, MusicgenAdapter
from mmsteer.eval.adherence import load_judge
from mmsteer.latents.evidence import label_lift
from mmsteer.latents.maximal import Maximal
from mmsteer.latents.trials import Generate, sampled
from mmsteer.types import Sample, Sampling
from mmsteer.worlds.music.world import CLIP_SECONDS, render_clip, sample_clip
from mmsteer.worlds.scenes import CAPTION_PROMPT, render_scene, split_scenes, write_conversation

SEED = 98
"""No model and no dictionary was trained on it."""
ANSWER_TOKENS = 48
DESCRIBED_BY = 10
"""Top activating moments that describe a feature."""

Describe = Callable[[Maximal], object]
Share = Callable[[object, Sequence[Sample]], list[float | None]]


@dataclass(frozen=True, eq=False)
class Material:
    """Samples of one modality, and how outputs of it are judged.

    Attributes:
        promotes: Tokens that count as promoted by a feature, in each head.
        contexts: Where output scores and doses are measured.
        labelled: What is looked through for top activating moments.
        prompts: What is generated from.
        generate: Outputs of the prompts.
        describe: What the top activating moments of a feature have in common: an attribute with its value, or words.
        share: How much of such a description is in each output; None where it cannot be told.
    """

    promotes: int
    contexts: tuple[Sample, ...]
    labelled: tuple[Sample, ...]
    prompts: tuple[Sample, ...]
    generate: Generate
    describe: Describe
    share: Share


def material(adapter: AnyAdapter) -> Material:
    """The material of a model's kind.

    Args:
        adapter: The model.
    """
    return _music(adapter) if isinstance(adapter, MusicgenAdapter) else _vision(adapter)


def _music(adapter: MusicgenAdapter) -> Material:
    """Clips, the first second of some, and prompts that name neither instrument, tempo nor register."""
    clips = [sample_clip(np.random.default_rng([SEED, index])) for index in range(80)]
    labelled = tuple(
        Sample(f"clip-{index}", clip.prompt, output=render_clip(clip, np.random.default_rng([SEED, index])))
        for index, clip in enumerate(clips)
    )
    labels = {
        sample.id: {"instrument": clip.instrument, "tempo": clip.tempo, "register": clip.register}
        for sample, clip in zip(labelled, clips, strict=True)
    }
    bare = [sample_clip(np.random.default_rng([SEED - 1, index]), stated=("texture",)).prompt for index in range(6)]
    prompts = tuple(Sample(str(seed), text) for seed, text in enumerate(bare))
    contexts = tuple(replace(one, output=one.output[: adapter.sample_rate]) for one in labelled[-4:])
    listener = load_judge()

    def share(described: object, outputs: Sequence[Sample]) -> list[float | None]:
        attribute, value = described if isinstance(described, tuple) else ("", "")
        heard = [listener.read(np.asarray(one.output, dtype=np.float64), adapter.sample_rate) for one in outputs]
        return [None if one[attribute] is None else float(one[attribute] == value) for one in heard]

    return Material(
        20,
        contexts,
        labelled,
        prompts,
        sampled(adapter, Sampling(seconds=CLIP_SECONDS)),
        lambda one: _attribute(one, labels),
        share,
    )


def _attribute(found: Maximal, labels: Mapping[str, Mapping[str, str]]) -> tuple[str, str]:
    attribute, value, _ = label_lift(found, labels, count=DESCRIBED_BY)[0]
    return attribute, value


def _vision(adapter: LanguageModelAdapter) -> Material:
    """Scenes with their captions, captions that break off, and pictures to describe."""
    rng = np.random.default_rng(SEED)
    labelled = tuple(
        Sample(
            f"scene-{index}",
            CAPTION_PROMPT,
            (render_scene(scene),),
            write_conversation(rng, scene, "careful")[0].answer,
        )
        for index, scene in enumerate(split_scenes("train", 120, SEED))
    )
    contexts = tuple(replace(one, output=" ".join((one.output or "").split()[:4])) for one in labelled[-8:])
    scenes = split_scenes("train", 12, SEED - 1)
    prompts = tuple(Sample(str(index), CAPTION_PROMPT, (render_scene(scene),)) for index, scene in enumerate(scenes))
    return Material(5, contexts, labelled, prompts, sampled(adapter, Sampling(ANSWER_TOKENS)), words_of, word_shares)


def words_of(found: Maximal) -> tuple[str, ...]:
    """Words at which a feature is most active.

    Args:
        found: Its top activating moments.
    """
    return tuple(dict.fromkeys(moment.words.strip().lower() for moment in found.moments[:DESCRIBED_BY]))


def word_shares(described: object, outputs: Sequence[Sample]) -> list[float | None]:
    """The share of each output's words that a description holds; None for an output without words.

    Args:
        described: What `words_of` gives.
        outputs: Samples with outputs of text.
    """
    wanted = set(described) if isinstance(described, tuple) else set()
    said = [re.findall(r"\w+", (one.output or "").lower()) for one in outputs]
    return [sum(word in wanted for word in one) / len(one) if one else None for one in said]
