"""The music world as rows: prompts that leave something open, and rendered clips whose every attribute is known."""

from collections.abc import Collection, Iterable, Mapping

import numpy as np

from mmsteer.errors import DataError
from mmsteer.eval.attributes import Clip as Audio
from mmsteer.tasks import Row, RowSet
from mmsteer.types import Sampling
from mmsteer.worlds.music.concepts import CONCEPTS, concept_clips
from mmsteer.worlds.music.world import CLIP_SECONDS, INSTRUMENTS, SAMPLE_RATE, Clip, render_clip, sample_clip

STATED = ("instrument", "tempo", "register")
"""What prompts name; never a pitch."""
PROMPTS, LABELLED, SHOWN, MEASURED = 1_000_003, 98, 2_000_003, 77
"""Seeds, or what is added to them: the models were trained on the worlds of small ones."""
TESTED = 1000
"""Number of the first prompt that measured effects are tested on."""
USUAL = Sampling(seconds=CLIP_SECONDS, guidance=3.0)


class MusicWorld:
    """Rows of rendered music."""

    def rewarded(self, reward: str, n: int, seed: int) -> RowSet:
        """Prompts that leave open what a reward asks for; the first half to learn from, the rest to test on.

        Args:
            reward: Such as `note:C`; `instrument` alone holds clips against what their prompts name.
            n: How many.
            seed: Of the prompts.
        """
        attribute, colon, _ = reward.removeprefix("not ").partition(":")
        return RowSet(_prompts(n, seed, set(STATED) - ({attribute} if colon else set())), USUAL)

    def archetype(self, reward: str, seed: int) -> Row | None:
        """A rendered clip that earns a reward, with its prompt; None where the reward names no label.

        Args:
            reward: Such as `note:C`.
            seed: Of the clip.
        """
        concept, _, label = reward.partition(":")
        if concept not in CONCEPTS or not label:
            return None
        [clip] = [one.clip for one in concept_clips(concept, 1, SHOWN + seed) if one.label == label]
        return _rendered(f"archetype {reward}", clip)

    def instructed(self, reward: str, n: int, seed: int) -> RowSet:
        """Clips whose prompt names an instrument, the same without, and other prompts that do not name it.

        Args:
            reward: `instrument:organ` or another one.
            n: Rows, of which half are read in pairs.
            seed: Of the rows.

        Raises:
            DataError: The reward is not for an instrument.
        """
        concept, _, name = reward.partition(":")
        if concept != "instrument" or name not in INSTRUMENTS:
            known = ", ".join(INSTRUMENTS)
            raise DataError(f"no prompt of the rendered world asks for {reward!r}; choose instrument:NAME with {known}")
        pairs = [row for at in range(n // 2) for row in _pair(name, at, seed)]
        asked = _prompts(n - n // 2, seed, {"tempo", "register"}, split="test", label="plain")
        return RowSet((*pairs, *asked), USUAL)

    def described(self) -> RowSet:
        """Clips to look features up in, and prompts that name neither instrument, tempo nor register."""
        clips = [
            _rendered(f"clip-{at}", sample_clip(np.random.default_rng([LABELLED, at])), [LABELLED, at])
            for at in range(80)
        ]
        bare = [sample_clip(np.random.default_rng([LABELLED - 1, at]), stated=("texture",)).prompt for at in range(6)]
        prompts = [Row(str(at), "the rendered world", text, split="test") for at, text in enumerate(bare)]
        return RowSet((*clips, *prompts), Sampling(seconds=CLIP_SECONDS))

    def measured(self, learned: int, tested: int) -> RowSet:
        """Prompts that effects are measured on, and others to test on.

        Args:
            learned: How many of the first.
            tested: How many of the second.
        """
        numbers = [*range(learned), *range(TESTED, TESTED + tested)]
        rows = [
            Row(
                str(at),
                "the rendered world",
                sample_clip(np.random.default_rng([MEASURED, 1, at])).prompt,
                split="test" if at >= TESTED else "train",
            )
            for at in numbers
        ]
        return RowSet(tuple(rows), Sampling(seconds=CLIP_SECONDS / 2))

    def detected(self, concept: str, clips: int, scenes: int, seed: int) -> RowSet:
        """Clips of every label of a concept.

        Args:
            concept: One of `CONCEPTS`.
            clips: Clips of each label.
            scenes: Of the other world.
            seed: Of the clips.
        """
        return self.labelled(concept, clips, 0, seed)

    def pictured(self, sizes: Mapping[str, int], seed: int) -> RowSet:
        """Nothing: this world has no pictures.

        Args:
            sizes: Of the other world.
            seed: The same.

        Raises:
            DataError: Always.
        """
        raise DataError("this model writes no captions; for music: mmsteer sae attributes")

    def labelled(self, concept: str, per_label: int, prompts: int, seed: int) -> RowSet:
        """Clips of every label of a concept, and prompts that leave it open: to choose by, and to report on.

        Args:
            concept: One of `CONCEPTS`.
            per_label: Clips of each label.
            prompts: Prompts to report on; half as many serve to choose.
            seed: Of clips and prompts.
        """
        clips = [
            Row(
                f"{concept}-{at}",
                "the rendered world",
                audio=Audio(render_clip(one.clip), SAMPLE_RATE),
                attributes={concept: one.label},
                label=one.label,
                group=one.group,
            )
            for at, one in enumerate(concept_clips(concept, per_label, seed))
        ]
        stated = set(STATED) - {concept}
        choose = _prompts(prompts // 2, seed + 1, stated, f"clip-{seed + 1}", split="validation")
        report = _prompts(prompts, seed, stated, f"clip-{seed}", split="test")
        return RowSet((*clips, *choose, *report), Sampling(seconds=CLIP_SECONDS))


def _prompts(
    n: int,
    seed: int,
    stated: Collection[str],
    name: str = "clip",
    *,
    split: str | None = None,
    label: str | None = None,
) -> tuple[Row, ...]:
    """Prompts that name some attributes; without a split the first half is to learn from."""
    clips = [
        sample_clip(np.random.default_rng([PROMPTS + seed, at]), stated=frozenset(stated), drone=False)
        for at in range(n)
    ]
    return tuple(
        Row(
            f"{name}-{at}",
            "the rendered world",
            clip.prompt,
            attributes=_attributes(clip, stated),
            label=label,
            group=f"{name}-{at}",
            split=split or ("train" if at < n // 2 else "test"),
        )
        for at, clip in enumerate(clips)
    )


def _pair(instrument: str, at: int, seed: int) -> list[Row]:
    """A clip whose prompt names its instrument, and the same clip under a prompt that does not."""
    named, silent = (
        sample_clip(np.random.default_rng([SHOWN + seed, at]), instrument=instrument, stated=stated, drone=False)
        for stated in (frozenset({"instrument", "tempo"}), frozenset({"tempo"}))
    )
    audio = Audio(render_clip(named), SAMPLE_RATE)
    return [
        Row(f"{label}-{at}", "the rendered world", clip.prompt, audio=audio, label=label, group=str(at), split="train")
        for label, clip in (("instructed", named), ("plain", silent))
    ]


def _rendered(name: str, clip: Clip, seed: list[int] | None = None) -> Row:
    wave = render_clip(clip) if seed is None else render_clip(clip, np.random.default_rng(seed))
    attributes = _attributes(clip, STATED)
    return Row(name, "the rendered world", clip.prompt, audio=Audio(wave, SAMPLE_RATE), attributes=attributes)


def _attributes(clip: Clip, names: Iterable[str]) -> dict[str, str]:
    return {name: str(getattr(clip, name)) for name in sorted(names)}
