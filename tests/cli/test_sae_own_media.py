"""Every method of `mmsteer sae` that makes sense, on image files and audio files of one's own."""

import json

import numpy as np
import pytest
import soundfile

from mmsteer.worlds.music.concepts import concept_clips
from mmsteer.worlds.music.world import SAMPLE_RATE, render_clip
from mmsteer.worlds.scenes import render_scene, split_scenes
from tests.latents.owned import rows_file


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Image files with their objects."""
    home = tmp_path_factory.mktemp("pictures")
    rows = []
    for at, scene in enumerate(split_scenes("test", 30, 7)):
        render_scene(scene).save(home / f"{at}.png")
        rows.append(
            {
                "id": at,
                "prompt": "Please describe this image in detail.",
                "image": f"{at}.png",
                "objects": sorted(scene.objects),
                "split": ("train", "validation", "test")[at % 3],
            }
        )
    rows_file(home / "bare.jsonl", [{k: v for k, v in row.items() if k != "objects"} for row in rows])
    return rows_file(home / "rows.jsonl", rows)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Audio files of two instruments, and prompts."""
    home = tmp_path_factory.mktemp("clips")
    rows = []
    for at, one in enumerate(concept_clips("instrument", 10, 5)):
        if one.label in ("organ", "flute"):
            soundfile.write(home / f"{at}.wav", render_clip(one.clip), SAMPLE_RATE)
            attributes = {"instrument": one.label, "tempo": one.clip.tempo}
            rows.append({"audio": f"{at}.wav", "label": one.label, "attributes": attributes, "group": f"source {at}"})
    asked = [{"prompt": text, "attributes": {"tempo": "slow"}} for text in ("a slow melody", "slow music", "slow", "a")]
    rows_file(home / "unknown.jsonl", [row | {"label": "tuba", "attributes": {}} for row in rows] + asked)
    rows_file(home / "prompts.jsonl", asked + [{"prompt": f"music {at}"} for at in range(4)])
    return rows_file(home / "rows.jsonl", rows + asked)


def result(run):
    code, out, err = run
    assert code == 0, err
    return json.loads(out)


def refused(run, part):
    code, _, err = run
    assert code == 2
    assert err.startswith("error: ")
    assert part in err


@pytest.fixture
def seeing(mmsteer, pictures):
    def run(command, *words, data="rows.jsonl"):
        words = ("--data", pictures.parent / data, *words, "--json")
        return mmsteer("sae", command, "bundled:vision", *words)

    return run


@pytest.fixture
def playing(mmsteer, clips):
    def run(command, *words, data="rows.jsonl"):
        words = ("--data", clips.parent / data, *words, "--json")
        return mmsteer("sae", command, "bundled:music", *words)

    return run


def test_hallucination_on_pictures(seeing):
    found = result(seeing("hallucination", "--methods", "effect,SSL", "--candidates", 2, "--strengths=-0.1,0.1"))
    [tried, reported, _, by_papers] = found.values()
    assert tried
    for rows in (reported, by_papers):
        assert rows[0]["condition"] == "unsteered"
        assert rows[0]["chair_s"]["n"] == 10
    refused(seeing("hallucination", data="bare.jsonl"), "bare.jsonl:1: the row has no 'objects'")


def test_wrong_mentions_of_pictures(seeing):
    found = result(seeing("detect", "--explained", 1))
    assert sum("Wrong mentions" in title for title in found) == 2
    refused(seeing("detect", data="bare.jsonl"), "no label")


@pytest.mark.parametrize("command", ["corrsteer", "lf", "clamp"])
def test_rewards_of_captions(seeing, command):
    more = {"corrsteer": (), "lf": ("--k", 2), "clamp": ("--candidates", 1, "--multiples", "1")}[command]
    reward = "mentions:chair|car" if command == "clamp" else "grounded"
    found = result(seeing(command, "--reward", reward, "--tokens", 24, *more))
    assert found["On other prompts"][0]["trials"] == reward
    refused(seeing(command, "--reward", "grounded", data="bare.jsonl"), "compares with 'objects', and no row has it")


def test_features_and_objects_of_captions(seeing):
    found = result(seeing("scores", 3, 17, "--tokens", 24))
    assert [row["feature"] for row in found["The best head of each"]] == [3, 17]
    words = ("--target", "object:cup", "--rows", 4, "--random", 4, "--items", 6, "--test", 4, "--tokens", 24)
    assert result(seeing("effects", *words))["vectors"] == 8


def test_labels_of_clips(playing):
    found = result(playing("detect", "--labels", "organ", "--explained", 1, "--seconds", 1))
    assert list(found) == ["label:organ told from the others", "What steering changes, organ"]
    assert "tempo:slow told from the others" in result(
        playing("detect", "--concept", "tempo", "--labels", "slow", "--explained", 0)
    )


def test_the_feature_of_a_label_is_steered(playing):
    words = ("--concept", "instrument", "--labels", "organ", "--strengths", "0.2", "--seconds", 1)
    [rows] = result(playing("attributes", *words)).values()
    assert [row["condition"].split()[0] for row in rows] == ["unsteered", "feature", "random", "random"]
    assert rows[0]["hit"]["n"] + rows[0]["hit"]["unscored"] == 2
    refused(playing("attributes", "--concept", "instrument", data="unknown.jsonl"), "the instrument 'tuba' is not read")
    refused(playing("attributes", "--concept", "instrument", data="prompts.jsonl"), "no row has audio")


def test_rewards_of_clips(playing):
    found = result(playing("corrsteer", "--reward", "register:low", "--seconds", 1, data="prompts.jsonl"))
    assert found["On other prompts"][0]["trials"] == "register:low"
    refused(playing("corrsteer", "--reward", "instrument", data="unknown.jsonl"), "'attributes', and no row has it")


def test_features_of_clips(playing):
    found = result(playing("scores", 12, "--seconds", 1))
    assert found["The best head of each"][0]["feature"] == 12
    refused(playing("scores", 12, data="unknown.jsonl"), "give each `attributes`")


def test_features_of_outputs(playing):
    words = ("--target", "register", "--rows", 2, "--random", 3, "--items", 1, "--test", 2, "--seconds", 1)
    assert np.isfinite(result(playing("effects", *words, data="prompts.jsonl"))["ridge"])
