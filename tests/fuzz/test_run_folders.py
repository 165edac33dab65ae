"""Run folders that are damaged, or whose process is killed: the next run ends with the same files, or is refused."""

import json
import os
import random
import shutil
import signal
import time

import pytest
import torch

import mmsteer
from mmsteer.errors import MmsteerError
from mmsteer.report.run_data import read_run
from mmsteer.types import SiteStats
from tests.fuzz.mutations import SECONDS, cases, strange_file

SITE = mmsteer.Site.parse("text.1")
ROWS = [{"prompt": f"say {word}", "answer": "yes"} for word in ("red", "blue", "cup", "table")]
MADE_AT = "environment.json"
"""What tells of the machine."""


@pytest.fixture(scope="module")
def again(talker, tmp_path_factory):
    """A function that begins, resumes or repeats one evaluation in a folder."""
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    noise = torch.randn(talker.widths[SITE], generator=torch.Generator().manual_seed(1))
    vector = torch.nn.functional.normalize(noise, dim=0)
    known = {"a": mmsteer.Direction("a", {SITE: vector}, {SITE: SiteStats(1.0, 0.0, 1.0, 1.0)}, talker.fingerprint, {})}
    sampling = mmsteer.Sampling(4, temperature=0.0)
    task = mmsteer.RowsTask(talker, mmsteer.read_rows(file), score={"length": "length"}, sampling=sampling, batch=2)
    return lambda folder: mmsteer.evaluate(task, {"pushed": "a 20"}, known, folder=folder, progress=False)


@pytest.fixture(scope="module")
def whole(again, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    again(folder)
    return folder


def content(folder):
    """All files."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.name != MADE_AT}


def hurt(folder, rng):
    """Damage one file of a folder; what was done."""
    path = rng.choice(sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"))
    kind = rng.choice(("delete", "change", "change", "empty"))
    if kind == "delete":
        path.unlink()
    else:
        path.write_bytes(strange_file(path.read_bytes(), rng) if kind == "change" else b"")
    return f"{kind} {path.name}"


def test_a_damaged_folder_ends_as_the_whole_one_or_is_refused(again, whole, tmp_path, capsys):
    refused = []
    for number, rng in enumerate(cases()):
        folder = shutil.copytree(whole, tmp_path / str(number) / "run")
        what = hurt(folder, rng)
        try:
            again(folder)
        except MmsteerError as error:
            refused.append((number, what, str(error)))
            continue
        assert content(folder) == content(whole), f"case {number}: {what}"
        shutil.rmtree(folder)
    assert "made again" in capsys.readouterr().err
    # Whose run it is and what it must be cannot be made again.
    assert all("run.json" in what or "digests.txt" in what for _, what, _ in refused), refused


@pytest.mark.parametrize("change", [('"run"', '"other"'), (' "id"', '\t"id"'), ('"run",', '"run", "more": 1,')])
def test_whose_run_it_is_stands_as_it_was_written(again, whole, tmp_path, capsys, change):
    folder = shutil.copytree(whole, tmp_path / "run")
    (folder / "run.json").write_text((folder / "run.json").read_text().replace(*change))
    assert content(folder) != content(whole)
    again(folder)
    assert content(folder) == content(whole)
    assert "run.json: damaged, and made again" in capsys.readouterr().err


def test_a_report_of_a_damaged_folder_is_made_or_refused(whole, tmp_path):
    for number, rng in enumerate(cases()):
        folder = shutil.copytree(whole, tmp_path / str(number) / "run")
        what = hurt(folder, rng)
        try:
            read_run(folder)
        except MmsteerError as error:
            said = str(error)
        else:
            said = ""
        assert len(said) < 5000, f"case {number}: {what}"
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["samples.jsonl", "chunks.jsonl"])
@pytest.mark.parametrize("kind", ["doubled", "number", "other index", "cut"])
def test_lines_that_are_none_of_the_run(again, whole, tmp_path, name, kind, capsys):
    folder = shutil.copytree(whole, tmp_path / "run")
    lines = (folder / name).read_text().splitlines(keepends=True)
    other = json.loads(lines[0])
    other["row" if "row" in other else "chunk"] = 77
    worse = {"doubled": [*lines, lines[0]], "number": [*lines, "7\n"], "cut": [*lines[:-1], lines[-1][:20]]}
    worse["other index"] = [json.dumps(other) + "\n", *lines[1:]]
    (folder / name).write_text("".join(worse[kind]))
    again(folder)
    assert content(folder) == content(whole)
    assert f"{name}" in capsys.readouterr().err


def test_kills_at_any_moment_lose_nothing(again, whole, tmp_path):
    rng = random.Random(0)
    start = time.monotonic()
    again(tmp_path / "timed" / "run")
    long = time.monotonic() - start
    kills = 0
    stop = time.monotonic() + SECONDS
    while time.monotonic() < stop:
        folder = tmp_path / str(kills) / "run"
        for _ in range(3):
            child = os.fork()
            if not child:
                again(folder)
                os._exit(0)
            time.sleep(rng.uniform(0, long))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            kills += 1
        again(folder)
        assert content(folder) == content(whole)
        shutil.rmtree(folder)
    assert kills


def test_a_kill_before_the_first_file_has_its_name(again, whole, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".run.json.0123abcd.tmp").write_text('{"id"')
    (tmp_path / "run" / ".lock").touch()
    again(tmp_path / "run")
    assert content(tmp_path / "run") == content(whole)


def test_a_folder_in_the_place_of_the_lock_is_one_error_unless_all_is_there(again, whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "run")
    (folder / ".lock").unlink()
    (folder / ".lock").mkdir()
    assert again(folder).scores
    (folder / "scores.json").unlink()
    with pytest.raises(MmsteerError, match=r"\.lock cannot be written: Is a directory"):
        again(folder)


def test_nothing_is_mended_under_another_process(again, whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "run")
    with (folder / "samples.jsonl").open("a") as log:
        log.write('{"condition": "half')
    before = (folder / "samples.jsonl").read_bytes()
    child = os.fork()
    if not child:
        import fcntl

        with (folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            (folder / "held").touch()
            time.sleep(60)
        os._exit(0)
    while not (folder / "held").exists():
        time.sleep(0.01)
    try:
        with pytest.raises(MmsteerError, match="another process is running"):
            again(folder)
        assert (folder / "samples.jsonl").read_bytes() == before
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
