"""`mmsteer train` on a small model."""

import json
import re

import pytest

from mmsteer.direction_file import load_directions
from mmsteer.errors import ProbeError
from tests.conftest import TALK

# Of the few outputs of a step here all may earn the same.
pytestmark = pytest.mark.filterwarnings("ignore:.*all earned the same:UserWarning")
WORDS = [word for word in TALK if word != "cup"]


@pytest.fixture
def data(tmp_path):
    rows = [
        {"prompt": " ".join(WORDS[at : at + 3]), "answer": answer, "label": label, "group": at}
        for at in range(6)
        for label, answer in (("cup", "cup cup"), ("red", "red"))
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture
def train(mmsteer, talker_folder, data, tmp_path):
    def run(method, *words, out="d.safetensors"):
        given = ("--model", talker_folder, "--data", data, "--sites", "text.1-2", "--out", tmp_path / out)
        more = ("--method", method, "--folder", tmp_path / method, "--quiet", "--force")
        return mmsteer("train", *given, *more, *words)

    return run


LABELLED = ("--label", "cup", "--steps", 4)
REWARDED = ("--reward", "contains:cup", "--steps", 3, "--asked", 2, "--group", 4, "--tokens", 3)


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("ssv", LABELLED),
        ("reft-r1", LABELLED),
        ("loreft", LABELLED),
        ("direft", (*LABELLED, "--rank", 2)),
        ("bipo", LABELLED),
        ("rloo", REWARDED),
        ("rloo", (*REWARDED, "--rank", 1)),
        ("grpo", (*REWARDED, "--kl", 0.1)),
        ("rloo", (*REWARDED, "--kl-budget", 0.1)),
    ],
)
def test_a_method_ends_with_a_direction_that_steers(train, mmsteer, talker_folder, tmp_path, method, words):
    code, out, err = train(method, *words)
    assert code == 0, err
    (name,) = load_directions(tmp_path / "d.safetensors")
    assert f'--steer "{name} 1trained"' in out
    log = [json.loads(line) for line in (tmp_path / method / "steps.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == list(range(len(log)))
    page = (tmp_path / method / "index.html").read_text()
    assert page.count("<svg") == len(log[0].keys() - {"step"})
    # A heading, and a row for each of two sites; another, and one for each of two blocks behind the first of them.
    assert page.count("<tr>") == 6
    assert ("Where the scaling concentrates" in page) == (method == "reft-r1")
    assert "as the sum of what each moves alone" in page
    assert 'http-equiv="refresh"' not in page
    on = ("--model", talker_folder, "--directions", tmp_path / "d.safetensors", "--prompt", "red blue")
    code, out, err = mmsteer("generate", *on, "--steer", f"{name} 1trained", "--tokens", 3, "--compare")
    assert code == 0, err


def test_the_page_follows_a_training_that_goes_on(train, tmp_path, monkeypatch):
    def stop(*_):
        raise ProbeError("stopped before the readings")

    monkeypatch.setattr("mmsteer.latents.vector_readings.read_vectors", stop)
    code, _, err = train("ssv", *LABELLED)
    assert (code, "stopped before the readings" in err) == (2, True)
    log = (tmp_path / "ssv" / "steps.jsonl").read_text().splitlines()
    page = (tmp_path / "ssv" / "index.html").read_text()
    assert 'http-equiv="refresh"' in page
    assert f"{len(log)} steps so far" in page
    assert page.count("<svg") == len(json.loads(log[0]).keys() - {"step"})


def test_a_sibling_is_measured_beside_the_model(train, talker_folder, tmp_path):
    code, _, err = train("rloo", *REWARDED, "--sibling", talker_folder)
    assert code == 0, err
    page = (tmp_path / "rloo" / "index.html").read_text()
    rows = [re.sub("<.*?>", " ", row).split(maxsplit=1) for row in re.findall("<tr>(.*?)</tr>", page)]
    own, other = (next(row[-1] for row in rows if row and row[0] == name) for name in ("its", "sibling"))
    assert own.removeprefix("model").split() == other.split()  # the same weights


def test_a_finished_training_is_not_done_again(train, tmp_path):
    assert train("ssv", *LABELLED)[0] == 0
    before = (tmp_path / "ssv" / "steps.jsonl").stat().st_mtime_ns
    assert train("ssv", *LABELLED)[0] == 0
    assert (tmp_path / "ssv" / "steps.jsonl").stat().st_mtime_ns == before
    code, _, err = train("ssv", *LABELLED, "--seed", 1)
    assert (code, "another training, which differs in seed" in err) == (2, True)
    code, _, err = train("ssv", *LABELLED, "--dtype", "bfloat16")
    assert (code, "another training, which differs in model;" in err) == (2, True)


@pytest.mark.parametrize(
    ("method", "words", "message"),
    [
        ("rloo", (), "give --reward"),
        ("rloo", ("--reward", "note:C"), "reads audio"),
        ("rloo", (*REWARDED, "--label", "cup"), "--label is for ssv"),
        ("rloo", (*REWARDED, "--seconds", 2), "--seconds is of no use here"),
        ("ssv", (*LABELLED, "--kl", 1), "--kl is for rloo and grpo"),
        ("ssv", (*LABELLED, "--kl-budget", 1), "--kl-budget is for rloo and grpo"),
        ("rloo", (*REWARDED, "--kl", 1, "--kl-budget", 1), "give a budget above 0, or a weight"),
        ("ssv", (*LABELLED, "--sibling", "bundled:text"), "--sibling is for rloo and grpo"),
        ("ssv", (), "say by --label"),
        ("ssv", (*LABELLED, "--rank", 2), "--rank is for low-rank edits"),
        ("loreft", (*LABELLED, "--rank", 99), "rank 99: an edit of states of width"),
        ("ssv", ("--label", "blue"), "no row has the label 'blue'"),
        ("bipo", (), "name it by --label"),
        ("ssv", (*LABELLED, "--sites", "vision.1"), "no such site"),
    ],
)
def test_what_cannot_work_is_refused(train, method, words, message):
    code, _, err = train(method, *words)
    assert code == 2
    assert message in err
