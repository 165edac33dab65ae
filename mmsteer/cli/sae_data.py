"""What every method of `mmsteer sae` is given: rows of one's own or rendered ones, a model, bound dictionaries."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec

import typer

from mmsteer.cli.options import Device, Dtype, refuse_idle
from mmsteer.cli.sae import Model, Where
from mmsteer.cli.sae_tables import AsJson, Out, Output, Results, Say, working
from mmsteer.errors import DataError, DictionaryError

if TYPE_CHECKING:
    from mmsteer.adapters import AnyAdapter
    from mmsteer.eval.rewards import OutputReward
    from mmsteer.latents.material import Material
    from mmsteer.latents.trials import Trials
    from mmsteer.sae import SparseDictionary, Usage
    from mmsteer.tasks import Row, RowSet
    from mmsteer.types import Sample, Sampling
    from mmsteer.worlds.rows import World

P = ParamSpec("P")
WORLD = "world"
TOKENS, SECONDS = 32, 4.0
CORPUS = {"text": 64, "audio": 16}
"""Rows whose outputs are made where no picture's or clip's row has one."""
RENDERED = ("n", "clips", "scenes", "learn", "choose")
"""Options about rendered rows: of one's own all are taken."""

Count = Annotated[int, typer.Option(min=4, help="rendered rows; half are learned from, half are the test")]

RewardName = Annotated[
    str,
    typer.Option(
        "--reward",
        help="how outputs are judged: contains:Arr, regex:…, exact, …; of captions and answers grounded, mentions:dog, "
        "brief:14, yes_no; of audio note:C, instrument:organ, tempo:fast, …, or instrument (as the row says)",
    ),
]


@dataclass
class Inputs:
    """Options that all methods share.

    `say`: shows what is being done.
    `above`: what is printed above the tables, and is in no JSON.
    """

    context: typer.Context
    data: Annotated[
        str,
        typer.Option(
            help="rows of your own: JSON lines with prompt, messages or raw, and image, audio, answer, objects, "
            "attributes, label, group, split as needed; a folder for each label; or world: rendered for the model"
        ),
    ] = WORLD
    corpus: Annotated[
        str | None, typer.Option(help="rows that usage is counted on, with rows of your own (default: these)")
    ] = None
    cache: Annotated[str | None, typer.Option(help="a folder that keeps counted usage, by content")] = None
    site: Where = None
    tokens: Annotated[int | None, typer.Option(min=1, help=f"tokens of an answer, at most (usual: {TOKENS})")] = None
    seconds: Annotated[float | None, typer.Option(help=f"duration of a clip (usual: {SECONDS:g})")] = None
    temperature: Annotated[float | None, typer.Option(help="(default: as the model is usually sampled)")] = None
    model: Model = None
    seed: Annotated[int, typer.Option(min=0, help="of rows, sampling and controls")] = 0
    device: Device = "cpu"
    dtype: Dtype = "float32"
    as_json: AsJson = False
    out: Out = None
    say: Say = field(init=False, default_factory=lambda: print)
    above: str = field(init=False, default="")

    @property
    def in_world(self) -> bool:
        """Whether rows are rendered."""
        return self.data == WORLD

    def refuse(self, names: "Sequence[str]", why: str) -> None:
        """Refuse options of the command that were given although they do nothing, as `refuse_idle` does."""
        refuse_idle(self.context, names, why)

    def rows_of(self, dictionary: str) -> "tuple[Row, ...] | None":
        """Rows of one's own, or those beside a bundled dictionary of a language model; None to render some."""
        from mmsteer.cli.sae_inputs import rows_beside
        from mmsteer.tasks import read_rows

        file = rows_beside(None if self.in_world else Path(self.data), dictionary)
        return None if file is None else read_rows(file)

    def opened(
        self,
        names: "Sequence[str]",
        world: "Callable[[World], RowSet]",
        *,
        reward: str | None = None,
        check: "Callable[[Sequence[Row]], object]" = lambda _: None,
        usual: int = TOKENS,
        rendered: "Sequence[str]" = RENDERED,
    ) -> "Opened":
        """Read the rows, load the model and bind dictionaries; what can be refused is refused before that.

        Args:
            names: The dictionaries.
            world: From the model's world to the rows that fit; used where no rows are given.
            reward: Name of the reward, where outputs are judged.
            check: Refuses rows that do not serve.
            usual: Tokens of an answer to rows of one's own.
            rendered: Options that rows of one's own have no use for.

        Raises:
            DictionaryError: A site is given for several dictionaries.
            DataError: An option is not for what the model makes.
        """
        from mmsteer.eval.rewards import parse_output_reward
        from mmsteer.latents.rows import check_truth
        from mmsteer.tasks import RowSet
        from mmsteer.types import Sampling
        from mmsteer.worlds.rows import world_of

        if not self.in_world:
            self.refuse(rendered, "is about the rendered world, not rows of your own; leave out --data")
        if self.site is not None and len(names) > 1:
            raise DictionaryError(f"--site is of one dictionary, not of {len(names)}; write sites in their files")
        judged = None if reward is None else parse_output_reward(reward)
        own = self.rows_of(names[0])
        if own is not None:
            check(own)
            check_truth(judged, own)
        adapter = self.adapter(names[0])
        if judged is not None:
            parse_output_reward(judged.name, adapter.output_kind)
        is_text = adapter.output_kind == "text"
        if unfit := ("--seconds" if is_text and self.seconds else "--tokens" if not is_text and self.tokens else None):
            raise DataError(f"{unfit} does not apply, because this model makes {adapter.output_kind}; leave it out")
        source = world_of(adapter) if own is None else None
        plain = Sampling(usual) if is_text else Sampling(seconds=SECONDS)
        given = world(source) if source is not None else RowSet(own or (), plain)
        sampling = Sampling(self.tokens, self.seconds, self.temperature).filled(given.sampling)
        adapter.steps(sampling)
        bound = self._bound(names, adapter, given.rows, sampling)
        return Opened(given.rows, adapter, bound, sampling, judged, self.seed, source, self.say)

    def rewarded(
        self, names: "Sequence[str]", reward: str, n: int, check: "Callable[[Sequence[Row]], object]" = lambda _: None
    ) -> "Opened":
        """`opened` for rows whose outputs a reward judges."""
        return self.opened(names, lambda world: world.rewarded(reward, n, self.seed), reward=reward, check=check)

    def adapter(self, dictionary: str) -> "AnyAdapter":
        """The model of a dictionary."""
        from mmsteer.cli.sae_inputs import loaded

        return loaded(self.model, dictionary, self.device, self.dtype)

    def _bound(
        self, names: "Sequence[str]", adapter: "AnyAdapter", rows: "Sequence[Row]", sampling: "Sampling"
    ) -> "tuple[tuple[SparseDictionary, Usage], ...]":
        """Dictionaries with how they are used; where rows are rendered, as the file beside a dictionary says."""
        from mmsteer.cli.sae_inputs import given, opened, usage_of
        from mmsteer.latents.bound import bind
        from mmsteer.tasks import read_rows
        from mmsteer.types import Site

        rendered, read = self.in_world and not self.corpus, {name: opened(name, self.site) for name in names}
        counted = {name: usage_of(name, one) for name, one in read.items()} if rendered else {}
        found = {name: (read[name], used) for name, used in counted.items() if used is not None}
        if others := [name for name in names if name not in found]:
            if rendered:
                samples: Sequence[Sample] = given(adapter, None, 64, "", 1).samples
            else:
                samples = _corpus(read_rows(self.corpus) if self.corpus else rows, adapter, sampling)
            place = None if self.site is None else Site.parse(self.site)
            cache = None if self.cache is None else Path(self.cache)
            bound = {name: bind(read[name], adapter, samples, site=place, cache=cache) for name in others}
            found |= {name: (one.dictionary, one.used) for name, one in bound.items()}
        return tuple(found[name] for name in names)


@dataclass(frozen=True, eq=False)
class Opened:
    """Rows, the model, and dictionaries bound to it.

    `bound`: the dictionaries with how their features are used.
    `reward`: how outputs are judged; None where none is asked for.
    `world`: where rows are rendered; None for rows of one's own.
    """

    rows: "tuple[Row, ...]"
    adapter: "AnyAdapter"
    bound: "tuple[tuple[SparseDictionary, Usage], ...]"
    sampling: "Sampling"
    reward: "OutputReward | None"
    seed: int
    world: "World | None"
    say: Say

    @property
    def dictionary(self) -> "SparseDictionary":
        """The only dictionary, or the first."""
        return self.bound[0][0]

    @property
    def used(self) -> "Usage":
        """How its features are used."""
        return self.bound[0][1]

    @property
    def dictionaries(self) -> "list[SparseDictionary]":
        """All of them."""
        return [one for one, _ in self.bound]

    def material(self) -> "Material":
        """The rows as what features are looked up in, dosed along, and steered on."""
        from mmsteer.latents.material import material

        return material(self.rows, self.adapter, self.sampling)

    def trials(self, rows: "Sequence[Row]", what: str = "") -> "Trials":
        """Rows to be answered and judged by the reward; how many are answered is shown.

        `what`: what they are for, where that is not the test.
        """
        from mmsteer.latents.rows import row_trials

        assert self.reward is not None
        name = f"{self.reward.name}, {what}" if what else self.reward.name
        found = row_trials(name, rows, self.adapter, self.sampling, self.reward, seed=self.seed)
        made = 0

        def generate(prompts: "Sequence[Sample]") -> "Sequence[Sample]":
            nonlocal made
            outputs = found.generate(prompts)
            made += len(outputs)
            self.say(f"{name}: {made} outputs")
            return outputs

        return replace(found, generate=generate)


def method(command: Callable[Concatenate[Inputs, P], Results]) -> Callable[..., None]:
    """A command of typer that takes the options of `Inputs` after its own, and prints what it returns."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    own = [one.replace(kind=keyword) for one in list(inspect.signature(command).parameters.values())[1:]]
    shared = [
        inspect.Parameter(one.name, keyword, default=one.default, annotation=one.type)
        for one in fields(Inputs)
        if one.init
    ]

    @wraps(command)
    def run(**options: Any) -> None:
        inputs = Inputs(**{one.name: options.pop(one.name) for one in shared})
        output = Output(inputs.as_json, inputs.out)
        with working("Loading") as inputs.say:
            found = command(inputs, **options)  # type: ignore[call-arg]
        output.write(found, inputs.above)

    del run.__wrapped__
    parameters = [*own, *shared]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def _corpus(rows: "Sequence[Row]", adapter: "AnyAdapter", sampling: "Sampling") -> "Sequence[Sample]":
    """What usage is counted on: texts as they are; pictures and clips with their outputs, which the model may make."""
    from mmsteer.latents.rows import has_output, with_outputs
    from mmsteer.latents.trials import sampled

    if adapter.output_kind == "text" and not any(row.images for row in rows):
        return [row.sample(adapter, answered=True) for row in rows]
    made = [row for row in rows if has_output(row, adapter)] or rows[: CORPUS[adapter.output_kind]]
    return with_outputs(made, adapter, sampled(adapter, sampling))
