"""How likely a model finds outputs."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmsteer.layouts import layouts
from mmsteer.steering import Steering, steer
from mmsteer.types import Adapter, Positions, Sample, Tokens

GENERATED = Positions("generated")


def output_likelihood(adapter: Adapter, samples: Sequence[Sample], steering: Steering | None = None) -> Tensor:
    """Log-probability of each sample's output after its prompt, and how many tokens the output has.

    Args:
        adapter: The model.
        samples: Prompts with outputs, read in one forward.
        steering: What is applied; nothing where it is left out.

    Returns:
        For each sample the sum over the tokens of its output, in nats, and their number, (samples, 2) float64.
    """
    reading = adapter.reading(samples)
    with steer(adapter, steering or Steering()) as session, session.call(reading.call):
        with layouts(adapter, adapter.generator, reading) as found:
            logits = adapter.read(reading)
    kinds = found[-1].kinds
    made = GENERATED.mask(Tokens(kinds, torch.arange(kinds.shape[1], device=kinds.device)))
    tokens = adapter.tokens(reading).to(logits.device)
    # A conditioning prefix, before the tokens, has no logits; the padding of delayed codes is not in the vocabulary.
    counts = made[:, -tokens.shape[1] :, None].to(logits.device) & (tokens < logits.shape[-1])
    counts, wanted = counts[:, 1:], tokens[:, 1:].clamp(max=logits.shape[-1] - 1)
    each = logits[:, :-1].float().log_softmax(-1).gather(-1, wanted.unsqueeze(-1)).squeeze(-1).double()
    return torch.stack([(each * counts).sum((1, 2)), counts.sum((1, 2)).double()], dim=1).cpu()
