"""How much of a model's output survives when it goes on with a dictionary's reconstruction."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmsteer import hooks
from mmsteer.errors import DictionaryError
from mmsteer.layouts import layouts
from mmsteer.sae.dictionary import SparseDictionary
from mmsteer.sae.edit import Change, spliced, unchanged
from mmsteer.types import Adapter, Positions, Reading, Sample, Tokens

OUTPUT = Positions("last | generated")


@dataclass(frozen=True)
class Recovery:
    """What a spliced dictionary costs, in nats a predicted token.

    The target of the loss is the model's own prediction: loss minus its least possible value is then the divergence of
    the changed from the unchanged prediction, and the share that is recovered, (H₀ - H) / (H₀ - H*), is 1 - KL / KL₀.

    Attributes:
        kl: Divergence with the reconstruction in place of the hidden state.
        kl_zero: Divergence with zeros in its place.
        tokens: Predicted tokens.
    """

    kl: float
    kl_zero: float
    tokens: int

    @property
    def share(self) -> float:
        """Share of the loss that is recovered: 1 for a perfect dictionary, 0 for one as bad as zeros."""
        return 1 - self.kl / self.kl_zero


@torch.no_grad()
def loss_recovered(
    adapter: Adapter,
    dictionary: SparseDictionary,
    samples: Sequence[Sample],
    *,
    change: Change = unchanged,
    error_term: bool = False,
    batch: int = 8,
) -> Recovery:
    """Splice a dictionary into its model and compare the predictions along given samples.

    Every row and token goes through the dictionary; those that predict output are compared: the last of the prompt and
    those after it. Codebooks that one step predicts add up.

    Args:
        adapter: The model.
        dictionary: A dictionary that knows its site.
        samples: Clips, or prompts with their answers.
        change: What to do with the activations.
        error_term: Keep what the dictionary misses; with no change, the divergence is then zero.
        batch: Samples a forward.

    Raises:
        DictionaryError: There are no samples, or zeros at the site change nothing.
    """
    kl = kl_zero = 0.0
    tokens = 0
    site = dictionary.located(adapter.widths, adapter.fingerprint)
    for start in range(0, len(samples), batch):
        reading = adapter.reading(samples[start : start + batch])
        plain, counts = _plain(adapter, reading)
        with spliced(adapter, dictionary, change, error_term=error_term):
            kl += _divergence(plain, adapter.read(reading), counts)
        with hooks.edits({adapter.port(site): torch.zeros_like}):
            kl_zero += _divergence(plain, adapter.read(reading), counts)
        tokens += int(counts.sum())
    if not kl_zero > 0:
        raise DictionaryError(f"zeros at {site} change no prediction of {len(samples)} samples; nothing to recover")
    return Recovery(kl / tokens, kl_zero / tokens, tokens)


def _plain(adapter: Adapter, reading: Reading) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the model as it is, and which tokens count."""
    with layouts(adapter, adapter.generator, reading) as found:
        logits = adapter.read(reading).float()
    kinds = found[-1].kinds
    counts = OUTPUT.mask(Tokens(kinds, torch.arange(kinds.shape[1], device=kinds.device)))
    # A conditioning prefix, before the tokens, has no logits.
    return logits.log_softmax(dim=-1), counts[:, -logits.shape[1] :].to(logits.device)


def _divergence(plain: Tensor, logits: Tensor, counts: Tensor) -> float:
    """KL divergence of the changed from the plain prediction, summed over the tokens that count, in nats."""
    changed = logits.float().log_softmax(dim=-1)
    each = (plain.exp() * (plain - changed)).sum(dim=-1).sum(dim=-1)
    return float(each[counts].double().sum().clamp(min=0))
