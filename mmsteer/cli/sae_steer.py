"""`mmsteer sae clamp|corrsteer|saif|lf`: features that are chosen by a task, steered, and tested on other prompts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mmsteer.cli.options import check_sources, refuse_idle
from mmsteer.cli.sae import Device, Dictionary, Dtype, Model, Where
from mmsteer.cli.sae_data import Cache, Corpus, Given, NewTokens, RewardName, Rows, Temperature, in_world, task_named
from mmsteer.cli.sae_tables import AsJson, Out, Output, working
from mmsteer.errors import DataError, DictionaryError

if TYPE_CHECKING:
    from mmsteer.adapters import AnyAdapter
    from mmsteer.cli.sae_data import Own
    from mmsteer.latents.side_effects import Comparison
    from mmsteer.latents.trials import Trials
    from mmsteer.tasks import Row as DataRow
    from mmsteer.types import Sample

Task = Annotated[
    str | None,
    typer.Option(help="music: note:C, instrument (as asked), instrument:organ; vision: questions, captions, brief"),
]
Count = Annotated[int, typer.Option(min=4, help="prompts; half are learned from, half are the test")]
Seed = Annotated[int, typer.Option(min=0, help="of prompts, noise and controls")]
Dictionaries = Annotated[list[str], typer.Argument(help="a dictionary, or one for each of several sites")]


def clamp(
    context: typer.Context,
    dictionary: Dictionary,
    task: Task = None,
    archetype: Annotated[Path | None, typer.Option(help="a clip or picture that shows what is wanted")] = None,
    text: Annotated[str, typer.Option(help="its text, or what is asked about the picture")] = "",
    answer: Annotated[str, typer.Option(help="vision: the answer that is wanted")] = "",
    unrelated: Annotated[str | None, typer.Option(help="another task, or other rows, for the damage")] = None,
    candidates: Annotated[int, typer.Option(min=1, help="features to try")] = 8,
    multiples: Annotated[str, typer.Option(help="of a feature's largest activation, to choose from")] = "1,0.5,2",
    n: Count = 48,
    data: Rows = None,
    reward: RewardName = None,
    corpus: Corpus = None,
    cache: Cache = None,
    site: Where = None,
    tokens: NewTokens = 32,
    temperature: Temperature = None,
    model: Model = None,
    seed: Seed = 0,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """Hold the feature of an archetype at a value, and say what it damages (O'Brien et al. 2024).

    Features that are active in one archetypal output are clamped by turns; the best is tested on other prompts beside
    a random feature, and on an unrelated task. Without --archetype the world shows one.

    [bold]Examples[/]

    mmsteer sae clamp bundled:music --task note:C --unrelated instrument

    mmsteer sae clamp bundled:vision --task brief --unrelated captions
    """
    check_sources(context, data, ("task", "n", "archetype", "text", "answer"))
    if archetype is None:
        refuse_idle(context, ("text", "answer"), "is about the clip or picture of --archetype; give it, too")
    output, values = Output(as_json, out), numbers("--multiples", multiples)
    from mmsteer.latents.clamping import clamp_sweep
    from mmsteer.latents.tasks import archetype_of, trials_of
    from mmsteer.tasks import read_rows

    if data is not None:
        own = Given(data, reward, corpus, cache, site, tokens, temperature, model, device, dtype, seed).opened(
            [dictionary], judged=True
        )
        adapter, pairs = own.adapter, [(one.dictionary, one.used) for one in own.bound]
        shown, training, test = _clamped_rows(own)
        others = [own.trials("unrelated", read_rows(unrelated))] if unrelated else []
    else:
        wanted = task_named(task)
        adapter, pairs = in_world([dictionary], model, device, dtype, site)
        training, test = trials_of(adapter, wanted, n, seed=seed).split(n // 2, n - n // 2)
        others = [trials_of(adapter, unrelated, n // 2, seed=seed + 1)] if unrelated else []
        shown = _shown(adapter, archetype, text, answer) if archetype else archetype_of(adapter, wanted, seed=seed)
    [(found, used)] = pairs
    with _counted("Clamping features", training, test, *others) as (training, test, *others):
        report = clamp_sweep(
            adapter,
            found,
            used,
            shown,
            training,
            test,
            others,
            multiples=values,
            candidates=candidates,
            seed=seed,
        )
    chosen = f"feature {report.chosen.feature}, held at {report.chosen.value:.3g}"
    output.tell({"On other prompts": _rows(report.damage)}, chosen=chosen, candidates=report.candidates)


def corrsteer(
    context: typer.Context,
    dictionaries: Dictionaries,
    task: Task = None,
    variant: Annotated[
        str,
        typer.Option(help="S: the best feature; A: the best of each dictionary; P: those of A that validation keeps"),
    ] = "S",
    n: Count = 96,
    multiple: Annotated[float, typer.Option(help="of the coefficients")] = 1.0,
    data: Rows = None,
    reward: RewardName = None,
    corpus: Corpus = None,
    cache: Cache = None,
    site: Where = None,
    tokens: NewTokens = 32,
    temperature: Temperature = None,
    model: Model = None,
    seed: Seed = 0,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """Steer the features whose activation goes with a reward on the model's own outputs (Cho et al. 2025).

    The test stands beside random directions and random features of the same norm. P takes a quarter of the prompts to
    validate.

    [bold]Examples[/]

    mmsteer sae corrsteer bundled:vision --task questions --n 240

    mmsteer sae corrsteer bundled:music --task note:C --n 96 --multiple 2
    """
    check_sources(context, data, ("task", "n"))
    output, chosen = Output(as_json, out), _variant(variant)
    from mmsteer.latents.corrsteer import run_corrsteer
    from mmsteer.latents.rows import halves
    from mmsteer.latents.tasks import trials_of

    if data is not None:
        own = Given(data, reward, corpus, cache, site, tokens, temperature, model, device, dtype, seed).opened(
            dictionaries, judged=True
        )
        adapter, found = own.adapter, [one.dictionary for one in own.bound]
        learned, tested = halves(own.rows, seed)
        kept = len(learned) // 2 if chosen == "P" else 0
        asked = own.trials(f"{reward}, training", learned)
        parts = (*asked.split(len(learned) - kept, kept), own.trials(f"{reward}", tested))
    else:
        adapter, pairs = in_world(dictionaries, model, device, dtype, site)
        found = [one for one, _ in pairs]
        kept = n // 4 if chosen == "P" else 0
        parts = trials_of(adapter, task_named(task), n, seed=seed).split(n // 2 - kept, kept, n - n // 2)
    with _counted("Answering", *parts) as (training, validation, test):
        result = run_corrsteer(
            adapter,
            found,
            training,
            variant=chosen,
            validation=validation if kept else None,
            test=[test],
            multiple=multiple,
            seed=seed,
        )
    tables = {"Features": result.table()}
    if result.comparison is not None:
        tables["On other prompts"] = _rows(result.comparison)
    output.tell(tables, reward_in_training=result.rewards)


def saif(
    context: typer.Context,
    dictionary: Dictionary,
    task: Annotated[
        str | None, typer.Option(help="what the instruction asks for: music: instrument:organ; vision: brief")
    ] = None,
    n: Count = 48,
    k: Annotated[int, typer.Option(min=1, help="most features")] = 15,
    beta: Annotated[float, typer.Option(help="spreads above the mean")] = 0.5,
    least: Annotated[float, typer.Option(min=0, max=1, help="least share of pairs with the instruction alone")] = 0.5,
    label: Annotated[str, typer.Option(help="with --data, the label of rows with the instruction")] = "instructed",
    data: Rows = None,
    reward: RewardName = None,
    corpus: Corpus = None,
    cache: Cache = None,
    site: Where = None,
    tokens: NewTokens = 32,
    temperature: Temperature = None,
    model: Model = None,
    seed: Seed = 0,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """Add the features that an instruction switches on, where it is not said (He et al. 2025).

    Half of n are contents that are read with and without the instruction; as many prompts without it are the test,
    beside a random direction and random features as strong.

    [bold]Example[/]

    mmsteer sae saif bundled:vision --task brief
    """
    check_sources(context, data, ("task", "n"))
    output = Output(as_json, out)
    from mmsteer.latents.rows import halves, row_pairs
    from mmsteer.latents.saif import LAST, run_saif
    from mmsteer.latents.tasks import instruction_of, trials_of
    from mmsteer.types import Positions

    if data is not None:
        own = Given(data, reward, corpus, cache, site, tokens, temperature, model, device, dtype, seed).opened(
            [dictionary], judged=True, positive=label
        )
        adapter, found = own.adapter, own.bound[0].dictionary
        learned, tested = halves(_paired(own.rows, label), seed)
        sides = row_pairs(learned, label)
        instructed, plain = ([row.sample(adapter) for row in side] for side in sides)
        asked = own.trials(f"{reward}", [row for row in tested if row.label != label])
    else:
        adapter, pairs = in_world([dictionary], model, device, dtype, site)
        found = pairs[0][0]
        instructed, plain = instruction_of(adapter, task_named(task), n // 2, seed=seed)
        asked = trials_of(adapter, task_named(task), n - n // 2, seed=seed)
    # A music prompt has no token of its own in the decoder: what follows it is read.
    read = Positions("generated") if adapter.output_kind == "audio" else LAST
    with _counted("Answering", asked) as test:
        result = run_saif(
            adapter, found, instructed, plain, k=k, beta=beta, least=least, read=read, test=test, seed=seed
        )
    assert result.comparison is not None
    output.tell({"Features": result.table(), "Where it is not said": _rows(result.comparison)})


def lf(
    context: typer.Context,
    dictionaries: Dictionaries,
    task: Task = None,
    n: Count = 96,
    k: Annotated[int, typer.Option(min=1, help="features")] = 10,
    alpha: Annotated[float, typer.Option(help="factor of the biases")] = 3.0,
    selector: Annotated[str, typer.Option(help="how features are chosen: auroc, mean_difference, ...")] = "auroc",
    label: Annotated[
        str | None, typer.Option(help="with --data, the label of wanted rows (default: answers that the reward likes)")
    ] = None,
    data: Rows = None,
    reward: RewardName = None,
    corpus: Corpus = None,
    cache: Cache = None,
    site: Where = None,
    tokens: NewTokens = 32,
    temperature: Temperature = None,
    model: Model = None,
    seed: Seed = 0,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """Move the features that tell right from wrong outputs, wherever they are active (LF-Steering, Yang et al. 2025).

    The model answers half of the prompts; of several dictionaries that of the layer that tells best is taken. The test
    stands beside the same moves of random features.

    [bold]Example[/]

    mmsteer sae lf bundled:vision --task captions --n 120
    """
    check_sources(context, data, ("task", "n"))
    output = Output(as_json, out)
    from mmsteer.latents.lf import run_lf
    from mmsteer.latents.rows import halves
    from mmsteer.latents.tasks import trials_of

    if data is not None:
        own = Given(data, reward, corpus, cache, site, tokens, temperature, model, device, dtype, seed).opened(
            dictionaries, judged=True, positive=label
        )
        adapter, found = own.adapter, [one.dictionary for one in own.bound]
        learned, tested = halves(own.rows, seed)
        parts: tuple[Trials, ...] = own.trials(f"{reward}, training", learned), own.trials(f"{reward}", tested)
    else:
        adapter, pairs = in_world(dictionaries, model, device, dtype, site)
        found = [one for one, _ in pairs]
        parts = trials_of(adapter, task_named(task), n, seed=seed).split(n // 2, n - n // 2)
    with _counted("Answering", *parts) as (training, test):
        if data is not None and label is not None:
            right, wrong = _labelled_sides(adapter, learned, label)
        else:
            right, wrong = _sides(adapter, training)
        result = run_lf(adapter, found, right, wrong, k=k, alpha=alpha, selector=selector, test=[test], seed=seed)
    assert result.comparison is not None
    layers = [{"site": str(site), "held-out auc": score} for site, score in result.scores.items()]
    tables = {"Layers": layers, "Features": result.table(), "On other prompts": _rows(result.comparison)}
    output.tell(tables, learned_from=f"{len(right)} right and {len(wrong)} wrong outputs")


def numbers(option: str, text: str) -> tuple[float, ...]:
    """Numbers from a list with commas.

    Args:
        option: Its name, for errors.
        text: The list.

    Raises:
        DictionaryError: One is no number.
    """
    try:
        return tuple(float(one) for one in text.split(","))
    except ValueError:
        raise DictionaryError(f"{option} {text!r} is no list of numbers; write them like 0.1,0.2") from None


def _variant(name: str) -> 'Literal["S", "A", "P"]':
    variants: dict[str, Literal["S", "A", "P"]] = {"S": "S", "A": "A", "P": "P"}
    if name not in variants:
        raise DictionaryError(f"no variant {name!r}; choose from {', '.join(variants)}")
    return variants[name]


def _sides(adapter: "AnyAdapter", training: "Trials") -> "tuple[list[Sample], list[Sample]]":
    samples, rewards = training.run(adapter).scored()
    sides = [
        [one for one, reward in zip(samples, rewards.tolist(), strict=True) if (reward > 0) is right]
        for right in (True, False)
    ]
    if min(map(len, sides)) < 4:
        raise DictionaryError(
            f"{training.name}: {len(sides[0])} of {len(samples)} outputs are right; telling the sides apart takes four "
            "of each: give more prompts (--n), or a task of which the model gets some right and some wrong"
        )
    return sides[0], sides[1]


def _labelled_sides(
    adapter: "AnyAdapter", rows: "Sequence[DataRow]", label: str
) -> "tuple[list[Sample], list[Sample]]":
    wanted = [row.sample(adapter, answered=True) for row in rows if row.label == label]
    others = [row.sample(adapter, answered=True) for row in rows if row.label != label]
    if min(len(wanted), len(others)) < 4:
        raise DataError(
            f"{len(wanted)} rows with the label {label!r} and {len(others)} others to learn from; telling the sides "
            "apart takes four of each"
        )
    return wanted, others


def _clamped_rows(own: "Own") -> "tuple[Sample, Trials, Trials]":
    """What shows the archetype, and trials to choose and to test by: a labelled row, or the first right answer.

    Raises:
        DataError: No row and no answer shows it.
    """
    from mmsteer.latents.rows import ARCHETYPE, halves

    shown = [row for row in own.rows if row.label == ARCHETYPE]
    learned, tested = halves([row for row in own.rows if row.label != ARCHETYPE], own.seed)
    training, test = own.trials(f"{own.reward_name}, training", learned), own.trials(own.reward_name, tested)
    if shown:
        if not shown[0].answer:
            raise DataError(f"{shown[0].place}: the row with the label {ARCHETYPE!r} has no answer")
        return shown[0].sample(own.adapter, answered=True), training, test
    samples, rewards = training.run(own.adapter).scored()
    right = [one for one, reward in zip(samples, rewards.tolist(), strict=True) if reward > 0]
    if not right:
        raise DataError(
            f"none of {len(learned)} unsteered answers earns {own.reward_name}, so nothing shows what is wanted; add a "
            f"row with the label {ARCHETYPE!r} and such an answer"
        )
    return right[0], training, test


def _paired(rows: "Sequence[DataRow]", label: str) -> "list[DataRow]":
    """Rows with a group for each pair, so that halves keep pairs whole."""
    from mmsteer.latents.rows import row_pairs

    first, second = row_pairs(rows, label)
    named = [
        (replace(a, group=str(at)), replace(b, group=str(at)))
        for at, (a, b) in enumerate(zip(first, second, strict=True))
    ]
    return [row for pair in named for row in pair]


def _shown(adapter: "AnyAdapter", file: Path, text: str, answer: str) -> "Sample":
    from mmsteer.tasks import Row

    if not text:
        raise DataError(f"{file} comes without words; give --text, its prompt or what is asked about it")
    if adapter.output_kind == "audio":
        return Row(file.name, str(file), text, audio=file).sample(adapter, answered=True)
    if not answer:
        raise DataError(f"{file} shows no answer; give --answer, the words that are wanted")
    return Row(file.name, str(file), text, images=(file,), answer=answer).sample(adapter, answered=True)


@contextmanager
def _counted(text: str, *trials: "Trials") -> "Iterator[list[Trials]]":
    """The same trials, which tell how many outputs were made."""
    made = 0
    with working(text) as say:

        def counting(one: "Trials") -> "Trials":
            def generate(prompts: "Sequence[Sample]") -> "Sequence[Sample]":
                nonlocal made
                outputs = one.generate(prompts)
                made += len(outputs)
                say(f"{text}: {made} outputs")
                return outputs

            return replace(one, generate=generate)

        yield [counting(one) for one in trials]


def _rows(comparison: "Comparison") -> list[dict[str, object]]:
    return [
        {name: row[name] for name in ("trials", "condition", "reward", "change", "side_effect_ratio")}
        | {"broken": row["broken"], "fixed": row["fixed"]}
        for row in comparison.table()
    ]
