"""What a steering vector is made of, in the words of a dictionary, and why its encoder cannot say it.

The encoder was made for hidden states. A steering vector is a difference of them: it is too short, so that the encoder
answers with its bias, and part of it points against features, which an activation cannot do. Pursuits over the decoder
rows have neither fault, and `diagnose` measures both.

Source: Mayne, Yang and Jacobs 2024, arXiv:2411.08790.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor
from torch.nn import functional

from mmsteer.errors import DictionaryError
from mmsteer.sae.dictionary import SparseDictionary

Refit = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Coefficients (k,) from chosen unit rows (k, width), the vector (width,) and the coefficients so far (k,)."""


@dataclass(frozen=True)
class Term:
    """One feature of a decomposition.

    `coefficient`: length along its unit decoder row, in units of the vector.
    `explained`: share of the vector's square norm that this term and those before it explained when it was chosen.
    """

    feature: int
    coefficient: float
    cosine: float
    explained: float


@dataclass(frozen=True)
class Decomposition:
    """A vector as a sum of a few features.

    `method`: one of `PURSUITS`.
    `terms`: in the order in which they were chosen.
    """

    method: str
    norm: float
    terms: tuple[Term, ...]

    @property
    def explained(self) -> float:
        """Share of the vector's square norm, 1 - |rest|² / |vector|²."""
        return self.terms[-1].explained if self.terms else 0.0

    @property
    def negative(self) -> float:
        """Share of the summed absolute coefficients that is below zero; 0 without terms."""
        total = sum(abs(term.coefficient) for term in self.terms)
        return sum(-term.coefficient for term in self.terms if term.coefficient < 0) / total if total else 0.0

    def table(self) -> str:
        """The terms as lines of text."""
        head = f"{self.method} pursuit, {len(self.terms)} features: {self.explained:.1%} of |v|² = {self.norm:.3g}²"
        lines = [head, f"{'feature':>8} {'coefficient':>12} {'cosine':>7} {'explained':>10}"]
        for term in self.terms:
            lines.append(f"{term.feature:8d} {term.coefficient:+12.3f} {term.cosine:+7.3f} {term.explained:10.1%}")
        return "\n".join([*lines, f"below zero: {self.negative:.1%} of the coefficients' sum"])


@torch.no_grad()
def decompose(dictionary: SparseDictionary, vector: Tensor, terms: int, method: str = "signed") -> Decomposition:
    """Explain a vector by a few decoder rows.

    Each turn chooses the row that has most of what is left, and computes the coefficients anew:

    - `signed`: the largest |component|, then least squares (orthogonal matching pursuit);
    - `non_negative`: the largest component, then non-negative least squares: what an activation could say;
    - `gradient`: the largest |component|, then one exact step along the gradient of the chosen coefficients.

    Args:
        dictionary: The dictionary; only its decoder is used, its bias is not.
        vector: The vector, (width,); its length sets the unit of the coefficients.
        terms: Most features; fewer where nothing is left, or where none has a component above zero.
        method: One of `PURSUITS`.

    Raises:
        DictionaryError: The vector does not fit, the method is unknown, or the number of terms is not possible.

    Source: Pati et al. 1993, doi:10.1109/ACSSC.1993.342465 (signed); Bruckstein et al. 2008,
        doi:10.1109/TIT.2008.929920 (non-negative); Blumensath and Davies 2008, doi:10.1109/TSP.2007.916124 (gradient).
    """
    v = _fitting(dictionary, vector)
    if method not in PURSUITS:
        raise DictionaryError(f"no pursuit {method!r}; choose from {', '.join(PURSUITS)}")
    if not 0 < terms <= min(dictionary.features, dictionary.width):
        most = min(dictionary.features, dictionary.width)
        raise DictionaryError(f"{terms} terms were asked for; a vector of width {dictionary.width} has 1 to {most}")
    rows = functional.normalize(dictionary.decoder.double(), dim=1)
    return _pursue(rows, v.double(), terms, method)


def _pursue(rows: Tensor, v: Tensor, terms: int, method: str) -> Decomposition:
    square, left = float(v @ v), v
    chosen: list[int] = []
    explained: list[float] = []
    coefficients = v.new_zeros(0)
    while len(chosen) < terms and float(left @ left) > 1e-12 * square:
        has = rows @ left
        has = has if method == "non_negative" else has.abs()
        has[chosen] = -1.0
        best = int(has.argmax())
        if has[best] <= 0:
            break
        chosen.append(best)
        coefficients = PURSUITS[method](rows[chosen], v, functional.pad(coefficients, (0, 1)))
        left = v - coefficients @ rows[chosen]
        explained.append(1 - float(left @ left) / square)
    cosines = (rows[chosen] @ v / square**0.5).tolist()
    parts = zip(chosen, coefficients.tolist(), cosines, explained, strict=True)
    return Decomposition(method, square**0.5, tuple(Term(*part) for part in parts))


def _least_squares(rows: Tensor, v: Tensor, before: Tensor) -> Tensor:
    return torch.linalg.lstsq(rows.T.cpu(), v[:, None].cpu(), driver="gelsd").solution[:, 0].to(v)


def _non_negative(rows: Tensor, v: Tensor, before: Tensor) -> Tensor:
    solution, _ = nnls(rows.T.cpu().numpy(), v.cpu().numpy())
    return torch.from_numpy(np.ascontiguousarray(solution)).to(v)


def _gradient_step(rows: Tensor, v: Tensor, before: Tensor) -> Tensor:
    left = v - before @ rows
    gradient = rows @ left
    moved = gradient @ rows
    return before + (moved @ left) / (moved @ moved) * gradient


PURSUITS: Mapping[str, Refit] = {
    "signed": _least_squares,
    "non_negative": _non_negative,
    "gradient": _gradient_step,
}
"""How a pursuit computes its coefficients; `decompose` says what each is."""


@torch.no_grad()
def latent_difference(dictionary: SparseDictionary, positive: Tensor, negative: Tensor) -> Tensor:
    """Mean activations of examples less those of counterexamples, (features,) along unit rows: signed by construction.

    `positive`: hidden states, (rows, width).
    `negative`: hidden states, (rows, width).

    Raises:
        DictionaryError: There are no states on one of the sides.
    """
    if not len(positive) or not len(negative):
        raise DictionaryError(f"{len(positive)} positive and {len(negative)} negative states; give some of both")
    difference = dictionary.encode(positive).mean(dim=0) - dictionary.encode(negative).mean(dim=0)
    return difference * dictionary.decoder.norm(dim=1)


@dataclass(frozen=True)
class Diagnosis:
    """How far the encoder misreads a vector.

    Attributes:
        norm: Of the vector.
        percentile: Share of the hidden states that are shorter than it.
        overlap: Share of the largest activations of the vector that are among the largest of zero as well.
        recovered: Cosine of the vector and decode(encode(v)) - decode(encode(0)); None where that is zero.
        negative: Share of the projections' absolute sum that is below zero; of the relevant features, whose mean
            activations differ, where examples are given, else of all.
        agreement: Share of the absolute mean differences whose sign is that of the projection; None without examples.
        top: How many largest activations were compared.
    """

    norm: float
    percentile: float
    overlap: float
    recovered: float | None
    negative: float
    agreement: float | None
    top: int

    def table(self) -> str:
        """What was found, as lines of text."""
        agreement = "no examples given" if self.agreement is None else f"{self.agreement:.1%}"
        recovered = "nothing is" if self.recovered is None else f"{self.recovered:.3f}"
        lines = {
            "norm": f"{self.norm:.3g}, longer than {self.percentile:.1%} of the hidden states",
            f"top {self.top} of encode(v)": f"{self.overlap:.0%} are also in the top {self.top} of encode(0)",
            "recovered by the encoder": f"{recovered} (cosine, less what it makes of zero)",
            "negative projections": f"{self.negative:.1%} of their sum, which no activation can say",
            "signs of projections": f"{agreement} (agree with the mean difference of activations)",
        }
        return "\n".join(f"{name:>26}  {text}" for name, text in lines.items())


@torch.no_grad()
def diagnose(
    dictionary: SparseDictionary,
    vector: Tensor,
    states: Tensor,
    examples: tuple[Tensor, Tensor] | None = None,
    *,
    top: int = 5,
) -> Diagnosis:
    """Measure the two faults of encoding a steering vector: out of distribution, and negative projections.

    `vector`: the vector as it is, or is added, (width,); the encoder's answer depends on its length.
    `states`: hidden states of the site, (rows, width).
    `examples`: hidden states with and without what the vector stands for, (rows, width) each.
    `top`: how many largest activations to compare.

    Raises:
        DictionaryError: The vector does not fit, or there are no states.
    """
    v = _fitting(dictionary, vector)
    if not len(states):
        raise DictionaryError("there are no hidden states; the vector's norm is compared with at least one")
    projections = functional.normalize(dictionary.decoder, dim=1) @ v
    difference = latent_difference(dictionary, *examples) if examples else None
    relevant = projections if difference is None else projections[difference != 0]
    return Diagnosis(
        float(v.norm()),
        float((states.float().norm(dim=-1) < v.norm()).double().mean()),
        _overlap(dictionary, v, top),
        _recovered(dictionary, v),
        _share(relevant, relevant < 0),
        None if difference is None else _share(difference, difference.sign() == projections.sign()),
        top,
    )


def _overlap(dictionary: SparseDictionary, v: Tensor, top: int) -> float:
    z = dictionary.encode(torch.stack([v, torch.zeros_like(v)]))
    # A silent feature is in no top, however few are active.
    of_vector, of_zero = ({int(i) for i in row.topk(min(top, len(row))).indices if row[i] > 0} for row in z)
    return len(of_vector & of_zero) / max(len(of_vector), 1)


def _recovered(dictionary: SparseDictionary, v: Tensor) -> float | None:
    heard = dictionary.reconstruct(v) - dictionary.reconstruct(torch.zeros_like(v))
    return float(functional.cosine_similarity(heard, v, dim=0)) if heard.any() else None


def _share(values: Tensor, chosen: Tensor) -> float:
    total = float(values.abs().sum())
    return float(values.abs()[chosen].sum()) / total if total else 0.0


def _fitting(dictionary: SparseDictionary, vector: Tensor) -> Tensor:
    v = vector.detach().to(dictionary.decoder)
    if v.shape != (dictionary.width,) or not torch.isfinite(v).all() or not v.any():
        raise DictionaryError(
            f"a vector of shape {tuple(v.shape)} and norm {float(v.norm()):g} cannot be decomposed; the dictionary has "
            f"vectors of ({dictionary.width},), finite and not zero"
        )
    return v
