"""Labels of rows: found in planted features; and what evaluators read of steered clips."""

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import mmsteer
from mmsteer.data.synthesis import TIMBRES, Note
from mmsteer.data.synthesis import render as render_notes
from mmsteer.errors import DataError, DictionaryError
from mmsteer.eval.attributes import Clip
from mmsteer.latents import audio_effects
from mmsteer.latents.attributes import (
    LabelledActivations,
    check_audible,
    detect_label,
    label_feature,
    labelled_by,
    random_feature,
    read_labelled,
)
from mmsteer.latents.audio_effects import _change, _readings, label_effect, on_prompt_branch
from mmsteer.sae import usage
from mmsteer.tasks import Row
from mmsteer.types import Sampling
from tests.latents.dictionaries import drawn

LABELS = ("C", "C#", "D")


@pytest.fixture(scope="module")
def playing():
    return mmsteer.load("bundled:music")


@pytest.fixture(scope="module")
def dictionary(playing):
    return drawn(playing, "decoder.2", features=12)


@pytest.fixture(scope="module")
def clips(dictionary):
    """Feature 4 goes with C, feature 7 with D."""
    generator = torch.Generator().manual_seed(0)
    labels = tuple(LABELS[index % 3] for index in range(180))
    z, states = (torch.rand(180, width, generator=generator) for width in (12, 16))
    z[:, 4] += torch.tensor([2.0 * (label == "C") for label in labels])
    z[:, 7] += torch.tensor([1.0 * (label == "D") for label in labels])
    groups = tuple(f"source {index // 3 % 20}" for index in range(180))
    return LabelledActivations(
        "note", z, states, labels, groups, usage(dictionary, [torch.randn(50, dictionary.width)])
    )


def test_a_label_is_told_by_its_feature(clips):
    rows = detect_label(clips, "C")
    assert all(4 in row.features for row in rows if row.inputs == "features")
    assert rows[0].features == (4,)
    area = {(row.detector, row.inputs): row.auc for row in rows}
    assert area["single", "features"] > 0.95
    assert area["logistic probe", "states"] < 0.85
    assert rows[0].n < len(clips.labels)


def test_features_of_labels(dictionary, clips):
    found = label_feature(dictionary, clips, "D")
    assert (found.name, found.provenance["feature"]) == ("note:D", "7")
    drawn_one = random_feature(dictionary, clips.used, 0, without=[7])
    assert drawn_one.provenance["feature"] != "7"
    with pytest.raises(DictionaryError, match=r"no row of note 'H'; choose from \['C', 'C#', 'D'\]"):
        clips.members("H")


def test_a_direction_is_added_on_the_conditional_branch(dictionary, clips):
    (attribute,) = on_prompt_branch(label_feature(dictionary, clips, "C"), 0.3).attributes
    assert (attribute.strength, attribute.branch, attribute.unit) == (0.3, "conditional", "relative")


def tone(pitch, rate=16000):
    notes = [Note(at / 2, 0.45, pitch) for at in range(8)]
    return render_notes(notes, TIMBRES["piano"], 4.0, rate).astype(np.float32)


def test_what_a_change_means():
    found = _change(3, 1.0, [_readings(Clip(tone(60), 16000))], [_readings(Clip(tone(67), 16000))])
    assert found.notes[0] == "G"
    assert found.notes[1] > 0.5
    assert found.register == pytest.approx(7, abs=0.5)
    assert found.tempo == pytest.approx(0, abs=2)


def test_a_label_and_what_it_costs():
    """Every clip is a piano's C at 120 beats a minute, in the middle register."""
    playing = SimpleNamespace(
        sample_rate=16000,
        output_kind="audio",
        sees=False,
        generate=lambda prompts, *_: [replace(one, output=tone(60)) for one in prompts],
    )
    rows = [
        Row("a", "here", "a slow piano", attributes={"instrument": "piano", "tempo": "slow", "mood": "calm"}),
        Row("b", "here", "music"),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audio_effects, "steer", lambda *_: nullcontext())
        found = label_effect(playing, rows, Sampling(), "note", "C", "unsteered", None)
        other = label_effect(playing, rows, Sampling(), "tempo", "slow", "unsteered", None)
    assert (found.hit.value, found.hit.n) == (1.0, 2)
    # The first prompt names two attributes that can be read, of which the clip has one.
    assert (found.adherence.value, found.adherence.unscored) == (0.5, 1)
    assert (other.hit.value, other.adherence.value) == (0.0, 1.0)


def test_an_attribute_of_rows_may_be_their_label():
    rows = [Row(str(at), f"rows:{at}", label="x", attributes={"tempo": t}) for at, t in enumerate(("slow", "fast"))]
    assert [row.label for row in labelled_by(rows, "tempo")] == ["slow", "fast"]
    assert [row.label for row in labelled_by(rows, None)] == ["x", "x"]
    assert [row.label for row in labelled_by(rows, "note")] == ["x", "x"]
    with pytest.raises(DataError, match="rows:0: the row has neither a label nor an attribute 'note'"):
        labelled_by([replace(row, label=None) for row in rows], "note")
    with pytest.raises(DataError, match="rows:1: the row has no label, and 1 rows have none"):
        labelled_by([rows[0], replace(rows[1], label=None)], None)


def test_clips_are_read_without_their_prompts(playing, dictionary):
    rows = [Row(str(at), "here", text, audio=Clip(tone(60), 16000), label=text) for at, text in enumerate(("a", "b"))]
    found = read_labelled(playing, dictionary, rows, "label")
    assert torch.allclose(found.states[0], found.states[1], atol=1e-4)
    assert found.labels == ("a", "b")


def test_only_what_is_read_from_audio_is_steered():
    with pytest.raises(DataError, match="'mood' is not read from audio; give --concept, one of note"):
        check_audible("mood")
    with pytest.raises(DataError, match="the instrument 'tuba' is not read from audio; the evaluator knows piano"):
        check_audible("instrument", ["organ", "tuba"])
