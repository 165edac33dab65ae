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
