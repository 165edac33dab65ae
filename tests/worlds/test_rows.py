"""Rows of the rendered worlds have the truth that rewards compare with, and stay apart where they must."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mmsteer.data.synthesis import TIMBRES, Note, render
from mmsteer.errors import DataError
from mmsteer.eval.attributes import ATTRIBUTES, read_labels
from mmsteer.eval.rewards import parse_output_reward
from mmsteer.latents.rows import halves, paired_halves, parts, row_trials
from mmsteer.types import Sampling
from mmsteer.worlds.music.rows import MusicWorld
from mmsteer.worlds.rows import world_of
from mmsteer.worlds.scenes.rows import SceneWorld

RATE = 16000
MUSIC, SCENES = MusicWorld(), SceneWorld()


def putting_out(kind, output):
    """A stand-in of a model that puts out something by a rule."""
    return SimpleNamespace(
        output_kind=kind,
        sees=kind == "text",
        sample_rate=RATE,
        generate=lambda prompts, sampling, seeds: [replace(one, output=output(one)) for one in prompts],
    )


@pytest.fixture(scope="module")
def playing():
    """Plays middle C and the C above on a piano, whatever is asked."""
    notes = [Note(at / 2, 0.45, 60 + 12 * (at % 2)) for at in range(8)]
    wave = render(notes, TIMBRES["piano"], 4.0, RATE).astype(np.float32)
    return putting_out("audio", lambda _: wave)


def rewards(adapter, world, name, n, seed=0):
    rows = world.rewarded(name, n, seed).rows
    trials = row_trials(name, rows, adapter, Sampling(), parse_output_reward(name, adapter.output_kind))
    made = trials.generate(trials.prompts)
    return rows, [trials.reward(one) for one in made]


def test_a_clip_earns_the_reward_of_what_it_plays(playing):
    assert rewards(playing, MUSIC, "note:C", 3)[1] == [1.0] * 3
    assert rewards(playing, MUSIC, "note:D", 3)[1] == [0.0] * 3
    silent = putting_out("audio", lambda _: np.zeros(RATE, np.float32))
    assert rewards(silent, MUSIC, "note:C", 2)[1] == [None] * 2


def test_an_instrument_is_right_where_it_was_asked_or_is_wanted(playing):
    rows, values = rewards(playing, MUSIC, "instrument", 12)
    named = [1.0 if "piano" in row.prompt else 0.0 for row in rows]
    assert values == named
    assert {0.0, 1.0} == set(named)
    rows, values = rewards(playing, MUSIC, "instrument:piano", 4)
    assert values == [1.0] * 4
    assert not any("piano" in row.prompt for row in rows)


def test_prompts_are_the_same_for_the_same_seed_alone():
    first, again, other = (MUSIC.rewarded("note:C", 4, seed).rows for seed in (0, 0, 1))
    assert [one.prompt for one in first] == [one.prompt for one in again]
    assert [one.prompt for one in first] != [one.prompt for one in other]
    assert not any(f" {note} " in f" {one.prompt} " for one in first for note in ("C", "D#"))
    assert [one.split for one in first] == ["train", "train", "test", "test"]


def test_a_question_is_right_where_the_answer_is():
    yes, no = (rewards(putting_out("text", lambda _, a=a: a), SCENES, "yes_no", 60) for a in ("Yes.", "No."))
    assert {(0.0, 1.0), (1.0, 0.0)} == set(zip(yes[1], no[1], strict=True))
    rows = yes[0]
    assert len({one.id for one in rows}) == len(rows) == 60
    assert {one.answer for one in rows} == {"yes", "no"}
    [learned, test] = halves(rows)
    assert not {one.group for one in learned} & {one.group for one in test}


def test_a_caption_is_right_where_all_it_names_is_there():
    rows = {row.id: row for row in SCENES.rewarded("grounded", 6, 0).rows}
    there = {name: sorted(row.objects)[0] for name, row in rows.items()}
    absent = {name: next(x for x in ("cup", "dog", "car", "bed") if x not in row.objects) for name, row in rows.items()}
    right = putting_out("text", lambda one: f"There is a {there[one.id]}.")
    wrong = putting_out("text", lambda one: f"There is a {there[one.id]} and a {absent[one.id]}.")
    assert rewards(right, SCENES, "grounded", 6)[1] == [1.0] * 6
    assert rewards(wrong, SCENES, "grounded", 6)[1] == [0.0] * 6


def test_pairs_have_one_content():
    pairs, test = paired_halves(MUSIC.instructed("instrument:organ", 8, 0).rows, "instructed")
    for instructed, plain in zip(*pairs, strict=True):
        assert "organ" in instructed.prompt
        assert "organ" not in plain.prompt
        assert instructed.audio is plain.audio
    assert len(test) == 4
    pairs, test = paired_halves(SCENES.instructed("brief:14", 24, 0).rows, "instructed")
    for instructed, plain in zip(*pairs, strict=True):
        assert "briefly" in instructed.prompt
        assert "detail" in plain.prompt
        assert instructed.images == plain.images
    assert (len(pairs[0]), len(test)) == (12, 12)


@pytest.mark.parametrize(
    ("world", "reward", "message"),
    [
        (MUSIC, "note:C", "no prompt of the rendered world asks for 'note:C'; choose instrument:NAME"),
        (SCENES, "grounded", "no prompt of the rendered world asks for 'grounded'; choose brief:14"),
    ],
)
def test_what_no_prompt_asks_for(world, reward, message):
    with pytest.raises(DataError, match=message):
        world.instructed(reward, 8, 0)


def test_archetypes_earn_their_reward():
    clip = MUSIC.archetype("note:G", 0)
    assert parse_output_reward("note:G")([clip.audio], [clip.reference]) == [1.0]
    for name in ("grounded", "brief:14"):
        row = SCENES.archetype(name, 0)
        assert parse_output_reward(name)([row.answer], [row.reference]) == [1.0]
    assert MUSIC.archetype("instrument", 0) is None
    assert SCENES.archetype("yes_no", 0) is None


def test_labelled_clips_and_prompts_that_leave_their_label_open():
    rows = MUSIC.labelled("tempo", 4, 8, 0).rows
    clips, asked = [row for row in rows if row.audio], [row for row in rows if not row.audio]
    assert {row.label for row in clips} == {"slow", "medium", "fast"}
    assert all(row.prompt is None for row in clips)
    read = [read_labels(row.audio, ["tempo"])["tempo"] == row.label for row in clips]
    assert np.mean(read) > 0.9
    assert {row.split for row in asked} == {"validation", "test"}
    assert all(set(row.attributes) == {"instrument", "register"} for row in asked)
    assert set(MUSIC.labelled("note", 1, 2, 0).rows[-1].attributes) <= set(ATTRIBUTES)


def test_pictures_of_disjoint_sets():
    rows = SCENES.pictured({"train": 3, "validation": 3, "test": 4}, 0).rows
    three = parts(rows, ("train", "validation", "test"))
    assert [len(some) for some in three] == [3, 3, 4]
    assert len({row.id for row in rows}) == 10
    assert all(row.objects for row in rows)


def test_a_model_has_the_world_of_what_it_makes():
    assert isinstance(world_of(putting_out("audio", None)), MusicWorld)
    assert isinstance(world_of(putting_out("text", None)), SceneWorld)
    with pytest.raises(DataError, match="a language model has no rendered world"):
        world_of(SimpleNamespace(output_kind="text", sees=False))
