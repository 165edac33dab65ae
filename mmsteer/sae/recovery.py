"""How much of a model's output survives when it goes on with a dictionary's reconstruction."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from mmsteer import hooks
from mmsteer.errors import DictionaryError
from mmsteer.layouts import layouts
from mmsteer.sae.dictionary import SparseDictionary
from mmsteer.sae.edit import Change, latent_edit, unchanged
from mmsteer.types import OUTPUT, Adapter, Positions, Reading, Sample, Site, Tokens, sink_mask

GENERATED = Positions("generated")
EVERYTHING = Positions("all")


@dataclass(frozen=True)
class Recovery:
    """What a spliced dictionary costs, in nats a predicted token.

    With the model's own prediction as the target of the loss, loss minus its least possible value is the divergence of
    the changed from the unchanged prediction, and the share that is recovered, (H₀ - H) / (H₀ - H*), is 1 - KL / KL₀.
    With the tokens of the samples' outputs as the target, it is the share of the cross-entropy, as usually published.

    Attributes:
        kl: Divergence with the reconstruction in place of the hidden state.
        kl_zero: Divergence with zeros in its place.
        tokens: Predicted tokens.
        loss: Cross-entropy of the outputs' tokens in the model as it is; not a number where samples have no output.
        loss_spliced: The same with the reconstruction.
        loss_zero: The same with zeros.
    """

    kl: float
    kl_zero: float
    tokens: int
    loss: float
    loss_spliced: float
    loss_zero: float

    @property
    def share(self) -> float:
        """Share of the loss that is recovered: 1 for a perfect dictionary, 0 for one as bad as zeros."""
        return 1 - self.kl / self.kl_zero

    @property
    def loss_share(self) -> float:
        """Share of the cross-entropy of the outputs' tokens that is recovered."""
        return (self.loss_zero - self.loss_spliced) / (self.loss_zero - self.loss)


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

    Every row and token goes through the dictionary but attention sinks, which no dictionary learns and which stay as
    they are, in the comparison with zeros, too. Tokens that predict output are compared: the last of the prompt and
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
    site = dictionary.located(adapter)
    edits = (latent_edit(dictionary, change, error_term=error_term), torch.zeros_like)
    kl = torch.zeros(2, dtype=torch.float64)
    losses = torch.zeros(3, dtype=torch.float64)
    tokens = predicted = 0
    for start in range(0, len(samples), batch):
        plain = _Plain(adapter, adapter.reading(samples[start : start + batch]), site)
        losses[0] += plain.loss(plain.logits)
        for at, edit in enumerate(edits):
            with plain.edited(edit):
                changed = adapter.read(plain.reading).float().log_softmax(dim=-1)
            kl[at] += _divergence(plain.logits, changed, plain.counts)
            losses[at + 1] += plain.loss(changed)
        tokens += int(plain.counts.sum())
        predicted += int(plain.targeted.any(-1).sum())
    if not kl[1] > 0:
        raise DictionaryError(f"zeros at {site} change no prediction of {len(samples)} samples; nothing to recover")
    means, costs = (kl / tokens).tolist(), (losses / predicted).tolist()
    return Recovery(means[0], means[1], tokens, *costs)


class _Plain:
    """A reading of the model as it is, and what is compared with it."""

    def __init__(self, adapter: Adapter, reading: Reading, site: Site) -> None:
        self._adapter, self._site = adapter, site
        self.reading = reading
        states: list[Tensor] = []
        with (
            layouts(adapter, adapter.generator, reading) as found,
            layouts(adapter, site.stack, reading) as of_site,
            hooks.readings({adapter.port(site): states.append}),
        ):
            logits = adapter.read(reading).float()
        kinds = found[-1].kinds
        seen = Tokens(kinds, torch.arange(kinds.shape[1], device=kinds.device))
        width = logits.shape[1]
        # Log-probabilities; a conditioning prefix, before the tokens, has no logits.
        self.logits = logits.log_softmax(dim=-1)
        self.counts = OUTPUT.mask(seen)[:, -width:].to(logits.device)
        given = adapter.tokens(reading)[:, -width:].to(logits.device)
        # The padding of delayed codes is not in the vocabulary.
        made = GENERATED.mask(seen)[:, -width:, None].to(logits.device)
        self.targeted = (made & (given < logits.shape[-1]))[:, 1:]
        self._given = given[:, 1:].clamp(max=logits.shape[-1] - 1)
        of_state = of_site[-1].kinds
        places = Tokens(of_state, torch.arange(of_state.shape[1], device=of_state.device))
        self._sinks = sink_mask(states[-1].float().norm(dim=-1), places, EVERYTHING)

    def loss(self, logits: Tensor) -> float:
        """Negative log-probability of the outputs' tokens, summed, in nats.

        `logits`: log-probabilities, (rows, tokens, heads, vocabulary).
        """
        each = logits[:, :-1].gather(-1, self._given.unsqueeze(-1)).squeeze(-1)
        return -float(each[self.targeted].double().sum())

    @contextmanager
    def edited(self, edit: hooks.Edit) -> Iterator[None]:
        """Replace hidden states at the site, sinks aside."""
        sinks = self._sinks.unsqueeze(-1)
        with hooks.edits({self._adapter.port(self._site): lambda h: torch.where(sinks.to(h.device), h, edit(h))}):
            yield


def _divergence(plain: Tensor, changed: Tensor, counts: Tensor) -> float:
    """KL divergence of the changed from the plain prediction, summed over the tokens that count, in nats."""
    each = (plain.exp() * (plain - changed)).sum(dim=-1).sum(dim=-1)
    return float(each[counts].double().sum().clamp(min=0))
