"""What the bundled LLaVA says of cluttered scenes, judged against all that is in them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import LlavaForConditionalGeneration, LlavaProcessor

from mmsteer.eval.chair import Chair, ChairRow, ChairScore
from mmsteer.eval.open_nouns import open_synonyms
from mmsteer.worlds.scenes import CAPTION_PROMPT, Scene
from mmsteer.worlds.scenes.surroundings import surroundings
from mmsteer.worlds.training.vision_check import pope, replies

PARTS = 3
_TOKENS = 128


@dataclass(frozen=True)
class FalseWords:
    """Which words of captions are false, and where.

    Attributes:
        counts: How often each class is named where it is not.
        mentions: Mentions in each third of the captions, by the order of mentions.
        wrong: False ones among them.
    """

    counts: Counter[str]
    mentions: tuple[int, ...]
    wrong: tuple[int, ...]

    @property
    def shares(self) -> tuple[float, ...]:
        """Share of false mentions in each third."""
        return tuple(bad / max(named, 1) for bad, named in zip(self.wrong, self.mentions, strict=True))


def caption_scores(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    scenes: Sequence[Scene],
    prompt: str = CAPTION_PROMPT,
) -> ChairScore:
    """CHAIR of greedy captions, every noun judged.

    Args:
        model: The model.
        processor: Its processor.
        scenes: What it is shown.
        prompt: What it is asked.
    """
    truth = {str(at): scene.objects for at, scene in enumerate(scenes)}
    backdrop = {str(at): surroundings(scene) for at, scene in enumerate(scenes)}
    said = replies(model, processor, scenes, [prompt] * len(scenes), tokens=_TOKENS)
    return Chair(truth, "fixed", open_synonyms(), backdrop).score(dict(zip(truth, said, strict=True)))


def false_words(rows: Sequence[ChairRow]) -> FalseWords:
    """Which words are false, and in which third of their caption.

    Args:
        rows: Judged captions.
    """
    counts, mentions, wrong = Counter[str](), [0] * PARTS, [0] * PARTS
    for row in rows:
        for at, mention in enumerate(row.mentions):
            part = at * PARTS // len(row.mentions)
            mentions[part] += 1
            if mention.object not in row.truth:
                wrong[part] += 1
                counts[mention.object] += 1
    return FalseWords(counts, tuple(mentions), tuple(wrong))


def answer_scores(
    model: LlavaForConditionalGeneration, processor: LlavaProcessor, scenes: Sequence[Scene]
) -> dict[str, float]:
    """POPE's accuracy, F1 and yes-ratio in its three splits.

    Args:
        model: The model.
        processor: Its processor.
        scenes: What it is asked about.
    """
    truth = {str(at): scene.objects for at, scene in enumerate(scenes)}
    return pope(model, processor, scenes, truth, batch=64)
