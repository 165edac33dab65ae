"""What torchrun runs for `test_ranks`: trainings, of which each process keeps what it ended with.

python -m torch.distributed.run ... -m tests.tuning.ranked MODEL FOLDER NAME...
"""

import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch

from mmsteer.adapters import load
from mmsteer.errors import ProbeError, RanksError
from mmsteer.eval.rewards import parse_output_reward
from mmsteer.eval.text import Reference
from mmsteer.ranks import Ranks, joined
from mmsteer.tuning import (
    AdditiveVectors,
    GatedVectors,
    Likelihood,
    LowRankEdits,
    Preference,
    Reinforced,
    Schedule,
    measure_sites,
    train,
)
from mmsteer.types import Positions, Sample, Sampling
from tests.conftest import TALK

WORDS = [word for word in TALK if word != "cup"]
PROMPTS = [Sample(str(at), " ".join(WORDS[at : at + 3])) for at in range(8)]
STEPS = 6


def answered(*answers):
    return [Sample(one.id, one.prompt, output=answers[at % len(answers)]) for at, one in enumerate(PROMPTS)]


class Failing(Likelihood):
    """Cannot be learned from by the second process at the third step."""

    def accumulate(self, vectors, step, share, past):
        if (step, Ranks().number) == (2, 1):
            raise ProbeError("the answer is not to be had")
        return super().accumulate(vectors, step, share, past)


class Dying(Likelihood):
    """Ends the second process at the third step."""

    def accumulate(self, vectors, step, share, past):
        if (step, Ranks().number) == (2, 1):
            sys.exit(9)
        return super().accumulate(vectors, step, share, past)


def rewarded(**more):
    references, reward = [Reference(one.text) for one in PROMPTS], parse_output_reward("contains:cup", "text")
    sampling = Sampling(tokens=3, temperature=1.0, top_k=0, top_p=1.0)
    return Reinforced(PROMPTS, references, reward, sampling, asked=3, group=4, **more)


# Answers of several lengths, and numbers that two processes do not share evenly.
LIKELY = Likelihood(answered("cup cup", "cup", "cup red cup"), batch=5)
TRAININGS = {
    "ssv": (AdditiveVectors, LIKELY),
    "reft-r1": (partial(GatedVectors, k=1), LIKELY),
    "loreft": (partial(LowRankEdits, rank=2), LIKELY),
    "bipo": (AdditiveVectors, Preference(answered("cup", "cup cup"), answered("red"), batch=3)),
    "rloo": (AdditiveVectors, rewarded(kl=0.2)),
    "grpo": (AdditiveVectors, rewarded(baseline="grpo", budget=0.02)),
    "failing": (AdditiveVectors, Failing(LIKELY.samples)),
    "dying": (AdditiveVectors, Dying(LIKELY.samples)),
}


def trained(adapter, name, folder):
    """Vectors, and the numbers of every step."""
    make, objective = TRAININGS[name]
    vectors = make(measure_sites(adapter, answered("cup cup"), "text.1-2", Positions("all")))
    return vectors, train(vectors, objective, Schedule(STEPS, 0.1), settings={"seed": 0}, folder=folder / name)


@contextmanager
def ending(path):
    """Keep the error that a process ends with; the one that failed takes its time to leave."""
    try:
        yield
    except Exception as error:
        path.write_text(f"{type(error).__name__}: {error}")
        if not isinstance(error, RanksError):
            time.sleep(10)
        raise


def main() -> None:
    """One of the processes."""
    torch.set_num_threads(1)
    model, folder, names = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    with joined("cpu") as (ranks, device):
        adapter = load(model, device=device)
        for name in names:
            with ending(folder / f"{name}-{ranks.number}.txt"):
                vectors, log = trained(adapter, name, folder)
            torch.save((vectors.state_dict(), log), folder / f"{name}-{ranks.number}.pt")


if __name__ == "__main__":
    main()
