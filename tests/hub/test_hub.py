"""Pushing to and fetching from a stand-in of the hub, in processes of their own: its client reads settings once."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import HfApi

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
def run(server, tmp_path):
    """Run Python lines with the stand-in as the hub."""

    def run(*lines, **settings):
        env = {
            **os.environ,
            "HF_ENDPOINT": server.url,
            "HF_HUB_OFFLINE": "0",
            "HF_HOME": str(tmp_path / "hf"),
            "HF_TOKEN": "hf_writer",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "PYTHONPATH": str(ROOT),
            **settings,
        }
        code = "\n".join(("import mmsteer", "from mmsteer.errors import MmsteerError", *lines))
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    return run


def direction(name="style:pirate", **source):
    site = Site("text", 3)
    stats = SiteStats(0.875, 0.1, 1.0, 9.0)
    provenance = {"probe": "mean_difference", "data": "sha256:fe", **source}
    return Direction(name, {site: torch.tensor([0.6, 0.8])}, {site: stats}, "sha256:abc", provenance)


def test_what_is_pushed_is_fetched(run, server, tmp_path):
    save_directions(tmp_path / "d.safetensors", [direction()])
    code, out, err = run(
        f"known = mmsteer.load_directions({str(tmp_path / 'd.safetensors')!r})",
        "at = mmsteer.push(known, 'me/pirate', licence='apache-2.0', model='user/base')",
        "print(at)",
        "back = mmsteer.load_directions(at)",
        "print(back['style:pirate'].vectors, back['style:pirate'].model)",
        "again = mmsteer.push(known.values(), 'me/pirate', licence='apache-2.0')",
    )
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "hf://me/pirate/directions.safetensors"
    assert "0.6000, 0.8000" in out
    assert "sha256:abc" in out
    files = server.repos["me/pirate"]
    assert files.keys() == {"directions.safetensors", "README.md"}
    assert files["directions.safetensors"] == (tmp_path / "d.safetensors").read_bytes()
    # Without a connection the cache has it; and what is not in it is one clear line.
    lines = (
        f"print(list(mmsteer.load_directions('hf://me/pirate@{COMMIT}/directions.safetensors')))",
        "try: mmsteer.load_directions('hf://me/other/directions.safetensors')",
        "except MmsteerError as error: print(error)",
    )
    code, out, err = run(*lines, HF_HUB_OFFLINE="1")
    assert (code, err, out.count("\n")) == (0, "", 2)
    assert out.startswith("['style:pirate']")
    assert "hf://me/other/directions.safetensors cannot be fetched" in out
    assert "HF_HUB_OFFLINE" in out


def test_files_of_others_on_the_hub_are_never_unpickled(run, server, tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"3": torch.ones(2)}, tmp_path / "good.pt")
    torch.save(Trap(), tmp_path / "trap.pt")
    server.repos["you/vectors"] = {
        "good.pt": (tmp_path / "good.pt").read_bytes(),
        "sub/trap.pt": (tmp_path / "trap.pt").read_bytes(),
        "bare.pt": pickle.dumps(Trap()),
        "huge.safetensors": b"small",
    }
    server.claims["huge.safetensors"] = str(2**40)
    code, out, err = run(
        "for name in ('good.pt', 'sub/trap.pt', 'bare.pt', 'huge.safetensors', 'no.pt'):",
        "    try: print(list(mmsteer.load_directions(f'hf://you/vectors/{name}')))",
        "    except MmsteerError as error: print(error)",
    )
    assert (code, err) == (0, "")
    good, trap, bare, huge, missing = out.splitlines()
    assert good == "['good']"
    assert "pickle" in trap
    assert "pickle" in bare
    assert f"{2**40} bytes" in huge
    assert not any("resolve/main/huge" in path for path in server.asked[-1:])
    assert "cannot be fetched" in missing
    assert not (tmp_path / "ran").exists()


def test_the_command_and_who_may_write(run, server, tmp_path):
    save_directions(tmp_path / "d.safetensors", [direction()])
    words = ["mmsteer", "push", str(tmp_path / "d.safetensors"), "me/pirate", "--licence", "mit"]
    lines = ("import sys", f"sys.argv = {words!r}", "from mmsteer.cli import main", "main()")
    code, _, err = run(*lines, HF_TOKEN="hf_reader")
    assert (code, err.count("\n")) == (2, 1)
    assert "HF_TOKEN" in err
    assert not server.repos
    code, out, err = run(*lines)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "mmsteer.load_directions('hf://me/pirate/directions.safetensors')"
    assert b"license: mit" in server.repos["me/pirate"]["README.md"]


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
    assert 'mmsteer.load("MODEL")' in text
    assert "1trained" in text
    (tmp_path / "scores.json").write_text('{"rows": [7]}')
    with pytest.raises(DataError, match="no scores"):
        read_scores(tmp_path)
