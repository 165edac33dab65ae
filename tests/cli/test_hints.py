"""Remedies in errors name what a user of the command line can type."""

import json

import pytest
import typer

from mmsteer.cli import app
from mmsteer.cli.hints import as_typed
from mmsteer.worlds.scenes import render_scene, split_scenes
from tests.adapters.checkpoints import save

COMMAND = typer.main.get_command(app)


@pytest.mark.parametrize(
    ("words", "hint", "typed"),
    [
        ("generate --prompt x", "take compatibility='dimension'", "take --compatibility dimension"),
        ("probe --out x", "take compatibility='dimension'", "take compatibility='dimension'"),
        ("probe --out x", "or take ending='written'", "or take --ending written"),
        ("run mine.yaml", "or take ending='written'", "or take ending: written"),
        ("sae browse mine", "say which with dictionary.at(Site(...))", "say which with --site"),
        ("sae hallucination mine", "say which with dictionary.at(Site(...))", "say which with --site"),
        ("sae convert mine", "take compatibility='dimension'", "take compatibility='dimension'"),
    ],
)
def test_arguments_become_options_where_the_command_has_them(words, hint, typed):
    assert as_typed(hint, COMMAND, words.split()) == typed


def test_demonstrations_of_one_sentence(mmsteer, tmp_path):
    lines = []
    for at, scene in enumerate(split_scenes("demos", 6, 0)):
        render_scene(scene).save(tmp_path / f"{at}.png")
        said = {"question": "describe the image", "value": "there is a cup", "h_value": "there is a table"}
        lines.append(json.dumps({"image": f"{at}.png"} | said))
    (tmp_path / "demos.jsonl").write_text("\n".join(lines))
    model = save("llava", tmp_path / "llava")
    words = ["probe", "--contrast", "captions", "--demos", tmp_path / "demos.jsonl", "--images", tmp_path]
    words += ["--model", model, "--sites", "text.1", "--out", tmp_path / "d.safetensors"]
    code, _, err = mmsteer(*words)
    assert code == 2
    assert err.rstrip().endswith("or take --ending written")
    assert mmsteer(*words, "--ending", "written")[::2] == (0, "")
