"""Numbers of training and of searches as trackers get them."""

import json
import sqlite3
import sys
from contextlib import closing
from time import monotonic, sleep
from types import ModuleType

import pytest

from mmsteer.errors import TrackingError
from mmsteer.eval.text import parse_reward
from mmsteer.search import Grid, search
from mmsteer.tasks import Row
from mmsteer.tracking import check_trackers, opened_trackers
from mmsteer.types import Sampling
from tests.conftest import TALK, saying

WORDS = [word for word in TALK if word != "cup"]


@pytest.fixture(params=["wandb", "trackio"])
def recorded(request, monkeypatch):
    """The name of a tracker, and the calls that its package gets."""
    calls, package = [], ModuleType(request.param)
    for name in ("init", "log", "finish"):
        setattr(package, name, lambda *args, _name=name, **named: calls.append((_name, args, named)))
    monkeypatch.setitem(sys.modules, request.param, package)
    return request.param, calls


@pytest.fixture
def train(mmsteer, talker_folder, tmp_path):
    rows = [{"prompt": " ".join(WORDS[at : at + 3]), "answer": "cup cup", "label": "cup"} for at in range(6)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))

    def run(*words):
        given = ("--model", talker_folder, "--data", tmp_path / "rows.jsonl", "--sites", "text.1", "--label", "cup")
        more = (
            "--method",
            "ssv",
            "--folder",
            tmp_path / "run",
            "--quiet",
            "--force",
            "--out",
            tmp_path / "d.safetensors",
        )
        return mmsteer("train", *given, *more, *words)

    return run


def steps_of(folder):
    return [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]


def test_a_run_gets_the_numbers_of_the_log(train, recorded, tmp_path):
    name, calls = recorded
    code, _, err = train("--steps", 3, "--report-to", name)
    assert code == 0, err
    assert [kind for kind, _, _ in calls] == ["init", "log", "log", "log", "finish"]
    assert calls[0][2]["name"] == "rows:cup"
    assert calls[0][2]["config"]["steps"] == 3
    sent = [{"step": named["step"], **values} for _, (values,), named in calls[1:-1]]
    assert sent == steps_of(tmp_path / "run")


def test_event_files_hold_the_numbers_of_the_log(train, tmp_path):
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs pip install 'mmsteer[tracking]'"
    )
    code, _, err = train("--steps", 3, "--report-to", "tensorboard", "--report-to", "tensorboard")
    assert code == 0, err
    assert len(list((tmp_path / "run" / "tensorboard").iterdir())) == 1
    events = reader.EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    log = steps_of(tmp_path / "run")
    assert set(events.Tags()["scalars"]) == log[0].keys() - {"step"}
    for name in log[0].keys() - {"step"}:
        assert [one.step for one in events.Scalars(name)] == [0, 1, 2]
        assert [one.value for one in events.Scalars(name)] == pytest.approx([line[name] for line in log], rel=1e-6)


def test_no_event_file_is_there_before_the_first_step(tmp_path, monkeypatch):
    opened = []

    class Writer:
        def __init__(self, folder):
            opened.append(folder)

        add_scalar = close = flush = lambda *_: None

    module = ModuleType("events")
    module.SummaryWriter = Writer
    monkeypatch.setattr("mmsteer.tracking.import_module", lambda _: module)
    with opened_trackers(["tensorboard"], tmp_path, "run", {}):
        pass
    with opened_trackers(["tensorboard"], tmp_path, "run", {}) as (tracker,):
        assert opened == []
        tracker.log(0, {"loss": 1.0})
    assert opened == [str(tmp_path / "tensorboard")]


class Kept:
    def __init__(self):
        self.steps = []

    def log(self, step, values):
        self.steps.append((step, dict(values)))

    def close(self):
        raise AssertionError("who opened it closes it")


def test_a_search_sends_a_step_a_cell(talker, tmp_path):
    rows = [Row(str(at), f"rows:{at}", f"{WORDS[at % 7]} {WORDS[at % 5]} {WORDS[at % 3]}") for at in range(6)]
    kept = Kept()
    found = search(
        talker,
        saying(talker, "cup", "word:cup"),
        rows,
        parse_reward("contains:cup"),
        budget_kl=1.0,
        grid=Grid(("text.1", "text.3"), (0.05, 500.0)),
        sampling=Sampling(tokens=3),
        batch=3,
        report_to=[kept],
    )
    told = [*found.cells, *found.controls]
    assert [step for step, _ in kept.steps] == list(range(len(told))) == list(range(8))
    for (_, values), cell in zip(kept.steps, told, strict=True):
        assert values[f"{cell.kind}/kl"] == cell.kl
        assert values.get(f"{cell.kind}/reward") == (cell.worth if cell.answers else None)
    assert any(not cell.answers for cell in told)


def test_the_command_of_a_search_reports(mmsteer, talker, talker_folder, recorded, tmp_path):
    from mmsteer.direction_file import save_directions

    name, calls = recorded
    save_directions(tmp_path / "d.safetensors", [saying(talker, "cup", "word:cup")])
    rows = [{"prompt": f"{WORDS[at % 7]} {WORDS[at % 5]}"} for at in range(6)]
    (tmp_path / "asked.jsonl").write_text("\n".join(map(json.dumps, rows)))
    files = ("--data", tmp_path / "asked.jsonl", "--directions", tmp_path / "d.safetensors", "--out", tmp_path / "out")
    grid = ("--sites", "text.1", "--strengths", "0.1", "--tokens", 3, "--reward", "contains:cup", "--quiet")
    code, _, err = mmsteer("search", "--model", talker_folder, *files, *grid, "--report-to", name)
    assert code == 0, err
    assert [kind for kind, _, _ in calls] == ["init", "log", "log", "finish"]


def test_trackers_are_closed_after_an_error(recorded, tmp_path):
    name, calls = recorded
    with pytest.raises(KeyError), opened_trackers([name], tmp_path, "run", {}):
        raise KeyError
    assert calls[-1][0] == "finish"


def test_a_missing_package_says_how_to_install_it_before_anything_runs(train, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", None)
    code, _, err = train("--steps", 1, "--report-to", "wandb")
    assert code != 0
    assert "pip install wandb" in err
    assert not (tmp_path / "run").exists()


def test_an_unknown_tracker_is_refused():
    with pytest.raises(TrackingError, match="no tracker 'mlflow'; choose from tensorboard, wandb, trackio"):
        check_trackers(["mlflow"])


SENT = ({"loss": 0.5625}, {"loss": 0.28125})


def send(name, folder):
    with opened_trackers([name], folder, "rows:cup", {"steps": 2}) as (tracker,):
        for step, values in enumerate(SENT):
            tracker.log(step, values)


@pytest.mark.filterwarnings("ignore")
def test_wandb_itself_keeps_the_numbers(tmp_path, monkeypatch):
    """Offline: the file that `wandb sync` uploads; its values stand in it as JSON."""
    pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    for name, value in {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "WANDB_SILENT": "true"}.items():
        monkeypatch.setenv(name, value)
    send("wandb", tmp_path)
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    kept, end = b"", monotonic() + 60
    while b"0.28125" not in kept and monotonic() < end:  # its service writes after `finish` has returned
        kept = file.read_bytes()
        sleep(0.1)
    assert b"rows:cup" in kept
    assert kept.index(b"0.5625") < kept.index(b"0.28125")


@pytest.mark.filterwarnings("ignore")
def test_trackio_itself_keeps_the_numbers(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio")
    send("trackio", tmp_path)
    (file,) = (tmp_path / "trackio").glob("mmsteer*.db")
    with closing(sqlite3.connect(file)) as base:
        rows = base.execute("select run_name, step, metrics from metrics order by step").fetchall()
    assert [(run, step, json.loads(metrics)["loss"]) for run, step, metrics in rows] == [
        ("rows:cup", step, values["loss"]) for step, values in enumerate(SENT)
    ]
