"""Integrated gradients beside captum's own loop: the same model, metric, baseline and steps, and the same values.

    uv pip install --no-deps captum
    python benchmarks/integrated_gradients.py [ROUNDS]

`bundled:text` says a given answer, and its log-probability is shared out among the tokens of the prompt but the first,
from zero in their place. captum is given the embeddings, its values are summed over the width, and it measures both
ends of the path as ours does. Rounds alternate; seconds of processor time on one thread.
"""

import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from captum.attr import IntegratedGradients
from report import Spread, by_turns, ratio
from torch import Tensor

import mmsteer
from mmsteer.adapters import AnyAdapter
from mmsteer.attribution import Effort, TokenUnits, attribute
from mmsteer.types import Positions, Sample

STEPS, BATCH = 32, 8
ASKED = "What should I do this weekend, if it rains and the museum is closed on both days?"
SAMPLE = Sample("a", ASKED, output="The harbour is full of ships that wait for the tide, so take a coat and a map.")


def ours(adapter: AnyAdapter) -> Tensor:
    """Values of tokens by this library."""
    units = TokenUnits(Positions("prompt - first"), "zero")
    return attribute(adapter, SAMPLE, units=units, effort=Effort(batch=BATCH, steps=STEPS)).values


def captums(adapter: AnyAdapter) -> Tensor:
    """Values of tokens by captum's loop over a plain model."""
    reading = adapter.reading([SAMPLE])
    ids, prompt = reading.arguments["input_ids"], reading.call.prompt
    embedded = adapter.model.get_input_embeddings()(ids).detach()
    empty = embedded.clone()
    empty[:, 1:prompt] = 0

    def said(given: Tensor) -> Tensor:
        logits = adapter.model(inputs_embeds=given, use_cache=False).logits[:, prompt - 1 : -1]
        wanted = ids[:, prompt:, None].expand(len(given), -1, -1)
        return logits.float().log_softmax(-1).gather(-1, wanted).sum((1, 2))

    found, _ = IntegratedGradients(said).attribute(
        embedded, empty, n_steps=STEPS, internal_batch_size=BATCH, return_convergence_delta=True
    )
    return found[0, 1:prompt].sum(-1).double()


def timed(work: Callable[[AnyAdapter], Tensor], adapter: AnyAdapter) -> float:
    """Seconds of processor time."""
    start = time.process_time()
    work(adapter)
    return time.process_time() - start


def main() -> None:
    """Print the largest difference of values, and the seconds of both."""
    torch.set_num_threads(1)
    adapter = mmsteer.load("bundled:text", dtype="float32")
    adapter.model.requires_grad_(False)
    mine, theirs = ours(adapter), captums(adapter)
    apart = float((mine - theirs).abs().max() / theirs.abs().max())
    print(f"{len(mine)} tokens; values differ by at most {apart:.1e} of the largest", flush=True)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    jobs = {"mmsteer": partial(timed, ours, adapter), "captum": partial(timed, captums, adapter)}
    seconds = by_turns(jobs, rounds)
    for name, some in seconds.items():
        print(f"{name}: {Spread.of(some)} s")
    print(f"mmsteer over captum: {ratio(seconds['mmsteer'], seconds['captum'])}")


if __name__ == "__main__":
    main()
