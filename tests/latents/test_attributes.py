"""Attributes of clips: found in planted features, steered, and judged by ear."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import mmsteer
from mmsteer.data.synthesis import TIMBRES, Note
from mmsteer.data.synthesis import render as render_notes
from mmsteer.errors import DictionaryError
from mmsteer.latents.attributes import Clips, detect_attribute, label_feature, random_feature, steer_attributes
from mmsteer.latents.listening import _described, _meaning, prompts, pushed
from mmsteer.sae import usage
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
    return Clips("note", z, states, labels, groups, usage(dictionary, [torch.randn(50, dictionary.width)]))


def test_a_label_is_told_by_its_feature(clips):
    rows = detect_attribute(clips, "C")
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
    with pytest.raises(DictionaryError, match=r"no clip of note 'H'; choose from \['C', 'C#', 'D'\]"):
        clips.members("H")


def test_prompts_leave_the_concept_open():
    for concept in ("tempo", "instrument"):
        for sample, named in prompts(concept, 4, 0):
            assert concept not in named
            assert sample.text
    assert set(prompts("note", 1, 0)[0][1]) == {"instrument", "tempo", "register"}


def test_a_push_is_on_the_conditional_branch(dictionary, clips):
    (attribute,) = pushed(label_feature(dictionary, clips, "C"), 0.3).attributes
    assert (attribute.strength, attribute.branch, attribute.unit) == (0.3, "conditional", "relative")


def test_what_a_change_means(playing):
    def heard(pitch):
        notes = [Note(at / 2, 0.45, pitch) for at in range(8)]
        return _described(playing, render_notes(notes, TIMBRES["piano"], 4.0, playing.sample_rate).astype(np.float32))

    found = _meaning(3, 1.0, [heard(60)], [heard(67)])
    assert found.notes[0] == "G"
    assert found.notes[1] > 0.5
    assert found.register == pytest.approx(7, abs=0.5)
    assert found.tempo == pytest.approx(0, abs=2)


def test_only_what_can_be_heard_is_steered(playing, dictionary, clips):
    with pytest.raises(DictionaryError, match="'mode' is not judged from the audio; choose from note"):
        steer_attributes(playing, dictionary, replace(clips, concept="mode"), ["major"])
