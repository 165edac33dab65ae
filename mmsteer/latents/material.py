"""What features are looked up in, dosed along, and steered on, made of rows."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from mmsteer.adapters import AnyAdapter
from mmsteer.errors import DataError
from mmsteer.eval.attributes import ATTRIBUTES, Clip, read_labels
from mmsteer.latents.evidence import label_lift
from mmsteer.latents.maximal import Maximal
from mmsteer.latents.rows import TEST, prompted, with_outputs
from mmsteer.latents.trials import Generate, sampled
from mmsteer.tasks import Row
from mmsteer.types import Sample, Sampling

DESCRIBED_BY = 10
"""Top activating moments that describe a feature."""
CONTEXTS, CONTEXT_WORDS, CONTEXT_SECONDS = {"text": 8, "audio": 4}, 4, 1.0
PROMOTED = {"text": 5, "audio": 20}
PROMPTS = 12

Describe = Callable[[Maximal], object]
Share = Callable[[object, Sequence[Sample]], list[float | None]]


@dataclass(frozen=True, eq=False)
class Material:
    """Samples of one modality, and how outputs of it are described.

    Attributes:
        promotes: Tokens that count as promoted by a feature, in each head.
        contexts: Where output scores and doses are measured.
        labelled: What is looked through for top activating moments.
        prompts: What is generated from.
        generate: Outputs of the prompts.
        describe: What the top activating moments of a feature have in common: an attribute with its value, or words.
        share: How much of such a description is in each output; None where it cannot be read.
    """

    promotes: int
    contexts: tuple[Sample, ...]
    labelled: tuple[Sample, ...]
    prompts: tuple[Sample, ...]
    generate: Generate
    describe: Describe
    share: Share


def check_described(rows: Sequence[Row], output_kind: str) -> None:
    """Refuse clips without attributes: what they have in common is what describes a feature of audio.

    Raises:
        DataError: A clip has none that can be read from audio.
    """
    clips = [row for row in rows if row.audio is not None] if output_kind == "audio" else []
    if output_kind == "audio" and not clips:
        raise DataError(f"{rows[0].place}: no row has audio, so there is nothing to look features up in")
    if bare := [row for row in clips if not set(row.attributes) & set(ATTRIBUTES)]:
        raise DataError(
            f"{bare[0].place}: a feature of audio is described by what clips have in common; give each `attributes`, "
            f"with some of {', '.join(ATTRIBUTES)}"
        )


def material(rows: Sequence[Row], adapter: AnyAdapter, sampling: Sampling) -> Material:
    """Rows to look features up in, whose missing outputs the model makes, and prompts to steer.

    Rows with the split `test` are the prompts where there are any; otherwise the first twelve rows that have a prompt.

    Raises:
        DataError: Clips have no attributes, no row has a prompt, or all are prompts.
    """
    check_described(rows, adapter.output_kind)
    generate, kind = sampled(adapter, sampling), adapter.output_kind
    looked = [row for row in rows if row.split != TEST and (kind == "text" or row.audio is not None)]
    asked = [row for row in rows if row.split == TEST] or prompted(rows)[:PROMPTS]
    if not looked:
        raise DataError(f"no row is left to look features up in; all {len(rows)} have the split {TEST!r}")
    labelled = with_outputs(looked, adapter, generate)
    contexts = tuple(_cut(one, adapter) for one in labelled[-CONTEXTS[kind] :])
    prompts = tuple(row.sample(adapter) for row in prompted(asked))
    if adapter.sample_rate is None:
        return Material(PROMOTED[kind], contexts, labelled, prompts, generate, words_of, word_shares)
    labels = {row.id: {name: row.attributes[name] for name in ATTRIBUTES if name in row.attributes} for row in looked}
    share = _label_shares(adapter.sample_rate)
    return Material(
        PROMOTED[kind], contexts, labelled, prompts, generate, lambda one: _common_label(one, labels), share
    )


def words_of(found: Maximal) -> tuple[str, ...]:
    """Words at which a feature is most active."""
    return tuple(dict.fromkeys(moment.words.strip().lower() for moment in found.moments[:DESCRIBED_BY]))


def word_shares(described: object, outputs: Sequence[Sample]) -> list[float | None]:
    """The share of each output's words that a description holds; None for an output without words.

    `described`: what `words_of` gives.
    """
    wanted = set(described) if isinstance(described, tuple) else set()
    found = [re.findall(r"\w+", (one.output or "").lower()) for one in outputs]
    return [sum(word in wanted for word in one) / len(one) if one else None for one in found]


def _cut(sample: Sample, adapter: AnyAdapter) -> Sample:
    """The beginning of an output: four words, or a second."""
    if adapter.sample_rate is None:
        return replace(sample, output=" ".join(str(sample.output).split()[:CONTEXT_WORDS]))
    return replace(sample, output=sample.output[: round(CONTEXT_SECONDS * adapter.sample_rate)])


def _common_label(found: Maximal, labels: Mapping[str, Mapping[str, str]]) -> tuple[str, str]:
    attribute, value, _ = label_lift(found, labels, count=DESCRIBED_BY)[0]
    return attribute, value


def _label_shares(sample_rate: int) -> Share:
    def share(described: object, outputs: Sequence[Sample]) -> list[float | None]:
        attribute, value = described if isinstance(described, tuple) else ("", "")
        found = [read_labels(Clip(one.output, sample_rate), [attribute])[attribute] for one in outputs]
        return [None if one is None else float(one == value) for one in found]

    return share
