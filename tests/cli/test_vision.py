"""Models that see, on the command line."""

import pytest

from mmsteer.worlds.scenes import render_scene, split_scenes
from tests.adapters.checkpoints import save
from tests.recipes.vision.recipe import write_recipe


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save("llava", tmp_path_factory.mktemp("llava"))


def test_probe_then_generate(mmsteer, model, tmp_path):
    file, picture = tmp_path / "mine.safetensors", tmp_path / "room.png"
    render_scene(split_scenes("test", 1, 0)[0]).save(picture)
    words = ["--contrast", "captions", "--pairs", 8, "--family", "mine", "--model", model, "--out", file]
    code, out, _ = mmsteer("probe", *words)
    assert code == 0
    assert "text.2" in out
    assert out.endswith("mine.safetensors: mine:yes\nmine:yes points to true captions, away from hallucinated ones\n")
    words = [
        "--image",
        picture,
        "--prompt",
        "describe the image",
        "--model",
        model,
        "--directions",
        file,
        "--tokens",
        4,
    ]
    code, out, _ = mmsteer("generate", *words, "--steer", "mine:yes 5 at all - first", "--compare")
    assert code == 0
    before, after, applied, *_ = out.splitlines()
    assert before.removeprefix("unsteered: ") != after.removeprefix("steered:   ")
    assert "mine:yes 5" in applied


def test_visual_directions_are_found_at_every_token(mmsteer, model, tmp_path):
    file = tmp_path / "masked.safetensors"
    words = ["--contrast", "masked", "--pairs", 8, "--sites", "vision.0-2", "--model", model, "--out", file]
    assert mmsteer("probe", *words)[0] == 0
    from mmsteer.direction_file import load_directions

    (direction,) = load_directions(file).values()
    assert {vector.ndim for vector in direction.vectors.values()} == {2}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["probe", "--out", "x.safetensors"], "give one of --data"),
        (["probe", "--concept", "note", "--contrast", "captions", "--out", "x.safetensors"], "give one of --data"),
        (["probe", "--contrast", "caption", "--out", "x.safetensors"], "no contrast 'caption'"),
        (["probe", "--contrast", "mentions", "--demos", "d.jsonl", "--images", ".", "--out", "x"], "leave out --demos"),
        (["probe", "--contrast", "captions", "--demos", "d.jsonl", "--out", "x"], "as --images"),
        (["generate", "--prompt", "x", "--image", "gone.png"], "gone.png: cannot be read"),
    ],
)
def test_errors_are_one_line(mmsteer, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = mmsteer(*words)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


def test_a_model_that_makes_music_needs_a_file(mmsteer, musicgen_folder):
    code, _, err = mmsteer("generate", "--prompt", "piano", "--model", musicgen_folder)
    assert code == 2
    assert "give --out" in err


def test_concepts_are_for_music(mmsteer, model, tmp_path):
    code, _, err = mmsteer("probe", "--concept", "note", "--model", model, "--out", tmp_path / "x.safetensors")
    assert code == 2
    assert "makes no music" in err


def test_run_says_what_was_chosen(mmsteer, model, tmp_path):
    recipe = write_recipe(tmp_path, model)
    choose = "choose={of: all, maximise: f1, data: {scenes: {n: 3, split: validation, seed: 0}}}"
    words = [choose, "controls.random=0", "controls.wrong_image=false", "data.scenes.n=2", "ask.pope=~", "--quiet"]
    code, out, _ = mmsteer("run", recipe, *words, "--out", tmp_path / "run")
    assert code == 0
    assert "chosen to maximise f1: honest at " in out
    assert "chair_s" in out


def test_a_description_is_checked_object_by_object(mmsteer, tmp_path):
    picture, text = tmp_path / "room.png", tmp_path / "left.txt"
    render_scene(split_scenes("test", 1, 0)[0]).save(picture)
    words = ["generate", "--image", picture, "--prompt", "Please describe this image in detail.", "--out", text]
    code, out, err = mmsteer(*words, "--steer", "auto:hallucination 1000")
    assert code == 0, err
    said, left, asked = (line.split(":", 1)[1].strip() for line in out.splitlines()[:3])
    assert said
    assert text.read_text().strip() == left
    assert "denied under 1000" in asked
    assert "confirmed" not in asked
    assert asked.count(" denied") > 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steer", "auto:hallucination x"], "cannot read"),
        (["--steer", "auto:hallucination 1 2"], "cannot read"),
        (["--steer", "auto:hallucination", "--compare"], "leave out --compare"),
        (["--steer", "auto:hallucination"], "give --image"),
    ],
)
def test_what_cannot_be_checked_is_refused(mmsteer, tmp_path, words, message):
    picture = tmp_path / "room.png"
    render_scene(split_scenes("test", 1, 0)[0]).save(picture)
    shown = [] if message == "give --image" else ["--image", picture]
    code, _, err = mmsteer("generate", "--prompt", "describe", *shown, *words)
    assert code != 0
    assert message in err
