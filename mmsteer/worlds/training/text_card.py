"""The card of a dictionary of `bundled:text`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mmsteer.sae import Quality, Recovery, SparseDictionary
from mmsteer.worlds.training.text_passages import sources

_CARD = """---
license: apache-2.0
---
# mmsteer dictionary of bundled:text (SmolLM2-135M-Instruct), {site}

A sparse dictionary of the residual stream after layer {layer} (model fingerprint {fingerprint}): {features} features
for hidden states of width {width}, BatchTopK with k = {k}, used with one threshold. The layout is that of SAELens with
encoder and decoder in float16; `usage.safetensors` holds mean, spread, maximum and density of every feature.

It learned from {rows:,} hidden states of tokens: answers that the model samples to varied prompts (temperature 0.8,
top-k 50), read under its chat template, and passages of openly licensed text, read without. Attention sinks are left
out. Passages are docstrings and documentation of, and for timm the definitions of ImageNet's classes in,

{sources}

| on {held:,} hidden states of other answers and passages | |
|---|---|
| fraction of variance unexplained | {fvu:.3f} |
| active features a hidden state (L0) | {l0:.1f} |
| dead features | {dead:.1%} |
| dense features (active in more than a tenth) | {dense:.1%} |
| loss recovered, spliced into the model | {recovered:.1%} |

Loss recovered is of the cross-entropy of {tokens:,} tokens of answers: {loss:.3f} nats a token in the model as it is,
{spliced:.3f} with the reconstruction in place of the hidden state, {zero:.3f} with zeros. By the divergence from the
model's own prediction it is {share:.1%} ({kl:.3f} of {kl_zero:.3f} nats). Sinks stay as they are.

Training took {steps} steps of {batch}, {minutes:.0f} minutes of one thread of a shared core, after the reading.

Made by `{command}`.
"""


@dataclass(frozen=True)
class TextReport:
    """What a card says.

    Attributes:
        dictionary: The dictionary, as it ships.
        quality: Measured on hidden states that it did not learn from.
        recovery: Measured on answers that it did not learn from.
        told: Settings of the training, and `rows`, `minutes` and `command`.
    """

    dictionary: SparseDictionary
    quality: Quality
    recovery: Recovery
    told: Mapping[str, object]


def write_text_card(folder: Path, report: TextReport) -> None:
    """Write README.md into the dictionary's folder.

    Args:
        folder: The folder, already written.
        report: What the card says.
    """
    dictionary, quality, recovery = report.dictionary, report.quality, report.recovery
    assert dictionary.site is not None
    text = _CARD.format(
        **report.told,
        site=dictionary.site,
        layer=dictionary.site.layer,
        fingerprint=dictionary.model,
        width=dictionary.width,
        sources="\n".join(f"- {source}" for source in sources()),
        held=quality.rows,
        fvu=quality.fvu,
        l0=quality.l0,
        dead=quality.dead,
        dense=quality.dense,
        recovered=recovery.loss_share,
        tokens=recovery.tokens,
        loss=recovery.loss,
        spliced=recovery.loss_spliced,
        zero=recovery.loss_zero,
        share=recovery.share,
        kl=recovery.kl,
        kl_zero=recovery.kl_zero,
    )
    (folder / "README.md").write_text(text)
