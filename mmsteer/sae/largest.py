"""Architectures that keep the largest activations: TopK, BatchTopK, Matryoshka."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mmsteer.errors import DictionaryError
from mmsteer.sae.architecture import Pass, State, squared_error
from mmsteer.sae.codes import Codes, chosen
from mmsteer.sae.dictionary import SparseDictionary, folded
from mmsteer.sae.weights import Weights


@dataclass(frozen=True)
class TopK:
    """The k largest activations of each hidden state.

    Dead features are revived by a second reconstruction, AuxK: the `width / 2` largest activations of dead features
    should rebuild what the living ones miss.

    Attributes:
        k: Active features a hidden state.
        auxiliary: Weight of AuxK, whose error is measured in shares of the variance it should explain.

    Source: Gao et al. 2024, arXiv:2406.04093, and its released loss.
    """

    k: int
    auxiliary: float = 1 / 32
    betas = (0.9, 0.999)
    needs_steps = 0

    def __post_init__(self) -> None:
        _check_k(self.k)

    def start(self, weights: Weights) -> State:
        """Nothing is kept beside the weights.

        Raises:
            DictionaryError: There are fewer features than should be active.
        """
        _check_features(self.k, weights)
        return {}

    def run(self, weights: Weights, state: State, x: Tensor, dead: Tensor, step: int) -> Pass:
        """Encode and decode a batch."""
        bias = weights.bias()
        a = _product(weights, bias, x)
        columns = a.topk(self.k, dim=1, sorted=False).indices.flatten()
        codes = chosen(x, weights.encoder, bias, a, columns, columns.new_full((len(x),), self.k))
        reconstruction = codes.decode(weights.decoder) + weights.decoder_bias
        loss = squared_error(x, reconstruction)
        loss = loss + self.auxiliary * revival_loss(weights, bias, x, reconstruction.detach(), dead)
        return Pass(loss, reconstruction.detach(), codes.fired(weights.features))

    def freeze(self, weights: Weights, state: State, scale: float) -> SparseDictionary:
        """The dictionary with the same k."""
        return _frozen(weights, 0.0, scale, self.k)


@dataclass(frozen=True)
class BatchTopK:
    """The k largest activations a hidden state on average: the rows × k largest of the batch.

    A dictionary in use sees no batch. It takes as threshold what was, on average, the smallest activation of a batch
    that counted, and so has k active features on average as well.

    Attributes:
        k: Active features a hidden state, on average.
        auxiliary: As for `TopK`.
        prefixes: Shares of the features that must reconstruct alone, beside all of them.
        memory: Decay a step of the running mean of the threshold.
        threshold_start: Steps before that mean begins.

    Source: Bussmann et al. 2024, arXiv:2412.06410; threshold as in its released code.
    """

    k: int
    auxiliary: float = 1 / 32
    prefixes: tuple[float, ...] = ()
    memory: float = 0.999
    threshold_start: int = 1000
    betas = (0.9, 0.999)

    def __post_init__(self) -> None:
        _check_k(self.k)
        if list(self.prefixes) != sorted(set(self.prefixes)) or not all(0 < share < 1 for share in self.prefixes):
            raise DictionaryError(f"prefixes are growing shares between 0 and 1 of the features, not {self.prefixes}")

    @property
    def needs_steps(self) -> int:
        """Steps before there is a threshold."""
        return self.threshold_start

    def start(self, weights: Weights) -> State:
        """The threshold, zero until it is measured.

        Raises:
            DictionaryError: There are fewer features than should be active.
        """
        _check_features(self.k, weights)
        return {"threshold": torch.zeros((), device=weights.encoder.device)}

    def run(self, weights: Weights, state: State, x: Tensor, dead: Tensor, step: int) -> Pass:
        """Encode and decode a batch, and measure the threshold."""
        bias = weights.bias()
        a = _product(weights, bias, x)
        # Sorted places: activations row after row.
        places = a.flatten().topk(self.k * len(x), sorted=False).indices.sort().values
        rows, columns = places // weights.features, places % weights.features
        codes = chosen(x, weights.encoder, bias, a, columns, torch.bincount(rows, minlength=len(x)))
        if step >= self.threshold_start:
            self._measure(state["threshold"], codes.values.detach())
        loss, reconstruction = self._loss(weights, codes, x)
        loss = loss + self.auxiliary * revival_loss(weights, bias, x, reconstruction, dead)
        return Pass(loss, reconstruction, codes.fired(weights.features))

    def freeze(self, weights: Weights, state: State, scale: float) -> SparseDictionary:
        """The dictionary with one threshold for all features."""
        return _frozen(weights, state["threshold"], scale)

    def _loss(self, weights: Weights, codes: Codes, x: Tensor) -> tuple[Tensor, Tensor]:
        """Sum of the errors of all prefixes and of the whole, and the whole reconstruction."""
        stops = [round(share * weights.features) for share in self.prefixes] + [weights.features]
        reconstruction, loss, start = weights.decoder_bias.expand_as(x), x.new_zeros(()), 0
        for stop in stops:
            part = codes.below(stop, start) if self.prefixes else codes
            reconstruction = reconstruction + part.decode(weights.decoder)
            loss, start = loss + squared_error(x, reconstruction), stop
        return loss, reconstruction.detach()

    def _measure(self, threshold: Tensor, values: Tensor) -> None:
        positive = values[values > 0]
        if len(positive):
            smallest = positive.min()
            threshold.copy_(threshold.lerp(smallest, 1 - self.memory) if threshold > 0 else smallest)


def matryoshka(k: int, prefixes: tuple[float, ...] = (1 / 16, 1 / 8, 1 / 4, 1 / 2)) -> BatchTopK:
    """BatchTopK whose first features must reconstruct alone, so that broad features are not split into narrow ones.

    Args:
        k: Active features a hidden state, on average.
        prefixes: Shares of the features that must reconstruct alone.

    Source: Bussmann et al. 2025, arXiv:2503.17547.
    """
    return BatchTopK(k, prefixes=prefixes)


def revival_loss(weights: Weights, bias: Tensor, x: Tensor, reconstruction: Tensor, dead: Tensor) -> Tensor:
    """AuxK: how much of what is missing the dead features leave unexplained, from 0 to about 1; 0 if none is dead.

    `bias`: of the encoder, for x as it is.
    `x`: hidden states, (rows, width).
    """
    members = dead.nonzero().flatten()
    if not len(members):
        return x.new_zeros(())
    missing = x - reconstruction
    z = (x @ weights.encoder[members].T + bias[members]).relu()
    largest = z.topk(min(x.shape[1] // 2, len(members)), dim=1, sorted=False)
    sparse = torch.zeros_like(z).scatter(1, largest.indices, largest.values)
    error = squared_error(missing, sparse @ weights.decoder[members])
    variance = squared_error(missing, missing.mean(dim=0))
    return error / variance.clamp(min=torch.finfo(torch.float32).tiny)


def _product(weights: Weights, bias: Tensor, x: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.addmm(bias, x, weights.encoder.T)


def _frozen(weights: Weights, threshold: Tensor | float, scale: float, k: int | None = None) -> SparseDictionary:
    tensors: Mapping[str, Tensor] = dict(weights.named_parameters())
    return folded(
        tensors["encoder"].T,
        tensors["encoder_bias"],
        tensors["decoder"],
        tensors["decoder_bias"],
        threshold,
        subtract=True,
        scale=scale,
        k=k,
    )


def _check_k(k: int) -> None:
    if k < 1:
        raise DictionaryError(f"k is {k}; a feature or more must be active")


def _check_features(k: int, weights: Weights) -> None:
    if k > weights.features:
        raise DictionaryError(f"k is {k}, more than the {weights.features} features there are")
