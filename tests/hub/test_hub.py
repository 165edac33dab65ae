"""Pushing to, and fetching from, a stand-in of the hub."""

import ast
import os
import pickle
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import HfApi, constants

from mmsteer.direction_file import save_directions
from mmsteer.errors import DataError, DirectionError
from mmsteer.formats import load_directions
from mmsteer.formats.hub_file import is_address
from mmsteer.hub import card_of, push, read_scores
from mmsteer.types import UNKNOWN, Direction, Site, SiteStats
from tests.hub.stand_in import COMMIT, hub

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server():
    with hub() as running:
        yield running


@pytest.fixture
def online(server, monkeypatch, tmp_path):
    """The stand-in as the hub, for the client as it is in this process."""
    settings = {
        "ENDPOINT": server.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": server.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_OFFLINE": False,
        "HF_HUB_CACHE": str(tmp_path / "hub"),
        "HF_HUB_DISABLE_XET": True,
    }
    for name, value in settings.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    return server


def direction(name="style:pirate", **source):
    site = Site("text", 3)
    stats = SiteStats(0.875, 0.1, 1.0, 9.0)
    provenance = {"probe": "mean_difference", "data": "sha256:fe", **source}
    return Direction(name, {site: torch.tensor([0.6, 0.8])}, {site: stats}, "sha256:abc", provenance)


def test_what_is_pushed_is_fetched(online, monkeypatch, tmp_path):
    address = push({"style:pirate": direction()}, "me/pirate", licence="apache-2.0", model="user/base")
    assert address == "hf://me/pirate/directions.safetensors"
    (back,) = load_directions(address).values()
    assert (back.name, back.model, back.provenance) == ("style:pirate", "sha256:abc", direction().provenance)
    torch.testing.assert_close(back.vectors, direction().vectors)
    push([direction()], "me/pirate", licence="apache-2.0", overwrite=True)  # a repository that is there
    save_directions(tmp_path / "d.safetensors", [direction()])
    files = online.repos["me/pirate"]
    assert files.keys() == {"directions.safetensors", "README.md"}
    assert files["directions.safetensors"] == (tmp_path / "d.safetensors").read_bytes()
    # Without a connection the cache has it; and what is not in it is one clear line.
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked = len(online.asked)
    assert list(load_directions(f"hf://me/pirate@{COMMIT}/directions.safetensors")) == ["style:pirate"]
    with pytest.raises(
        DirectionError, match=r"hf://me/other/x\.safetensors cannot be fetched.*HF_HUB_OFFLINE"
    ) as caught:
        load_directions("hf://me/other/x.safetensors")
    assert str(caught.value).count("\n") == 0
    with pytest.raises(DirectionError, match="me/pirate cannot be written"):
        push([direction()], "me/pirate", licence="mit")
    assert len(online.asked) == asked


def test_what_is_there_is_replaced_only_where_that_is_asked_for(online, mmsteer, tmp_path):
    push([direction()], "me/pirate", licence="mit")
    before = dict(online.repos["me/pirate"])
    with pytest.raises(DirectionError, match=r"me/pirate has README.md and directions.safetensors already.*overwrite"):
        push([direction("other")], "me/pirate", licence="mit")
    with pytest.raises(DirectionError, match=r"has README.md already"):
        push([direction("other")], "me/pirate", licence="mit", file="sub/other.safetensors")
    assert online.repos["me/pirate"] == before
    save_directions(tmp_path / "d.safetensors", [direction("other")])
    words = ["push", tmp_path / "d.safetensors", "me/pirate", "--licence", "mit"]
    code, _, err = mmsteer(*words)
    assert (code, "--force" in err) == (2, True)
    assert mmsteer(*words, "--force")[0] == 0
    assert list(load_directions("hf://me/pirate/directions.safetensors")) == ["other"]


def test_what_should_be_private_is_never_made_public(online):
    online.repos["me/open"] = {}
    with pytest.raises(DirectionError, match="me/open is there already, and public"):
        push([direction()], "me/open", licence="mit", private=True)
    assert not online.repos["me/open"]
    push([direction()], "me/closed", licence="mit", private=True)
    push([direction()], "me/closed", licence="mit", private=True, overwrite=True)
    assert online.private == {"me/closed"}


def test_there_has_to_be_something_to_push(online):
    for nothing in ({}, []):
        with pytest.raises(DirectionError, match="no directions to push"):
            push(nothing, "me/pirate", licence="mit")
    assert not online.repos


@pytest.mark.parametrize("file", ["../x.safetensors", "a/../x.safetensors", "/x.safetensors", "a//x.safetensors"])
def test_files_outside_a_repository(online, file):
    with pytest.raises(DirectionError, match="is no path inside a repository"):
        push([direction()], "me/pirate", licence="mit", file=file)
    assert not online.repos


class Trap:
    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


def test_files_of_others_on_the_hub_are_never_unpickled(online, tmp_path):
    torch.save({"3": torch.ones(2)}, tmp_path / "good.pt")
    torch.save(Trap(tmp_path / "ran"), tmp_path / "trap.pt")
    online.repos["you/vectors"] = {
        "good.pt": (tmp_path / "good.pt").read_bytes(),
        "sub/trap.pt": (tmp_path / "trap.pt").read_bytes(),
        "bare.pt": pickle.dumps(Trap(tmp_path / "ran")),
        "huge.safetensors": b"small",
    }
    online.claims["huge.safetensors"] = str(2**40)
    (good,) = load_directions("hf://you/vectors/good.pt").values()
    assert list(map(str, good.sites)) == ["text.3"]
    told = {"sub/trap.pt": "pickle", "bare.pt": "pickle", "huge.safetensors": f"{2**40} bytes", "no.pt": "be fetched"}
    for file, words in told.items():
        with pytest.raises(DirectionError, match=words):
            load_directions(f"hf://you/vectors/{file}")
    assert not (tmp_path / "ran").exists()


def test_the_command_and_who_may_write(online, mmsteer, monkeypatch, tmp_path):
    save_directions(tmp_path / "d.safetensors", [direction()])
    words = ["push", tmp_path / "d.safetensors", "me/pirate", "--licence", "mit"]
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    code, _, err = mmsteer(*words)
    assert (code, err.count("\n"), "HF_TOKEN" in err) == (2, 1, True)
    assert not online.repos
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    code, out, _ = mmsteer(*words)
    assert code == 0
    assert out.splitlines()[-1] == "mmsteer.load_directions('hf://me/pirate/directions.safetensors')"
    assert b"license: mit" in online.repos["me/pirate"]["README.md"]


def test_the_settings_of_the_environment_hold(server, tmp_path):
    np.savez(tmp_path / "v.npz", layer_3=np.ones(2, np.float32))
    server.repos["me/pirate"] = {"v.npz": (tmp_path / "v.npz").read_bytes()}
    settings = {"HF_ENDPOINT": server.url, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf")}
    code = "import mmsteer; print(list(mmsteer.load_directions('hf://me/pirate/v.npz')))"
    env = {**os.environ, **settings, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "['v']\n"


def test_the_card_says_what_is_known():
    score = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 40, "unscored": 0}
    scores = {"pushed": {"pirate": {"steered": score, "unsteered": None, "random": {**score, "value": 0.1}}}}
    text = card_of([direction()], "me/p", "d.safetensors", licence="mit", model="user/base", scores=scores)
    head = yaml.safe_load(text.split("---")[1])
    assert (head["license"], head["base_model"], head["library_name"]) == ("mit", "user/base", "mmsteer")
    assert "| style:pirate | text.3 | 0.875 | mean\\_difference |" in text
    assert "| data | sha256:fe |" in text
    assert "| pushed | pirate | 0.5 (0.4 to 0.6, n 40) | 0.1 (0.4 to 0.6, n 40) |" in text
    assert "not measured here" in card_of([direction()], "me/p", "d.safetensors", licence="mit")


def test_provenance_cannot_write_the_page():
    hostile = direction("a|b <script>", note="x\n\n# Title\n[link](http://x) | <img src=x>" + "y" * 5000)
    text = card_of([hostile], "me/p", "d.safetensors", licence="mit")
    text = text.split("```")[2]  # in the block of code, marks are what they are
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert "\n# Title" not in text
    assert "<img" not in text.replace("\\<img", "")
    assert len(text) < 4000
    assert "www\\.there.com" in card_of([direction(note="www.there.com &lt;b")], "me/p", "d.safetensors", licence="mit")


def test_names_cannot_write_the_code_of_the_card():
    name = "x', open('/etc/passwd').read(), 'y`<img src=x>\r```\r# Title"
    hostile = replace(direction(name), model='m`<img>\n```\n"); import os #')
    text = card_of([hostile], "me/p", "d.safetensors", licence="mit")
    introduction, code, after = _blocks(text)
    assert "<img" not in introduction.replace("\\<img", "")
    assert "`" not in introduction.partition("# me/p")[2].replace("\\`", "")
    calls = [one for one in ast.walk(ast.parse(code)) if isinstance(one, ast.Call)]
    assert [one.func.attr for one in calls] == ["load", "load_directions", "steer"]
    assert calls[0].args[0].value == hostile.model
    assert name in calls[2].args[1].value
    assert "\n# Title" not in after


def _blocks(text):
    """What stands before the code of the card, the code, and what stands behind it, by CommonMark's rule of its end."""
    begin, end = text.index("```python\n"), re.search(r"(?m)^ {0,3}```[ \t]*$", text).start()
    return text[:begin], text[begin + 10 : end], text[end + 3 :]


@pytest.mark.parametrize("repo", ["pirate", "a/b/c", "../x/y", "a/b c", ""])
def test_names_that_are_none_of_the_hubs(repo, monkeypatch):
    monkeypatch.setattr(HfApi, "create_repo", lambda *_, **__: pytest.fail("asked"))
    with pytest.raises(DirectionError, match="user/name"):
        push([direction()], repo, licence="mit")


@pytest.mark.parametrize("address", ["hf://me", "hf://me/repo", "hf://me/repo/", "hf://me/repo/../x", "hf://"])
def test_addresses_that_cannot_be_read(address):
    assert is_address(address)
    with pytest.raises(DirectionError, match="is no address"):
        load_directions(address)


def test_an_address_may_come_as_a_path():
    with pytest.raises(DirectionError, match="cannot be fetched"):
        load_directions(Path("hf://me/repo/file.gguf"))


def test_an_unknown_model_is_not_named(tmp_path):
    site = Site("text", 3)
    one = Direction("a", {site: torch.ones(1)}, {site: SiteStats(None, 0.0, 0.0, 0.0, None, 2.0)}, UNKNOWN)
    text = card_of([one], "me/p", "d.safetensors", licence="mit")
    assert "mmsteer.load('MODEL')" in text
    assert "1trained" in text
    (tmp_path / "scores.json").write_text('{"rows": [7]}')
    with pytest.raises(DataError, match="no scores"):
        read_scores(tmp_path)
