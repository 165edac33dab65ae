"""The music world: what a clip says of itself is what is played, and the prompt tells no pitch."""

import re

import numpy as np
import pytest

from mmsteer.data.theory import TRIADS
from mmsteer.errors import DataError
from mmsteer.types.pitch import PITCH_CLASSES
from mmsteer.worlds.music.concepts import CONCEPTS, concept_clips
from mmsteer.worlds.music.prompts import STATABLE, WORDS
from mmsteer.worlds.music.textures import TEXTURE_WORDS
from mmsteer.worlds.music.world import CHORD_WORDS, CLIP_SECONDS, REGISTERS, SAMPLE_RATE, render_clip, sample_clip

TEMPI = {"slow": (60, 75), "medium": (100, 125), "fast": (166, 200)}


def clips(count=300, **fixed):
    return [sample_clip(np.random.default_rng([1, index]), **fixed) for index in range(count)]


def onsets(clip):
    return sorted({round(note.onset_s, 4) for note in clip.notes})


def test_the_truth_of_a_clip_is_what_its_notes_play():
    for clip in clips(drone=False):
        low, high = REGISTERS[clip.register]
        assert all(low <= note.midi <= high for note in clip.notes)
        slowest, fastest = TEMPI[clip.tempo]
        assert slowest <= clip.tempo_bpm <= fastest + 1e-9
        gaps = np.diff(onsets(clip))
        # One onset a beat; a rest is a whole number of beats.
        beats = gaps * clip.tempo_bpm / 60
        np.testing.assert_allclose(beats, np.round(beats), atol=1e-6)
        if clip.texture == "repeated":
            assert {note.midi % 12 for note in clip.notes} == {clip.tonic}


def test_chords_are_of_the_quality_that_is_named():
    for clip in clips(60, texture="chords", drone=False):
        for onset in onsets(clip):
            classes = {note.midi % 12 for note in clip.notes if round(note.onset_s, 4) == onset}
            shapes = {
                name: [{(root + step) % 12 for step in steps} for root in range(12)] for name, steps in TRIADS.items()
            }
            qualities = [name for name, roots in shapes.items() if classes in roots]
            assert len(classes) == 3
            assert qualities, classes


def test_prompts_say_what_is_stated_and_no_pitch():
    pitches = re.compile(r"\b[A-G](#|♯|b|♭)?\b|\b(sharp|flat)\b")
    truths = {"instrument": "instrument", "tempo": "tempo", "register": "register"}
    for clip in clips():
        text = clip.prompt
        assert not pitches.search(text.replace("A ", "a ", 1)), text
        for attribute in truths:
            value = getattr(clip, attribute)
            said = any(re.search(rf"\b{word}\b", text.lower()) for word in WORDS[value])
            assert said == (attribute in clip.stated), (text, attribute)


def test_every_combination_of_what_is_stated_occurs():
    stated = {clip.stated & {"instrument", "tempo", "register"} for clip in clips()}
    assert len(stated) == 8


def test_clips_are_seeded_and_four_seconds_long():
    one, again = (render_clip(sample_clip(np.random.default_rng(5)), np.random.default_rng(5)) for _ in range(2))
    assert one.shape == (CLIP_SECONDS * SAMPLE_RATE,)
    assert one.dtype == np.float32
    np.testing.assert_array_equal(one, again)
    assert 0.01 < np.abs(one).max() < 1


def test_attributes_can_be_fixed():
    clip = sample_clip(
        np.random.default_rng(0), instrument="flute", tempo="slow", register="high", tonic=3, chord="dim"
    )
    assert (clip.instrument, clip.tempo, clip.register, clip.tonic, clip.chord) == ("flute", "slow", "high", 3, "dim")
    assert clip.texture == "chords"
    assert clip.mode == "minor"


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ({"instrument": "kazoo"}, "no instrument 'kazoo'; choose from piano"),
        ({"tonic": 12}, "no pitch class 12"),
        ({"chord": "dim", "mode": "major"}, "not of the 'major' mode"),
        ({"chord": "dim", "texture": "melody"}, "has no chord"),
        ({"stated": ["pitch"]}, "cannot state"),
    ],
)
def test_clips_that_cannot_be(fixed, message):
    with pytest.raises(DataError, match=message):
        sample_clip(np.random.default_rng(0), **fixed)


@pytest.mark.parametrize("name", CONCEPTS)
def test_concept_clips_differ_in_the_concept_and_are_balanced_in_the_rest(name):
    found = concept_clips(name, 24, 0)
    labels = CONCEPTS[name].labels
    assert [item.label for item in found] == [label for label in labels for _ in range(24)]
    attribute = CONCEPTS[name].attribute
    for item in found:
        truth = getattr(item.clip, attribute)
        assert (PITCH_CLASSES[truth] if attribute == "tonic" else truth) == item.label
        assert attribute not in item.clip.stated
        assert item.clip.stated <= set(STATABLE)
    # A probe's split holds out whole sources: five or more, each with every label.
    sources = {item.group for item in found}
    assert len(sources) >= 5
    assert all({item.label for item in found if item.group == source} == set(labels) for source in sources)
    for nuisance in {"instrument", "register", "tempo"} - {attribute}:
        counts = [sorted(getattr(item.clip, nuisance) for item in found if item.label == label) for label in labels]
        assert all(one == counts[0] for one in counts)


@pytest.mark.parametrize("name", [name for name in CONCEPTS if name != "note"])
def test_prompts_that_state_the_concept_tell_of_the_same_clips(name):
    open_, stated = concept_clips(name, 6, 0), concept_clips(name, 6, 0, stated=True)
    for before, item in zip(open_, stated, strict=True):
        assert item.clip.notes == before.clip.notes
        assert item.clip.stated > before.clip.stated
        word = {**CHORD_WORDS, **TEXTURE_WORDS}.get(item.label, item.label)
        assert any(said in item.clip.prompt for said in WORDS[word]), item.clip.prompt


def test_concept_clips_that_cannot_be():
    with pytest.raises(DataError, match="no prompt of the world states the note"):
        concept_clips("note", 3, 0, stated=True)
    with pytest.raises(DataError, match="no concept 'mood'; choose from note"):
        concept_clips("mood", 3, 0)
    with pytest.raises(DataError, match="at least one"):
        concept_clips("note", 0, 0)
