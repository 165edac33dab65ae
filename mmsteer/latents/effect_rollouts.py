"""What steering along each of many vectors does, measured on generated outputs; stops and goes on.

Each row of a batch is steered along a vector of its own, so hundreds of vectors take one generation for every few
dozen. Outputs are generated steered and read unsteered, and compared with the unsteered output of the same item.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mmsteer.atomic import write_atomically
from mmsteer.calibrate import calibrate
from mmsteer.errors import StoreError
from mmsteer.record import data_fingerprint
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.types import Adapter, Direction, Positions, Sample, content_digest

_KEY = "mmsteer effects"


@dataclass(frozen=True, eq=False)
class EffectMeter:
    """What is read from outputs.

    `read`: from items and the outputs made of them to (rows, names); NaN where nothing can be read.
    `content`: what else the numbers depend on, such as the hash of a dictionary.
    """

    names: tuple[str, ...]
    read: Callable[[Sequence[Any], Sequence[Any]], Tensor]
    content: str = ""


@dataclass(frozen=True, eq=False)
class Rollouts:
    """What is generated under every vector, and how it is read.

    `make`: from items to an output each, by the adapter's `generate`; the same item always draws the same noise.
    `settings`: how `make` samples, in words; measurements of other settings or items are not taken up.
    `rows`: rows a batch, at most; one vector's items are never parted.
    """

    adapter: Adapter
    items: Sequence[Any]
    make: Callable[[Sequence[Any]], Sequence[Any]]
    meter: EffectMeter
    settings: str
    rows: int = 64

    def read(self, steerings: Sequence[Steering]) -> Tensor:
        """Readings of every item under each steering, (steerings, items, names).

        `steerings`: one batch of them.
        """
        rows = [one for one in steerings for _ in self.items]
        items = list(self.items) * len(steerings)
        with steer(self.adapter, rows):
            outputs = self.make(items)
        return self.meter.read(items, outputs).double().reshape(len(steerings), len(self.items), -1)


@dataclass(frozen=True, eq=False)
class Effects:
    """What was measured.

    Attributes:
        names: Of the outputs.
        values: Mean change from the unsteered output of the same item, (vectors, outputs); NaN where none is known.
        strengths: Of each vector, relative, (vectors,).
        unscored: Share of the readings that are NaN.
        plain: Mean reading without steering, (outputs,).
    """

    names: tuple[str, ...]
    values: Tensor
    strengths: Tensor
    unscored: float
    plain: Tensor


class Dose(Protocol):
    """A rule for how strong a direction is.

    `content`: hash or words of all that the strength depends on but the model and the direction.
    """

    @property
    def content(self) -> str:
        """What the strength depends on."""

    def __call__(self, direction: Direction) -> Attribute:
        """The direction with its strength."""


@dataclass(frozen=True, eq=False)
class EqualDose:
    """A strength of the same divergence for every direction, so that effects are per unit of damage.

    Attributes:
        adapter: The model.
        samples: Unsteered outputs along which the divergence is measured.
        kl: The 95 % quantile of the divergence a token, in nats.
        guidance: Scale of classifier-free guidance.
        start: Relative strength that the search starts from.
        positions: Which tokens are steered.
    """

    adapter: Adapter
    samples: Sequence[Sample]
    kl: float
    guidance: float = 1.0
    start: float = 0.1
    positions: Positions = Positions("all")

    @property
    def content(self) -> str:
        """Samples by content, and all settings."""
        return f"{data_fingerprint(self.samples)} {self.kl} {self.guidance} {self.start} {self.positions}"

    def __call__(self, direction: Direction) -> Attribute:
        """The direction at the dose."""
        attribute = Attribute(direction, self.start, positions=self.positions)
        steering = Steering((attribute,))
        dose = calibrate(self.adapter, steering, self.samples, self.kl, guidance=self.guidance, tolerance=0.1)
        return replace(attribute, strength=self.start * dose.factor)


def measure_effects(
    rollouts: Rollouts,
    directions: Sequence[Direction],
    dose: Dose,
    *,
    folder: str | Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Effects:
    """Measure the effect of every direction; with a folder, what was measured before is not measured again.

    `rollouts`: what is generated and read.
    `dose`: how strong each is, such as `EqualDose`.
    `folder`: Where each batch is kept as it is done; None for memory only.
    `say`: called with the progress, in words.

    Raises:
        StoreError: The folder holds another measurement, or a damaged file.
    """
    size = max(1, rollouts.rows // len(rollouts.items))
    batches = [[], *(list(directions[at : at + size]) for at in range(0, len(directions), size))]
    run = _fingerprint(rollouts, directions, dose)
    readings: list[Tensor] = []
    strengths: list[Tensor] = []
    for number, batch in enumerate(batches):
        say(f"Measuring effects: batch {number} of {len(batches)}")
        path = Path(folder) / f"effects-{number:05d}.safetensors" if folder is not None else None
        read, strong = _measured(rollouts, batch, dose, path, run)
        readings.append(read)
        strengths.append(strong)
    plain, steered = readings[0], torch.cat(readings[1:])
    unscored = float(torch.cat(readings).isnan().double().mean())
    values = (steered - plain).nanmean(dim=1)
    return Effects(rollouts.meter.names, values, torch.cat(strengths[1:]), unscored, plain[0].nanmean(dim=0))


def _measured(
    rollouts: Rollouts,
    batch: Sequence[Direction],
    dose: Dose,
    path: Path | None,
    run: str,
) -> tuple[Tensor, Tensor]:
    """Readings (vectors, items, names) and strengths (vectors,) of a batch; an empty one is the unsteered model."""
    if path is not None and os.path.exists(path):
        return _load(path, run)
    attributes = [dose(direction) for direction in batch]
    steerings = [Steering((attribute,)) for attribute in attributes] or [Steering()]
    strengths = torch.tensor([attribute.strength for attribute in attributes], dtype=torch.float64)
    readings = rollouts.read(steerings)
    if path is not None:
        _save(path, run, readings, strengths)
    return readings, strengths


def _save(path: Path, run: str, readings: Tensor, strengths: Tensor) -> None:
    data = save({"readings": readings.contiguous(), "strengths": strengths}, {_KEY: run})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    except OSError as cause:
        raise StoreError(f"{path} cannot be written: {cause.strerror}; nothing measured before is lost") from cause


def _load(path: Path, run: str) -> tuple[Tensor, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            there = (file.metadata() or {}).get(_KEY)
            tensors = file.get_tensor("readings"), file.get_tensor("strengths")
    except (SafetensorError, OSError) as cause:
        raise StoreError(f"{path} is damaged or no measurement ({cause}); remove it and measure again") from None
    if there != run:
        raise StoreError(
            f"{path} is of another measurement ({there} there, {run} asked): other vectors, prompts, settings, "
            "readings or dose, or another model; choose another folder, or remove this one"
        )
    return tensors


def _fingerprint(rollouts: Rollouts, directions: Sequence[Direction], dose: Dose) -> str:
    return hashlib.sha256(b"\0".join(_parts(rollouts, directions, dose))).hexdigest()[:16]


def _parts(rollouts: Rollouts, directions: Sequence[Direction], dose: Dose) -> Iterator[bytes]:
    yield f"{rollouts.adapter.run_identity} {rollouts.settings} {rollouts.rows}".encode()
    for item in rollouts.items:
        yield (data_fingerprint([item]) if isinstance(item, Sample) else repr(item)).encode()
    yield ",".join(rollouts.meter.names).encode()
    yield f"{rollouts.meter.content}\0{dose.content}".encode()
    yield content_digest(list(directions)).encode()
