"""How likely a model finds outputs."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmsteer.layouts import layouts, tokens_of
from mmsteer.steering import Steering, steer
from mmsteer.types import Adapter, Layout, Positions, Reading, Sample

GENERATED = Positions("generated")


@dataclass(frozen=True, eq=False)
class OutputTokens:
    """The tokens of the outputs of a reading.

    Attributes:
        log_probs: Of each token of the output, in nats, 0 at the others, (rows, tokens - 1, vocabularies) float32; the
            first token that has logits is left out, and with it what may be before it.
        counts: Which tokens are of the output, the same shape, bool.
    """

    log_probs: Tensor
    counts: Tensor

    @property
    def sums(self) -> Tensor:
        """Log-probability of each output, (rows,)."""
        return self.log_probs.sum((1, 2))

    @property
    def sizes(self) -> Tensor:
        """How many tokens each output has, (rows,)."""
        return self.counts.sum((1, 2))


def output_tokens(adapter: Adapter, reading: Reading, layout: Layout, logits: Tensor) -> OutputTokens:
    """Read off what a forward says of the outputs that it was given.

    Args:
        adapter: The model.
        reading: What it read.
        layout: What the tokens were.
        logits: What it made of them; of the last tokens alone, where no output is before them.
    """
    made = GENERATED.mask(tokens_of(adapter, adapter.generator, layout))
    tokens = adapter.tokens(reading).to(logits.device)
    tokens = tokens[:, tokens.shape[1] - logits.shape[1] :]
    # A conditioning prefix, before the tokens, has no logits; the padding of delayed codes is not in the vocabulary.
    counts = (made[:, -tokens.shape[1] :, None].to(logits.device) & (tokens < logits.shape[-1]))[:, 1:]
    # Only what counts: prompts are often the longer part, and a softmax over a vocabulary is dear.
    wanted = tokens[:, 1:][counts].unsqueeze(-1)
    each = logits[:, :-1][counts].float().log_softmax(-1).gather(-1, wanted).squeeze(-1)
    return OutputTokens(each.new_zeros(counts.shape).masked_scatter(counts, each), counts)


def output_likelihood(
    adapter: Adapter, samples: Sequence[Sample], steering: Steering | None = None, *, steps: int | None = None
) -> Tensor:
    """Log-probability of each sample's output after its prompt, and how many tokens the output has.

    Args:
        adapter: The model.
        samples: Prompts with outputs, read in one forward.
        steering: What is applied; nothing where it is left out.
        steps: How many output steps are allowed where they are generated: schedules in percent are of them.

    Returns:
        For each sample the sum over the tokens of its output, in nats, and their number, (samples, 2) float64.
    """
    reading = adapter.reading(samples).within(steps)
    with steer(adapter, steering or Steering()) as session, session.call(reading.call):
        with layouts(adapter, adapter.generator, reading) as found:
            logits = adapter.read(reading)
    read = output_tokens(adapter, reading, found[-1], logits)
    sums = read.log_probs.double().sum((1, 2))
    return torch.stack([sums, read.sizes.double()], dim=1).cpu()
