"""Rows of one's own for `mmsteer sae`: what they are, and dictionaries bound to the model that reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsteer.errors import DataError, DictionaryError

if TYPE_CHECKING:
    from mmsteer.adapters import AnyAdapter
    from mmsteer.eval.text import NamedReward
    from mmsteer.latents.bound import BoundDictionary
    from mmsteer.latents.trials import Trials
    from mmsteer.sae import SparseDictionary, Usage
    from mmsteer.tasks import Row
    from mmsteer.types import Sample, Sampling

HELP = "rows of your own: JSON lines with prompt, messages or raw, and answer, label, group, split as needed"

Rows = Annotated[Path | None, typer.Option("--data", help=f"{HELP} (default: the rendered world)")]
RewardName = Annotated[
    str | None, typer.Option("--reward", help="with --data, how answers are judged: contains:Arr, regex:…, choice, …")
]
Corpus = Annotated[
    Path | None, typer.Option(help="rows that usage is counted on, with --data (default: the rows of --data)")
]
Cache = Annotated[Path | None, typer.Option(help="a folder that keeps counted usage, by content")]
NewTokens = Annotated[int, typer.Option("--tokens", min=1, help="with --data, tokens of an answer, at most")]
Temperature = Annotated[float | None, typer.Option(help="with --data (default: as the model is usually sampled)")]
PLAIN = "a language model has no rendered world: give --data rows.jsonl, and --reward where answers are judged"


@dataclass(frozen=True, eq=False)
class Own:
    """Rows of one's own, the model, and dictionaries bound to it.

    Attributes:
        rows: The rows.
        adapter: The model.
        bound: The dictionaries.
        sampling: How rows are answered.
        reward: How answers are judged; None where none is asked for.
        seed: Of sampling and draws.
    """

    rows: "tuple[Row, ...]"
    adapter: "AnyAdapter"
    bound: "tuple[BoundDictionary, ...]"
    sampling: "Sampling"
    reward: "NamedReward | None"
    seed: int

    @property
    def reward_name(self) -> str:
        """As it is written."""
        assert self.reward is not None
        return self.reward.name

    def trials(self, name: str, rows: "Sequence[Row]") -> "Trials":
        """Rows to be answered and judged.

        Args:
            name: Of the trials.
            rows: The rows.
        """
        from mmsteer.latents.rows import row_trials

        assert self.reward is not None
        return row_trials(name, rows, self.adapter, self.sampling, self.reward, seed=self.seed)


@dataclass(frozen=True)
class Given:
    """What a command was given for rows of one's own.

    Attributes:
        data: The rows' file or folder.
        reward: Name of the reward.
        corpus: Rows that usage is counted on.
        cache: Folder for counted usage.
        site: The dictionary's site, where its file does not say it.
        tokens: Tokens of an answer, at most.
        temperature: Of sampling.
        model: The model's name.
        device: Where to run.
        dtype: In which precision.
        seed: Of sampling and draws.
    """

    data: Path
    reward: str | None
    corpus: Path | None
    cache: Path | None
    site: str | None
    tokens: int
    temperature: float | None
    model: str | None
    device: str
    dtype: str
    seed: int

    def opened(self, names: "Sequence[str]", *, judged: bool = False, positive: str | None = None) -> Own:
        """Read the rows, load the model and bind dictionaries; what can be refused is refused before that.

        Args:
            names: The dictionaries.
            judged: Whether a reward is needed.
            positive: The label that rows need, beside another one; "" for any.

        Raises:
            DataError: Rows, labels or reward do not serve.
            DictionaryError: A dictionary does not fit.
        """
        from mmsteer.eval.text import parse_reward
        from mmsteer.latents.rows import check_label
        from mmsteer.tasks import check_labels, read_rows
        from mmsteer.types import Sampling

        if judged and self.reward is None:
            raise DataError("rows of your own are judged by a reward; give --reward, such as contains:Arr")
        if self.site is not None and len(names) > 1:
            raise DictionaryError(f"--site is of one dictionary, not of {len(names)}; write sites in their files")
        reward = None if self.reward is None else parse_reward(self.reward)
        rows = read_rows(self.data)
        if positive is not None:
            check_label(rows, positive) if positive else check_labels(rows)
        read = rows if self.corpus is None else read_rows(self.corpus)
        adapter = self._loaded(names[0])
        samples = [row.sample(adapter, answered=True) for row in read]
        bound = tuple(_bound(name, self.site, adapter, samples, self.cache) for name in names)
        return Own(rows, adapter, bound, Sampling(self.tokens, temperature=self.temperature), reward, self.seed)

    def _loaded(self, name: str) -> "AnyAdapter":
        from mmsteer.cli.sae_inputs import loaded

        return loaded(self.model, name, self.device, self.dtype)


def in_world(
    names: "Sequence[str]", model: str | None, device: str, dtype: str, site: str | None = None
) -> "tuple[AnyAdapter, list[tuple[SparseDictionary, Usage]]]":
    """A model whose world is rendered, and dictionaries with how they are used; it is counted where no file says it.

    Args:
        names: The dictionaries.
        model: The model's name.
        device: Where to run.
        dtype: In which precision.
        site: The dictionary's site, where its file does not say it.

    Raises:
        DictionaryError: The model is a language model, or a dictionary does not fit it.
    """
    from mmsteer.cli.sae_inputs import given, loaded, opened, usage_of
    from mmsteer.latents.bound import bind

    found = [opened(name, site) for name in names]
    adapter = loaded(model, names[0], device, dtype)
    check_world(adapter)
    pairs = []
    for name, one in zip(names, found, strict=True):
        if (used := usage_of(name, one)) is not None:
            pairs.append((one, used))
            continue
        bound = bind(one, adapter, given(adapter, None, 64, "", 1).samples)
        pairs.append((bound.dictionary, bound.used))
    return adapter, pairs


def check_world(adapter: "AnyAdapter") -> None:
    """Refuse a language model, for which nothing is rendered.

    Args:
        adapter: The model.

    Raises:
        DictionaryError: It reads and writes text alone.
    """
    if adapter.output_kind == "text" and not adapter.sees:
        raise DictionaryError(PLAIN)


def task_named(task: str | None) -> str:
    """The task of the rendered world.

    Args:
        task: Its name.

    Raises:
        DictionaryError: None is named.
    """
    if task is None:
        raise DictionaryError("give --task, a task of the rendered world, or --data rows.jsonl with --reward")
    return task


def _bound(
    name: str, site: str | None, adapter: "AnyAdapter", samples: "Sequence[Sample]", cache: Path | None
) -> "BoundDictionary":
    from mmsteer.bundled.dictionary import open_dictionary
    from mmsteer.latents.bound import bind
    from mmsteer.types import Site

    place = None if site is None else Site.parse(site)
    return bind(open_dictionary(name, place), adapter, samples, site=place, cache=cache)
