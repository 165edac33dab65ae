"""What is shared out beside runs: the same files from this process, one worker, two workers, and actors of Ray."""

import json
from dataclasses import replace

import pytest

from mmsteer import Sampling
from mmsteer.direction_file import save_directions
from mmsteer.errors import WorkerError
from mmsteer.eval.text import parse_reward
from mmsteer.probes import MeanDifference, sweep
from mmsteer.recipes.model_workers import model_workers
from mmsteer.record import record
from mmsteer.search import Grid, search
from mmsteer.streams import ReadStates
from mmsteer.types import Sample, Site
from tests.conftest import saying
from tests.workers.pieces import Square
from tests.workers.starts import rows
from tests.workers.test_workers import RAY

NUMBERS = ["1", "2", pytest.param("2@ray", marks=RAY)]


@pytest.fixture(scope="module")
def cup(talker):
    return saying(talker, "cup", "word:cup")


@pytest.fixture(scope="module", params=NUMBERS)
def workers(request, talker, talker_folder):
    if "ray" in request.param:
        pytest.importorskip("ray", reason="Ray is not installed: uv pip install 'ray[client]'")
    with model_workers(request.param, talker, talker_folder, device="cpu", dtype="float32") as made:
        yield made


def files(folder):
    """Every file, byte for byte; lines of digests in any order."""
    there = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    found = {str(path.relative_to(folder)): path.read_bytes() for path in there}
    if "digests.txt" in found:
        found["digests.txt"] = sorted(found["digests.txt"].splitlines())
    return found


class Log:
    def __init__(self):
        self.steps = []

    def log(self, step, values):
        self.steps.append((step, dict(values)))


def test_a_search_finds_and_keeps_the_same(talker, cup, workers, tmp_path):
    grid, reward = Grid(("text.1", "text.3", "text.2-3"), (0.05, 10.0)), parse_reward("regex:^(cup ?)+$")
    options = {"budget_kl": 6.0, "grid": grid, "sampling": Sampling(tokens=4), "batch": 26}
    logs = Log(), Log()
    alone = search(talker, cup, rows(), reward, **options, folder=tmp_path / "alone", report_to=[logs[0]])
    shared = search(
        talker, cup, rows(), reward, **options, folder=tmp_path / "shared", report_to=[logs[1]], workers=workers
    )
    assert shared == alone
    assert files(tmp_path / "shared") == files(tmp_path / "alone")
    assert logs[0].steps == logs[1].steps


def test_a_recording_and_the_probes_of_all_sites_are_the_same(talker, workers, tmp_path):
    samples = [Sample(str(at), row.prompt, output="cup table"[: 3 + at % 7]) for at, row in enumerate(rows(40))]
    labels = [at % 2 for at in range(40)]
    alone = record(talker, samples, "text.*", batch=4, folder=tmp_path / "alone")
    shared = record(talker, samples, "text.*", batch=4, folder=tmp_path / "shared", workers=workers)
    given = {"family": "word", "task": "binary", "progress": False}
    fits = sweep(MeanDifference(), alone, labels, **given), sweep(MeanDifference(), shared, labels, **given)
    by_workers = sweep(MeanDifference(), shared, labels, **given, workers=workers)
    assert [found.rows for found in fits] == [by_workers.rows] * 2
    for name, direction in by_workers.directions.items():
        for site, vector in direction.vectors.items():
            assert vector.equal(fits[0].directions[name].vectors[site])
        assert direction.provenance == fits[0].directions[name].provenance


def test_states_for_a_dictionary_are_read_the_same(talker, workers):
    samples = [Sample(str(at), row.prompt) for at, row in enumerate(rows(20))]
    states = ReadStates(talker, samples, Site("text", 2), tokens=4, batch=3)
    shared = replace(states, workers=workers).together([5, 0, 6, 2])
    assert [one.tolist() for one in shared] == [states[index].tolist() for index in (5, 0, 6, 2)]


def test_what_cannot_be_sent_is_one_error(workers):
    with pytest.raises(WorkerError, match="cannot be sent to workers"):
        workers.one(Square(lambda: 3))


def test_commands_take_workers_on_the_command_line(mmsteer, talker_folder, talker, cup, tmp_path):
    given = [
        {"id": row.id, "prompt": row.prompt, "answer": "cup", "label": "ab"[at % 2]} for at, row in enumerate(rows())
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in given))
    save_directions(tmp_path / "cup.safetensors", [cup])
    model = ("--model", talker_folder, "--data", tmp_path / "rows.jsonl")
    words = ("search", *model, "--directions", tmp_path / "cup.safetensors", "--reward", "contains:cup", "--tokens", 3)
    grid = ("--sites", "text.3", "--strengths", "0.1,10", "--quiet")
    for number in ([], ["--workers", "2"]):
        assert mmsteer(*words, *grid, "--out", tmp_path / f"search{len(number)}", *number)[0] == 0
        code, _, err = mmsteer("probe", *model, "--out", tmp_path / f"{len(number)}.safetensors", *number)
        assert code == 0, err
        size = ("--features", 16, "--k", 2, "--steps", 20, "--batch", 16, "--tokens", 4)
        train = ("sae", "train", *model, "--site", "text.2", *size, "--out", tmp_path / f"sae{len(number)}", "--quiet")
        code, _, err = mmsteer(*train, *number)
        assert code == 0, err
    assert files(tmp_path / "sae0") == files(tmp_path / "sae2")
    assert files(tmp_path / "search0") == files(tmp_path / "search2")
    assert (tmp_path / "0.safetensors").read_bytes() == (tmp_path / "2.safetensors").read_bytes()
