"""Training a dictionary on a stream of hidden states."""

import itertools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from mmsteer.errors import DictionaryError
from mmsteer.sae.architecture import Architecture
from mmsteer.sae.checkpoint import load_checkpoint, save_checkpoint
from mmsteer.sae.dictionary import SparseDictionary
from mmsteer.sae.quality import Meter, Quality
from mmsteer.sae.ranks import DictionaryRanks
from mmsteer.sae.source import Source
from mmsteer.sae.weights import Weights
from mmsteer.types import Site, Sketch

REPORT_STEPS = 100


@dataclass(frozen=True)
class Training:
    """How to train, whatever the architecture.

    Attributes:
        features: Number of features.
        steps: Batches.
        rate: Highest learning rate; None for 2e-4 / √(features / 2¹⁴).
        warmup: Steps until it is reached.
        decay: Share of the steps, at the end, over which it falls to zero.
        clip: Largest norm of the gradient.
        dead_after: Hidden states after which a silent feature counts as dead.
        scale_batches: Batches from which scale and mean are measured.
        seed: Seed of the start.

    Source: Gao et al. 2024, arXiv:2406.04093 (rate; it counts as dead after 10 million tokens, of far larger sets).
    """

    features: int
    steps: int
    rate: float | None = None
    warmup: int = 1000
    decay: float = 0.2
    clip: float = 1.0
    dead_after: int = 1_000_000
    scale_batches: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.features, self.steps, self.dead_after, self.scale_batches) < 1 or not 0 <= self.decay <= 1:
            raise DictionaryError(f"{self}: counts are 1 or more, and decay is a share between 0 and 1")

    def rate_at(self, step: int) -> float:
        """The learning rate of a step.

        Args:
            step: Its number, from 0.
        """
        peak = 2e-4 / math.sqrt(self.features / 2**14) if self.rate is None else self.rate
        rise = (step + 1) / self.warmup if self.warmup else 1.0
        fall = (self.steps - step) / (self.decay * self.steps) if self.decay else 1.0
        return peak * min(1.0, rise, fall)


@dataclass(frozen=True)
class Status:
    """Where training stands.

    Attributes:
        step: Steps done.
        steps: Steps in all.
        loss: Of the last batch.
        quality: Of the dictionary in training, on the batches since the last status.
        dead: Share of features that were silent for longer than `Training.dead_after`.
        rows_a_second: Hidden states a second since the last status.
    """

    step: int
    steps: int
    loss: float
    quality: Quality
    dead: float
    rows_a_second: float

    def __str__(self) -> str:
        return (
            f"FVU {self.quality.fvu:.3f}  L0 {self.quality.l0:.1f}  dead {self.dead:.1%}  "
            f"dense {self.quality.dense:.1%}  {self.rows_a_second:,.0f}/s"
        )


Report = Callable[[Status], None]


def train_dictionary(
    source: Source,
    architecture: Architecture,
    training: Training,
    *,
    site: Site | None = None,
    model: str | None = None,
    sketch: Sketch | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_steps: int = 1000,
    device: torch.device | str = "cpu",
    report: Report | None = None,
) -> SparseDictionary:
    """Train a dictionary, from the checkpoint where there is one.

    Hidden states are multiplied by one number that makes their mean square norm 1; the dictionary that comes out takes
    them as the model makes them. Weights and optimizer are float32. On a CPU, training that was stopped and taken up
    again ends with the same bits as training that was not.

    Where torchrun started several processes, the first one calls this and all others `assist_training`; each learns
    from a part of every batch. What an architecture takes over a whole batch (the largest activations of BatchTopK, the
    L0 of JumpReLU, the share of what is left that revival explains) it then takes over a part; otherwise the result
    differs from that of one process by the order of sums alone.

    Args:
        source: The hidden states.
        architecture: What to train.
        training: How.
        site: Where the hidden states were read; the dictionary remembers it.
        model: Fingerprint of the model; the dictionary remembers it.
        sketch: Sketch of the model, by which the dictionary knows it in another precision.
        checkpoint: A file for the state of training; None to keep none.
        checkpoint_steps: Steps between checkpoints.
        device: Where to train.
        report: Takes a status every hundred steps and at the end; `progress_bar` makes one.

    Raises:
        DictionaryError: The settings do not fit one another or the data, the checkpoint is of another run, or
            training diverged.
        RanksError: A batch has fewer hidden states than there are processes.
    """
    if training.steps <= architecture.needs_steps:
        raise DictionaryError(
            f"{architecture} measures its threshold after {architecture.needs_steps} steps, and training ends after "
            f"{training.steps}; train longer, or lower threshold_start"
        )
    provenance = {
        "architecture": repr(architecture),
        "training": repr(training),
        "data": source.fingerprint,
        "site": str(site),
        "model": str(model),
    }
    path = Path(checkpoint) if checkpoint is not None else None
    ranks = DictionaryRanks()
    run = _Run(architecture, training, *_start(source, training, path, device), ranks)
    done = load_checkpoint(path, provenance, run.tensors()) if path is not None and path.exists() else 0
    ranks.begin(source.width, done)
    ranks.share(run.tensors().values(), device)
    watch = _Watch(run, done, report)
    for step, batch in zip(range(done, training.steps), source.batches(done), strict=False):
        watch.see(*run.step(ranks.send(batch.to(device, torch.float32)), step))
        last = step + 1 == training.steps
        if path is not None and (last or (step + 1) % checkpoint_steps == 0):
            save_checkpoint(path, provenance, step + 1, run.tensors())
    return replace(run.frozen(), site=site, model=model, sketch=sketch, provenance=provenance)


def assist_training(architecture: Architecture, training: Training, *, device: torch.device | str = "cpu") -> None:
    """Train with the first process of torchrun, which has the hidden states and calls `train_dictionary`.

    Args:
        architecture: As there.
        training: As there.
        device: Where this one trains.
    """
    ranks = DictionaryRanks()
    width, done = ranks.begin(0, 0)
    run = _Run(architecture, training, torch.zeros(width, device=device), torch.ones((), dtype=torch.float64), ranks)
    ranks.share(run.tensors().values(), device)
    for step in range(done, training.steps):
        run.step(ranks.receive(width, device), step)


def _start(source: Source, training: Training, path: Path | None, device: torch.device | str) -> tuple[Tensor, Tensor]:
    # Mean, (width,), and root mean square norm of the hidden states; where there is a checkpoint, it has them.
    if path is not None and path.exists():
        return torch.zeros(source.width, device=device), torch.ones((), dtype=torch.float64)
    total, squares, rows = torch.zeros(source.width, dtype=torch.float64), 0.0, 0
    for batch in itertools.islice(source.batches(0), min(training.scale_batches, training.steps)):
        total += batch.sum(dim=0, dtype=torch.float64).cpu()
        squares += float(batch.double().square().sum())
        rows += len(batch)
    norm = math.sqrt(squares / rows)
    if not 0 < norm < math.inf:
        raise DictionaryError(f"the hidden states have a root mean square norm of {norm}; nothing to learn from")
    return (total / rows).float().to(device), torch.tensor(norm, dtype=torch.float64)


class _Run:
    """Everything that a step reads and changes."""

    def __init__(
        self, architecture: Architecture, training: Training, mean: Tensor, norm: Tensor, ranks: DictionaryRanks
    ) -> None:
        self.architecture, self.training, self.norm, self.ranks = architecture, training, norm, ranks
        self.weights = Weights(mean / float(norm), training.features, training.seed)
        self.state = architecture.start(self.weights)
        self.silent = torch.zeros(training.features, dtype=torch.int64, device=mean.device)
        self.trained = [*self.weights.parameters(), *(v for v in self.state.values() if isinstance(v, nn.Parameter))]
        self.adam = torch.optim.Adam(self.trained, lr=0.0, betas=architecture.betas, fused=True)
        for parameter in self.trained:
            # As Adam would begin at its first step; there before it, so that a checkpoint finds its place.
            self.adam.state[parameter] = {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }

    def tensors(self) -> dict[str, Tensor]:
        """All of it by name, as it is in memory."""
        named: dict[str, Tensor] = {"silent": self.silent, "norm": self.norm}
        named |= {f"weights.{name}": value.data for name, value in self.weights.named_parameters()}
        named |= {f"state.{name}": value.data for name, value in self.state.items()}
        for index, parameter in enumerate(self.trained):
            moments: Mapping[str, Tensor] = self.adam.state[parameter]
            named |= {f"adam.{index}.{name}": value for name, value in moments.items()}
        return named

    @property
    def dead(self) -> Tensor:
        """Which features have been silent for long, (features,)."""
        return self.silent >= self.training.dead_after

    def step(self, batch: Tensor, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Learn from a batch; of this process's part the scaled states, their reconstruction, what fired, the loss."""
        x = self.ranks.shard(batch, "hidden states") / float(self.norm)
        result = self.architecture.run(self.weights, self.state, x, self.dead, step)
        self.adam.zero_grad()
        result.loss.backward()
        self.ranks.add([one.grad for one in self.trained if one.grad is not None], len(x) / len(batch))
        self.weights.project_gradient()
        nn.utils.clip_grad_norm_(self.trained, self.training.clip)
        self.adam.param_groups[0]["lr"] = self.training.rate_at(step)
        self.adam.step()
        self.weights.keep_rows_unit()
        measured = [one for one in self.state.values() if not isinstance(one, nn.Parameter)]
        self.ranks.add(measured, 1 / self.ranks.count)
        fired = result.fired.clone()
        self.ranks.add([fired])
        self.silent += len(batch)
        self.silent[fired > 0] = 0
        return x, result.reconstruction, result.fired, result.loss.detach()

    def frozen(self) -> SparseDictionary:
        """The dictionary so far."""
        return self.architecture.freeze(self.weights, self.state, 1 / float(self.norm))


class _Watch:
    """Gathers what happens between two reports, and stops training that has diverged."""

    def __init__(self, run: _Run, done: int, report: Report | None) -> None:
        self._run, self._step, self._report = run, done, report
        self._begin()

    def see(self, x: Tensor, reconstruction: Tensor, fired: Tensor, loss: Tensor) -> None:
        # Counts a step.
        self._step += 1
        self._meter.add(x, reconstruction, fired)
        if self._step % REPORT_STEPS and self._step != self._run.training.steps:
            return
        status = self._status(float(loss))
        if not math.isfinite(status.loss):
            raise DictionaryError(f"training diverged before step {self._step}: the loss is {loss}; lower the rate")
        if self._report is not None:
            self._report(status)
        self._begin()

    def _status(self, loss: float) -> Status:
        quality = self._meter.read()
        seconds = time.monotonic() - self._began
        dead = float(self._run.dead.double().mean())
        return Status(self._step, self._run.training.steps, loss, quality, dead, quality.rows / max(seconds, 1e-9))

    def _begin(self) -> None:
        self._meter = Meter(len(self._run.weights.decoder_bias), self._run.weights.features, self._run.silent.device)
        self._began = time.monotonic()
