"""Edits that are more than a sum: those that look at the hidden state, or differ from token to token."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from mmsteer.errors import SteeringError
from mmsteer.steering.meter import Meter
from mmsteer.steering.operators import OPERATORS, Read, Scale, component
from mmsteer.steering.plan import StateDependentEdit
from mmsteer.types import Feature, LowRank


class StateDependentEdits:
    """Applies the attributes of a plan that are more than a sum, one after another.

    Attributes:
        places: Indices of the sites that they edit.
    """

    def __init__(self, others: Sequence[StateDependentEdit], stack: str, meter: Meter) -> None:
        self.places = frozenset(place for other in others for place in other.vectors)
        self._others = tuple(others)
        self._stack = stack
        self._meter = meter
        self._placed: dict[tuple[int, torch.device], Tensor] = {}
        self._features: dict[tuple[int, torch.device], Feature] = {}
        self._edits: dict[tuple[int, torch.device], LowRank] = {}

    def edit(self, place: int, hidden: Tensor, edited: Tensor, amounts: Tensor) -> Tensor:
        """The hidden state after these edits.

        Args:
            place: Index of the site.
            hidden: State before any edit, (rows, tokens, width): what gates and units read.
            edited: State after the sums.
            amounts: Coefficients of every column, (rows, tokens, columns).
        """
        precise = torch.promote_types(hidden.dtype, torch.float32)
        before, after = hidden.to(precise), edited.to(precise)
        for other in self._others:
            if place not in other.vectors:
                continue
            vector = self._local(other, other.vectors[place], before)
            amount = amounts[..., other.column, None].to(before)
            if place in other.gates:
                amount = amount * self._open(other, place, before, amount)
            scale: Scale = other.scales[place]
            if other.token_norm:
                scale = scale * torch.linalg.vector_norm(before, dim=-1, keepdim=True)
            if place in other.edits:
                after = after + amount * scale * self._near(other.edits[place], after).change(after)
                continue
            after = OPERATORS[other.operator](after, amount, vector, scale, self._read(other, place, before, vector))
        return after.to(hidden.dtype)

    def _open(self, other: StateDependentEdit, place: int, hidden: Tensor, amount: Tensor) -> Tensor:
        """Which tokens a gate lets through, (rows, tokens, 1) bool."""
        gate = other.gates[place]
        vector = self._local(other, gate.vector, hidden)
        is_open = gate.opens(self._activation(gate.feature, hidden) if gate.feature else component(hidden, vector))
        self._meter.gate(place, amount != 0, is_open)
        return is_open

    def _read(self, other: StateDependentEdit, place: int, before: Tensor, vector: Tensor) -> Read:
        if place not in other.features:
            return partial(component, v=vector)
        # Features that are set together are read together, before the first of them moves the state.
        return lambda _: self._activation(other.features[place], before)

    def _activation(self, feature: Feature, hidden: Tensor) -> Tensor:
        key = (id(feature), hidden.device)
        if key not in self._features:
            self._features[key] = feature.beside(hidden)
        return self._features[key].read(hidden)

    def _near(self, edit: LowRank, hidden: Tensor) -> LowRank:
        key = (id(edit), hidden.device)
        if key not in self._edits:
            self._edits[key] = edit.beside(hidden)
        return self._edits[key]

    def _local(self, other: StateDependentEdit, vector: Tensor, hidden: Tensor) -> Tensor:
        # A vector of the plan where the layer is, and as precise; moved there once, not at every step.
        if vector.ndim == 2 and len(vector) != hidden.shape[1]:
            raise SteeringError(
                f"{other.name!r} has a vector for each of {len(vector)} tokens of the stack {self._stack!r}, but this "
                f"forward has {hidden.shape[1]}; use images of the size that it was found with, or a direction that "
                "is pooled over tokens"
            )
        key = (id(vector), hidden.device)
        if key not in self._placed:
            self._placed[key] = vector.to(hidden)
        return self._placed[key]
