"""The card of a bundled dictionary."""

from collections.abc import Mapping
from pathlib import Path

from mmsteer.sae import Quality, Recovery, SparseDictionary

_CARD = """---
license: apache-2.0
---
# mmsteer dictionary of {model}, {site}

A sparse dictionary of the {site} of {model} (fingerprint {fingerprint}): {features} features for hidden states of
width {width}, BatchTopK with k = {k}, used with one threshold. The layout is that of SAELens; `usage.safetensors` holds
mean, spread, maximum and density of every feature.

It learned from {rows} hidden states: {groups}. Clips and scenes have seeds that the model never saw.

| on {held} other hidden states | |
|---|---|
| fraction of variance unexplained | {fvu:.3f} |
| active features a hidden state (L0) | {l0:.1f} |
| dead features | {dead:.1%} |
| dense features (active in more than a tenth) | {dense:.1%} |
| loss recovered, spliced into the model | {recovered:.1%} |

Loss recovered is 1 - KL / KL of zeros: {kl:.3f} of {kl_zero:.3f} nats a step, over {tokens} steps.

Training took {steps} steps of {batch}, {minutes:.1f} minutes with the reading of the states.

Made by `python -m mmsteer.worlds.training.train_dictionary --model {model} --site {site} --samples {samples}
--features {features} --k {k} --steps {steps} --batch {batch} --rate {rate} --seed {seed}`.
"""


def write_card(
    folder: Path,
    dictionary: SparseDictionary,
    found: tuple[Quality, Recovery],
    told: Mapping[str, object],
) -> None:
    """Write README.md into the dictionary's folder.

    Args:
        folder: The folder, already written.
        dictionary: The dictionary.
        found: Its quality and what is recovered, on what it did not learn from.
        told: The command line, and `rows`, `groups` and `minutes`.
    """
    quality, recovery = found
    text = _CARD.format(
        fingerprint=dictionary.model,
        width=dictionary.width,
        held=quality.rows,
        fvu=quality.fvu,
        l0=quality.l0,
        dead=quality.dead,
        dense=quality.dense,
        recovered=recovery.share,
        kl=recovery.kl,
        kl_zero=recovery.kl_zero,
        tokens=recovery.tokens,
        **told,
    )
    (folder / "README.md").write_text(text)
