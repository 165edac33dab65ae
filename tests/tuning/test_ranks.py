"""Vectors trained by the processes of torchrun, beside one process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from mmsteer.direction_file import load_directions
from tests.tuning.ranked import STEPS, TRAININGS, WORDS, trained

# Of the few outputs of a step here all may earn the same.
pytestmark = pytest.mark.filterwarnings("ignore:.*all earned the same:UserWarning")
SAME = ("ssv", "reft-r1", "loreft", "bipo", "rloo", "grpo")
STOPPED = ("reft-r1", "grpo")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m")
ACCELERATE = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--mixed_precision=no", "-m")


def launched(*words):
    """Two processes on this machine."""
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        cwd=Path(__file__).parents[2],
        timeout=300,
    )


@pytest.fixture(scope="module")
def together(talker_folder, tmp_path_factory):
    """The folder of two processes, which go on with some trainings where one was stopped."""
    folder = tmp_path_factory.mktemp("together")
    done = launched(*TORCHRUN, "tests.tuning.ranked", talker_folder, folder, *SAME)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("name", SAME)
def test_two_processes_learn_what_one_does(talker, together, tmp_path, name):
    alone, log = trained(talker, name, tmp_path)
    (first, first_log), (second, second_log) = (torch.load(together / f"{name}-{at}.pt") for at in (0, 1))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert first_log == second_log
    assert (together / name / "steps.jsonl").read_text() == "".join(json.dumps(line) + "\n" for line in first_log)
    for key, value in alone.state_dict().items():
        assert_close(first[key], value, rtol=2e-3, atol=2e-4)
    for mine, one in zip(first_log, log, strict=True):
        assert mine == pytest.approx(one, rel=2e-3, abs=1e-4)


@pytest.fixture(scope="module")
def resumed(talker, talker_folder, tmp_path_factory):
    """The folder of two processes that go on where one was stopped."""
    folder = tmp_path_factory.mktemp("resumed")
    for name in STOPPED:
        objective = type(TRAININGS[name][1])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(objective, "accumulate", halting(objective.accumulate))
            with pytest.raises(KeyboardInterrupt):
                trained(talker, name, folder)
    done = launched(*TORCHRUN, "tests.tuning.ranked", talker_folder, folder, *STOPPED)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def halting(accumulate):
    def halted(self, vectors, step, share, past):
        if step == 3:
            raise KeyboardInterrupt
        return accumulate(self, vectors, step, share, past)

    return halted


@pytest.mark.parametrize("name", STOPPED)
def test_two_processes_go_on_where_one_was_stopped(talker, resumed, tmp_path, name):
    alone, log = trained(talker, name, tmp_path)
    (first, first_log), (second, second_log) = (torch.load(resumed / f"{name}-{at}.pt") for at in (0, 1))
    assert first_log == second_log
    assert len(first_log) == STEPS
    assert first_log[:3] == log[:3]
    for key, value in alone.state_dict().items():
        assert torch.equal(first[key], second[key])
        assert_close(first[key], value, rtol=2e-3, atol=2e-4)


def test_what_fails_in_one_process_ends_all_and_one_goes_on(talker, talker_folder, tmp_path):
    done = launched(*TORCHRUN, "tests.tuning.ranked", talker_folder, tmp_path, "failing")
    assert done.returncode != 0
    assert "mmsteer.errors.ProbeError: the answer is not to be had\n" in done.stderr
    ended = (tmp_path / "failing-0.txt").read_text()
    assert ended == "EndedElsewhere: process 1 of 2 failed: ProbeError: the answer is not to be had"
    assert len((tmp_path / "failing" / "steps.jsonl").read_text().splitlines()) == 2
    found, _ = trained(talker, "failing", tmp_path)
    alone, _ = trained(talker, "failing", tmp_path / "alone")
    for key, value in alone.state_dict().items():
        assert_close(found.state_dict()[key], value, rtol=2e-3, atol=2e-4)


def test_no_process_waits_for_one_that_died(talker_folder, tmp_path):
    done = launched(*TORCHRUN, "tests.tuning.ranked", talker_folder, tmp_path, "dying")
    assert done.returncode != 0
    assert "cannot reach the others" in done.stderr


def test_more_processes_than_cards_are_one_error():
    more = str(max(2, torch.cuda.device_count() + 1))
    count = (*TORCHRUN[:-2], f"--nproc-per-node={more}", "-m")
    words = ("mmsteer", "train", "--model", "m", "--data", "d", "--sites", "text.1", "--out", "o.safetensors")
    done = launched(*count, *words, "--device", "cuda")
    assert done.returncode != 0
    assert done.stderr.count(f"error: {more} processes and {torch.cuda.device_count()} graphics cards here") == 1
    assert "mmsteer/ranks.py" not in done.stderr


@pytest.fixture
def command(talker_folder, tmp_path):
    rows = [{"prompt": " ".join(WORDS[at : at + 3]), "answer": "cup"} for at in range(5)]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return (
        *("mmsteer", "train", "--model", talker_folder, "--data", path, "--sites", "text.1", "--steps", 2),
        *("--folder", tmp_path / "run", "--out", tmp_path / "d.safetensors"),
    )


@pytest.mark.parametrize("launcher", [TORCHRUN, ACCELERATE], ids=["torchrun", "accelerate"])
def test_the_command_writes_once(command, tmp_path, launcher):
    done = launched(*launcher, *command, "--method", "ssv")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("--steer") == 1
    assert len(load_directions(tmp_path / "d.safetensors")) == 1
    assert len((tmp_path / "run" / "steps.jsonl").read_text().splitlines()) == 2
    assert "<svg" in (tmp_path / "run" / "index.html").read_text()


def test_the_command_prints_one_error(command, tmp_path):
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write('\n{"prompt": "red", "id": "bare"}')
    wanted = ("--reward", "exact", "--asked", 6, "--group", 2, "--tokens", 2)
    done = launched(*TORCHRUN, *command, *wanted)
    assert done.returncode != 0
    assert done.stderr.count("error: row 'bare'") == 1
    assert "EndedElsewhere" not in done.stderr
    assert not (tmp_path / "d.safetensors").exists()


def test_the_command_prints_an_error_of_all_once(command, tmp_path):
    done = launched(*TORCHRUN, *command, "--method", "ssv", "--reward", "exact")
    assert done.returncode != 0
    assert done.stderr.count("error: ") == 1
