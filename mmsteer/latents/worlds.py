"""Trials in the worlds of the bundled models, where the truth of every prompt is known."""

from collections.abc import Collection

import numpy as np

from mmsteer.adapters import LanguageModelAdapter, MusicgenAdapter
from mmsteer.eval.adherence import load_judge
from mmsteer.eval.chair_parser import mentioned, object_parser
from mmsteer.eval.notes import read_notes
from mmsteer.eval.pope import build_questions, parse_answer
from mmsteer.latents.trials import Reward, Trials, sampled
from mmsteer.types import Sample, Sampling
from mmsteer.worlds.music.world import CLIP_SECONDS, Clip, sample_clip
from mmsteer.worlds.scenes import CAPTION_PROMPT, Scene, render_scene, split_scenes

STATED = ("instrument", "tempo", "register")
"""What music prompts name; never a pitch."""
ANSWER_TOKENS, CAPTION_TOKENS = 12, 64
BRIEF_WORDS = 14
"""Most words of a brief caption; the others have about 22."""
MUSIC_SEED = 1_000_003
"""Added to the seeds of prompts: the models were trained on the worlds of small seeds."""


def note_trials(adapter: MusicgenAdapter, note: str, n: int, *, seed: int = 0, guidance: float = 3.0) -> Trials:
    """Prompts that name no pitch; a clip is right when one pitch class is its main note.

    Args:
        adapter: The model.
        note: The pitch class, such as `C`.
        n: Prompts.
        seed: Of prompts and noise.
        guidance: Scale of classifier-free guidance.
    """

    def reward(sample: Sample) -> float | None:
        main = read_notes(sample.output, adapter.sample_rate).main_note
        return None if main is None else float(main == note)

    return _music(adapter, f"main note {note}", n, seed, guidance, reward)


def instrument_trials(adapter: MusicgenAdapter, n: int, *, seed: int = 0, guidance: float = 3.0) -> Trials:
    """The same prompts; a clip is right when the instrument that its prompt names is heard.

    Args:
        adapter: The model.
        n: Prompts.
        seed: Of prompts and noise.
        guidance: Scale of classifier-free guidance.
    """
    asked = {name: clip.instrument for name, clip in _clips(n, seed).items()}

    def reward(sample: Sample) -> float | None:
        heard = load_judge().read(sample.output, adapter.sample_rate)["instrument"]
        return None if heard is None else float(heard == asked[sample.id])

    return _music(adapter, "instrument as asked", n, seed, guidance, reward)


def played_trials(adapter: MusicgenAdapter, instrument: str, n: int, *, seed: int = 0, guidance: float = 3.0) -> Trials:
    """Prompts that name no instrument; a clip is right when one instrument is heard.

    Args:
        adapter: The model.
        instrument: The instrument.
        n: Prompts.
        seed: Of prompts and noise.
        guidance: Scale of classifier-free guidance.
    """

    def reward(sample: Sample) -> float | None:
        heard = load_judge().read(sample.output, adapter.sample_rate)["instrument"]
        return None if heard is None else float(heard == instrument)

    return _music(adapter, f"{instrument} unasked", n, seed, guidance, reward, stated=("tempo", "register"))


def question_trials(
    adapter: LanguageModelAdapter, n: int, *, split: str = "test", seed: int = 0, questions: str = "adversarial"
) -> Trials:
    """POPE's six questions about each scene; an answer is right when it is.

    Args:
        adapter: The model.
        n: Scenes.
        split: Of the scenes.
        seed: Of the scenes.
        questions: POPE's split: `random`, `popular` or `adversarial`.
    """
    scenes = _scenes(n, split, seed)
    asked = build_questions({name: scene.objects for name, scene in scenes.items()}, questions, seed)
    images = {name: render_scene(scene) for name, scene in scenes.items()}
    truth = {f"{one.image}-{one.id}": one.label for one in asked}
    prompts = tuple(Sample(f"{one.image}-{one.id}", one.text, (images[one.image],)) for one in asked)

    def reward(sample: Sample) -> float | None:
        decision = parse_answer(sample.output or "")
        return None if decision is None else float(decision == truth[sample.id])

    return Trials(f"{questions} questions", prompts, sampled(adapter, Sampling(ANSWER_TOKENS)), reward)


def caption_trials(adapter: LanguageModelAdapter, n: int, *, split: str = "test", seed: int = 0) -> Trials:
    """Captions of scenes; one is right when it names no object that is not there, and one that is.

    Args:
        adapter: The model.
        n: Scenes.
        split: Of the scenes.
        seed: Of the scenes.
    """
    scenes, parse = _scenes(n, split, seed), object_parser()
    prompts = tuple(Sample(name, CAPTION_PROMPT, (render_scene(scene),)) for name, scene in scenes.items())

    def reward(sample: Sample) -> float | None:
        named = mentioned(parse, [sample.output or ""])
        # A caption that names nothing is no better than one that names what is not there.
        return float(bool(named) and named <= scenes[sample.id].objects)

    return Trials("grounded captions", prompts, sampled(adapter, Sampling(CAPTION_TOKENS)), reward)


def brief_trials(adapter: LanguageModelAdapter, n: int, *, split: str = "test", seed: int = 0) -> Trials:
    """Descriptions that are asked for in detail; one is right when it is as short as a brief one and names an object.

    Args:
        adapter: The model.
        n: Scenes.
        split: Of the scenes.
        seed: Of the scenes.
    """
    parse = object_parser()
    prompts = tuple(Sample(name, CAPTION_PROMPT, (render_scene(one),)) for name, one in _scenes(n, split, seed).items())

    def reward(sample: Sample) -> float | None:
        said = sample.output or ""
        return float(len(said.split()) <= BRIEF_WORDS and bool(mentioned(parse, [said])))

    return Trials("brief captions", prompts, sampled(adapter, Sampling(CAPTION_TOKENS)), reward)


def _music(
    adapter: MusicgenAdapter,
    name: str,
    n: int,
    seed: int,
    guidance: float,
    reward: Reward,
    stated: Collection[str] = STATED,
) -> Trials:
    prompts = tuple(Sample(name, clip.prompt) for name, clip in _clips(n, seed, stated).items())
    sampling = Sampling(seconds=CLIP_SECONDS, guidance=guidance)
    return Trials(name, prompts, sampled(adapter, sampling, seed=seed), reward, batch=16)


def _clips(n: int, seed: int, stated: Collection[str] = STATED) -> dict[str, Clip]:
    rngs = [np.random.default_rng([MUSIC_SEED + seed, index]) for index in range(n)]
    return {f"clip-{index}": sample_clip(rng, stated=frozenset(stated), drone=False) for index, rng in enumerate(rngs)}


def _scenes(n: int, split: str, seed: int) -> dict[str, Scene]:
    return {f"{split}-{seed}-{at:05d}": scene for at, scene in enumerate(split_scenes(split, n, seed))}
