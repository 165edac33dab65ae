"""A small LLaVA that says one word at once: a feature that stands for a word, and trials of saying it."""

from collections import Counter
from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional

from mmsteer.latents.trials import Trials
from mmsteer.types import Sample, Site
from tests.latents.dictionaries import made
from tests.steering.seeing import picture, states

LAST = Site("text", 2)
WORDS = ("cup", "table", "the", "image", "a", "there", "shows")


def prompts(count=24, offset=0):
    """Pictures of noise with a few words each."""
    rngs = [np.random.default_rng(offset + one) for one in range(count)]
    texts = [" ".join(rng.choice(WORDS, rng.integers(2, 7))) for rng in rngs]
    return tuple(Sample(f"{offset + one}", text, (picture(offset + one),)) for one, text in enumerate(texts))


def saying(llava, word, count=24, offset=0):
    """The likeliest of the words is said; it is right when it is the word.

    An untrained model always says the same, so a word's usual log-probability is taken off.
    """
    usual = llava.next_word(prompts(48), WORDS).mean(dim=0)

    def generate(some):
        said = (llava.next_word(some, WORDS) - usual).argmax(dim=1)
        return [replace(one, output=WORDS[at]) for one, at in zip(some, said.tolist(), strict=True)]

    return Trials(
        f"say {word}", prompts(count, offset), generate, lambda sample: float(sample.output == word), batch=24
    )


def common_word(llava):
    """The word that the model says to most prompts."""
    said = Counter(sample.output for sample in saying(llava, "", 48).run(llava).samples)
    return said.most_common(1)[0][0]


def dictionary(llava, word, site=LAST, *, noise=6):
    """Feature 0 stands for the word at the last block: read and written along its row of the head; others are noise.

    A feature is active where its row reads more than over the median prompt.
    """
    head = llava.model.lm_head.weight.detach().float()
    tokens = llava.processor.tokenizer.convert_tokens_to_ids([word, *WORDS])
    row = head[tokens[0]] - head[tokens[1:]].mean(dim=0)
    random = torch.randn(noise, len(row), generator=torch.Generator().manual_seed(1))
    found = made(llava, str(site), torch.cat([functional.normalize(row, dim=0)[None], random]))
    reading = llava.reading(prompts(48))
    [state] = states(llava, str(site), lambda: llava.read(reading))
    middle = (state[:, -1].float() @ found.encoder).median(dim=0).values
    return replace(found, encoder_bias=-middle)
