"""What the engine asks of a model."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Protocol, Self

from torch import Tensor, nn

from mmsteer.types.port import Port
from mmsteer.types.sample import Sample, Sampling
from mmsteer.types.site import Site
from mmsteer.types.sketch import Sketch
from mmsteer.types.thinking import Marks

Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]
"""Makes the function to call instead of another."""

Logits = Literal["all", "outputs", "last"]
"""Tokens whose logits a forward is asked for: all, from the last one of the prompt on, or the last."""


@dataclass(frozen=True)
class Call:
    """One call of `generate`, or one finished sequence run again, as far as steering depends on it.

    Attributes:
        branches: Row groups of each forward: 2 under classifier-free guidance, [conditional; null], else 1.
        steps: How many output steps it may produce; None where the call sets no limit.
        prompt: How many tokens of the sequence are given, those in a cache included; None for all of the first forward.
        samples: How many prompts it is given; None where that is not known.
        repeated: How many tokens of the prompt the output begins with.
        continues: Whether it begins with a cache that earlier forwards filled.
        all_see: Whether every prompt has an image or a video; None where that is not known.
        thinks: Of each prompt whether its end is inside thoughts; None where that is not known.
        reorders: Whether rows change places while it runs, as those of beams do.
        spans: Of each row how many tokens are its prompt's and how many it has, where rows are padded on the right
            without a mask and run in one forward; None where all prompts end together.
        delay: How many steps run past the last one, as those of codebooks that come later do.
    """

    branches: int = 1
    steps: int | None = None
    prompt: int | None = None
    samples: int | None = None
    repeated: int = 0
    continues: bool = False
    all_see: bool | None = None
    thinks: tuple[bool, ...] | None = None
    reorders: bool = False
    spans: tuple[tuple[int, int], ...] | None = None
    delay: int = 0


@dataclass(frozen=True)
class Forward:
    """One forward pass of a stack of layers, as its clock sees it.

    Attributes:
        rows: Batch rows, all branches and beams counted.
        width: Tokens a row.
        start: Cache position of the first token; a tensor where the cache is static.
        cache: The cache, by which forwards of one sequence are known; None where it is not there yet.
        branch: The branch of guidance that its rows are, where branches run one after another; None where all run at
            once.
        ids: Its tokens, (rows, width), of a model that thinks; None where it was given none.
    """

    rows: int
    width: int
    start: int | Tensor
    cache: Any = None
    branch: int | None = None
    ids: Tensor | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Layout:
    """What the tokens of the first forward of a sequence are.

    Attributes:
        kinds: `Kind` flags, (rows, width) int.
        origin: Cache position whose state predicts output step 0.
    """

    kinds: Tensor
    origin: int


@dataclass(frozen=True, eq=False)
class Reading:
    """Samples as arguments of one forward of the model.

    Attributes:
        arguments: Keyword arguments of the model.
        call: What the clock should know of this forward.
    """

    arguments: Mapping[str, Any]
    call: Call

    def within(self, steps: int | None) -> Self:
        """The same, read as in the `generate` that made the outputs.

        Schedules are as long as they were there, and what would steer nothing is judged by that length: not by how
        short this output came to be.

        Args:
            steps: How many output steps it allowed; None where that is not known.
        """
        return self if steps is None else replace(self, call=replace(self.call, steps=steps))


class Identified(Protocol):
    """What a direction asks of a model before it is used there."""

    @property
    def fingerprint(self) -> str:
        """What identifies the weights, as they are now; those of adapters, such as LoRA, do not count."""

    @property
    def sketch(self) -> Sketch:
        """What other weights are compared with these by."""

    @property
    def widths(self) -> Mapping[Site, int]:
        """Every site, in the order in which the model computes them, with the width of its hidden state."""


def likeness(fingerprint: str, sketch: Sketch | None, model: Identified) -> str:
    """How alike a model is to another: the strictest of `COMPATIBILITIES` that holds, their widths taken for granted.

    Args:
        fingerprint: Of the other model.
        sketch: Of the other model; None where it is not known.
        model: The model.
    """
    if fingerprint == model.fingerprint:
        return "exact"
    its = model.sketch
    if sketch is None or sketch.architecture != its.architecture:
        return "dimension"
    return "exact" if sketch.is_of(its) else "architecture"


class Identity:
    """What identifies a model at one moment: its weights are read once, however many directions are compared.

    Attributes:
        widths: Every site, with the width of its hidden state.
    """

    def __init__(self, adapter: Identified) -> None:
        self._adapter = adapter
        self.widths = adapter.widths

    @cached_property
    def fingerprint(self) -> str:
        """What identifies the weights."""
        return self._adapter.fingerprint

    @cached_property
    def sketch(self) -> Sketch:
        """What other weights are compared with these by."""
        return self._adapter.sketch


class Adapter(Identified, Protocol):
    """A model whose hidden states can be read and written.

    Attributes:
        model: The module whose forward is one pass of the whole model.
        generator: Name of the stack that makes the output, step by step.
        rate: Output steps per second; None where the output has no duration.
        max_steps: Most output steps the model supports.
        sampling: How the model is usually sampled.
        output_kind: What it puts out: `text` or `audio`.
        sees: Whether prompts may have images.
        marks: What opens and closes its thoughts; None where it does not think.
    """

    model: Any
    generator: str
    rate: float | None
    max_steps: int
    sampling: Sampling
    output_kind: Literal["text", "audio"]
    sees: bool
    marks: Marks | None

    @property
    def run_identity(self) -> str:
        """What its numbers come from, as it is now: weights as they are held, active adapters, dtype, quantisation.

        All that keeps numbers, to go on or to be read again, is named by it; directions are compared by `fingerprint`.
        """

    @property
    def sample_rate(self) -> int | None:
        """Of the audio that it makes, in Hz; None where it makes text."""

    @property
    def sites(self) -> tuple[Site, ...]:
        """The residual stream after every block, in the order of the layers; `widths` has every other site as well."""

    def port(self, site: Site) -> Port:
        """Where in the model's code the hidden state at a site passes."""

    def stack(self, name: str) -> nn.Module:
        """The module whose forward is one tick of the clock of that stack."""

    def entries(self, wrap: Wrap) -> AbstractContextManager[None]:
        """Stand around the methods by which users have the model make output, each as `wrap` makes it."""

    def call(self, arguments: Mapping[str, Any]) -> Call:
        """Read the arguments of a call of such a method; refuse what the model cannot do."""

    def forward(self, stack: str, arguments: Mapping[str, Any]) -> Forward:
        """Read the arguments of one forward of a stack, given by name."""

    def layout(self, stack: str, forward: Forward, arguments: Mapping[str, Any], prompt: int) -> Layout:
        """The tokens of a forward that starts a sequence, of which the first `prompt` are given."""

    def produced(self, output: object, call: Call) -> int:
        """How many output steps a finished `generate` made, which was announced as that call."""

    def canary(self) -> Tensor:
        """Logits of one small fixed input, through the model as it is."""

    def steps(self, sampling: Sampling) -> int:
        """How many output steps a sampling may make; refuses what the model cannot do."""

    def generate(
        self, samples: Sequence[Sample | str], sampling: Sampling = ..., seeds: Sequence[int] | None = None
    ) -> list[Sample]:
        """The samples with outputs, each drawn by a seed of its own: the same in any batch."""

    def reading(self, samples: Sequence[Sample], *, guided: bool = False) -> Reading:
        """Samples in the token layout of generation; `guided` doubles the rows as guidance does."""

    def read(self, reading: Reading, *, gradient: bool = False, logits: Logits = "all") -> Tensor:
        """Run one forward, with a graph for gradients if asked; logits, (rows, tokens, vocabularies, vocabulary).

        `logits`: of which tokens they are needed; a model that can leaves out the others.
        """

    def tokens(self, reading: Reading) -> Tensor:
        """What the model is given in a reading, (rows, tokens, vocabularies): as many tokens as `read` has logits."""

    def token_name(self, token: int) -> str:
        """A token as people read it."""

    def words_of_tokens(self, output: str) -> list[int]:
        """For each token of a text the index of its word; empty where the model makes no text, or does not tell."""

    def unembed(self, state: Tensor) -> Tensor:
        """Logits that the model makes of hidden states after its last block, (..., vocabularies, vocabulary)."""
