"""Training by the processes of torchrun, beside one process."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from mmsteer.errors import RanksError
from mmsteer.sae import Held, Shuffled, measure, read_dictionary
from mmsteer.sae.ranks import DictionaryRanks
from tests.sae.planted import planted
from tests.sae.ranked import BATCH, learned


def torchrun(*words):
    """Two processes on this machine."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
    done = subprocess.run(
        [*command, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.mark.parametrize("name", ["topk", "gated"])
def test_two_processes_learn_what_one_does(tmp_path, name):
    torchrun("tests.sae.ranked", tmp_path, name)
    found, alone = read_dictionary(tmp_path / name), learned(name, tmp_path / "alone.safetensors")
    for part in ("encoder", "encoder_bias", "decoder", "decoder_bias"):
        assert_close(getattr(found, part), getattr(alone, part), rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("name", ["batchtopk", "jumprelu"])
def test_what_is_taken_over_parts_of_a_batch_serves_as_well(tmp_path, name):
    torchrun("tests.sae.ranked", tmp_path, name)
    states = [planted(rows=4096, offset=3.0)[1][3000:]]
    found = measure(read_dictionary(tmp_path / name), states)
    alone = measure(learned(name, tmp_path / "alone.safetensors"), states)
    assert found.fvu == pytest.approx(alone.fvu, abs=0.03)
    assert found.l0 == pytest.approx(alone.l0, rel=0.1)


@dataclass
class Ending:
    """States that cannot be read beyond a batch, once their mean has been taken."""

    whole: Shuffled = field(default_factory=lambda: Shuffled(Held(planted(rows=3000, offset=3.0)[1]), batch=BATCH))
    read: int = 0

    @property
    def width(self):
        return self.whole.width

    @property
    def fingerprint(self):
        return self.whole.fingerprint

    def batches(self, start):
        self.read += 1
        for number, batch in enumerate(self.whole.batches(start), start):
            if self.read > 1 and number == 30:
                raise OSError("the disk is gone")
            yield batch


def test_two_processes_go_on_where_one_was_stopped(tmp_path):
    with pytest.raises(OSError, match="the disk is gone"):
        learned("topk", tmp_path / "topk.safetensors", Ending())
    assert (tmp_path / "topk.safetensors").exists()
    torchrun("tests.sae.ranked", tmp_path, "topk")
    found, alone = read_dictionary(tmp_path / "topk"), learned("topk", tmp_path / "alone.safetensors")
    assert_close(found.decoder, alone.decoder, rtol=2e-3, atol=2e-4)


def test_a_batch_must_have_a_state_for_each_process():
    ranks = DictionaryRanks()
    ranks.count = 4
    with pytest.raises(RanksError, match="3 hidden states a step are too few for 4 processes; start at most 3"):
        ranks.send(torch.zeros(3, 2))
