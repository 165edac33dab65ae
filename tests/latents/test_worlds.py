"""Trials of the worlds judge stand-ins of the models' outputs as their names say."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mmsteer.data.synthesis import TIMBRES, Note, render
from mmsteer.latents.worlds import (
    BRIEF_WORDS,
    brief_trials,
    caption_trials,
    instrument_trials,
    note_trials,
    played_trials,
    question_trials,
)
from mmsteer.worlds.scenes import split_scenes

RATE = 16000


def sounding(wave):
    """A model that plays one clip, whatever is asked."""
    return SimpleNamespace(
        sample_rate=RATE, generate=lambda prompts, *_: [replace(prompt, output=wave) for prompt in prompts]
    )


@pytest.fixture
def playing():
    """Plays middle C and the C above on a piano, whatever is asked."""
    notes = [Note(at / 2, 0.45, 60 + 12 * (at % 2)) for at in range(8)]
    wave = render(notes, TIMBRES["piano"], 4.0, RATE).astype(np.float32)
    return sounding(wave)


@pytest.fixture
def silent():
    return sounding(np.zeros(RATE, np.float32))


def saying(answer):
    """A model that answers by a rule."""
    return SimpleNamespace(
        generate=lambda prompts, sampling, seeds: [replace(one, output=answer(one)) for one in prompts]
    )


def rewards(trials):
    made = trials.generate(trials.prompts)
    return [trials.reward(one) for one in made]


def test_a_note_is_right_where_it_is_the_main_one(playing, silent):
    assert rewards(note_trials(playing, "C", 3)) == [1.0] * 3
    assert rewards(note_trials(playing, "D", 3)) == [0.0] * 3
    assert rewards(note_trials(silent, "C", 2)) == [None] * 2


def test_an_instrument_is_right_where_it_was_asked_or_is_wanted(playing):
    asked = instrument_trials(playing, 12)
    named = [1.0 if "piano" in (one.text or "") else 0.0 for one in asked.prompts]
    assert rewards(asked) == named
    assert {0.0, 1.0} == set(named)
    unasked = played_trials(playing, "piano", 4)
    assert rewards(unasked) == [1.0] * 4
    assert not any("piano" in (one.text or "") for one in unasked.prompts)
    assert rewards(played_trials(playing, "organ", 4)) == [0.0] * 4


def test_prompts_are_the_same_for_the_same_seed_alone(playing):
    first, again, other = (note_trials(playing, "C", 4, seed=seed).prompts for seed in (0, 0, 1))
    assert [one.text for one in first] == [one.text for one in again]
    assert [one.text for one in first] != [one.text for one in other]
    assert not any(f" {note} " in f" {one.text} " for one in first for note in ("C", "D#"))


def test_a_question_is_right_where_the_answer_is():
    yes, no = (question_trials(saying(lambda _, said=said: said), 12) for said in ("Yes.", "No."))
    pairs = list(zip(rewards(yes), rewards(no), strict=True))
    assert {(0.0, 1.0), (1.0, 0.0)} == set(pairs)
    assert {len({one.id for one in yes.prompts})} == {len(yes.prompts)}
    assert rewards(question_trials(saying(lambda _: "Perhaps."), 12)) == [None] * len(yes.prompts)


def test_a_caption_is_right_where_all_it_names_is_there():
    scenes = split_scenes("test", 6, 0)
    there = {f"test-0-{at:05d}": sorted(scene.objects)[0] for at, scene in enumerate(scenes)}
    absent = {
        name: next(x for x in ("cup", "dog", "car", "bed") if x not in scene.objects)
        for name, scene in zip(there, scenes, strict=True)
    }
    assert rewards(caption_trials(saying(lambda one: f"There is a {there[one.id]}."), 6)) == [1.0] * 6
    both = saying(lambda one: f"There is a {there[one.id]} and a {absent[one.id]}.")
    assert rewards(caption_trials(both, 6)) == [0.0] * 6
    assert rewards(caption_trials(saying(lambda _: "A picture."), 6)) == [0.0] * 6


def test_a_brief_caption_is_short_and_names_something():
    brief = brief_trials(saying(lambda _: "A room with a cup."), 2)
    assert rewards(brief) == [1.0] * 2
    assert all("detail" in (one.text or "") for one in brief.prompts)
    long = "A room with a cup " + "and more of it " * BRIEF_WORDS
    assert rewards(brief_trials(saying(lambda _: long), 2)) == [0.0] * 2
    assert rewards(brief_trials(saying(lambda _: "A room."), 2)) == [0.0] * 2
    assert brief.reward(replace(brief.prompts[0], output=None)) == 0.0
