"""`mmsteer sae clamp|corrsteer|saif|lf`: features that are chosen by a task, steered, and tested on other prompts."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mmsteer.cli.sae import Dictionary
from mmsteer.cli.sae_data import Count, Inputs, Opened, RewardName, method
from mmsteer.cli.sae_tables import Results, numbers
from mmsteer.errors import DataError, DictionaryError

if TYPE_CHECKING:
    from mmsteer.latents.trials import Trials
    from mmsteer.tasks import Row
    from mmsteer.types import Sample

Dictionaries = Annotated[list[str], typer.Argument(help="a dictionary, or one for each of several sites")]


@method
def clamp(
    inputs: Inputs,
    dictionary: Dictionary,
    reward: RewardName,
    archetype: Annotated[Path | None, typer.Option(help="a clip or picture that shows what is wanted")] = None,
    text: Annotated[str, typer.Option(help="its text, or what is asked about the picture")] = "",
    answer: Annotated[str, typer.Option(help="the answer that is wanted")] = "",
    unrelated: Annotated[str | None, typer.Option(help="another reward, or other rows, which show the damage")] = None,
    candidates: Annotated[int, typer.Option(min=1, help="features to try")] = 8,
    multiples: Annotated[str, typer.Option(help="of a feature's largest activation, to choose from")] = "1,0.5,2",
    n: Count = 48,
) -> Results:
    """Hold the feature of an archetype at a value, and measure what it damages (O'Brien et al. 2024).

    Features that are active in one archetypal output are clamped by turns; the best is tested on other prompts beside
    the best of as many random features, and on an unrelated reward. The archetype is --archetype, a row with the label
    archetype, one that is rendered, or the first output that earns the reward.

    [bold]Examples[/]

    mmsteer sae clamp bundled:music --reward note:C --unrelated instrument

    mmsteer sae clamp bundled:vision --reward brief:14 --unrelated grounded
    """
    if archetype is None:
        inputs.refuse(("text", "answer"), "is about the clip or picture of --archetype; give it, too")
    values = numbers("--multiples", multiples)
    from mmsteer.latents.clamping import clamp_sweep
    from mmsteer.latents.rows import ARCHETYPE, halves

    opened = inputs.rewarded([dictionary], reward, n)
    learned, tested = halves([row for row in opened.rows if row.label != ARCHETYPE], inputs.seed)
    others = [_unrelated(opened, unrelated, tested, n)] if unrelated else []
    shown = _given_archetype(opened, archetype, text, answer)
    training, test = opened.trials(learned, "training"), opened.trials(tested)
    shown = shown or _first_right(opened, training)
    options: dict[str, Any] = {"multiples": values, "candidates": candidates, "seed": inputs.seed}
    where = opened.adapter, opened.dictionary, opened.used
    report = clamp_sweep(*where, shown, training, test, others, **options)
    return {
        "On other prompts": report.damage.table(),
        "chosen": f"feature {report.chosen.feature}, held at {report.chosen.value:.3g}",
        "candidates": report.candidates,
    }


@method
def corrsteer(
    inputs: Inputs,
    dictionaries: Dictionaries,
    reward: RewardName,
    variant: Annotated[
        str,
        typer.Option(help="S: the best feature; A: the best of each dictionary; P: those of A that validation keeps"),
    ] = "S",
    n: Count = 96,
    multiple: Annotated[float, typer.Option(help="of the coefficients")] = 1.0,
) -> Results:
    """Steer the features whose activation goes with a reward on the model's own outputs (Cho et al. 2025).

    The test stands beside random directions and random features of the same norm. P takes half of the prompts that are
    learned from to validate, and keeps of those controls, too, what helps there.

    [bold]Examples[/]

    mmsteer sae corrsteer bundled:vision --reward yes_no --n 240

    mmsteer sae corrsteer bundled:music --reward note:C --n 96 --multiple 2
    """
    chosen = _variant(variant)
    from mmsteer.latents.corrsteer import run_corrsteer
    from mmsteer.latents.rows import halves

    opened = inputs.rewarded(dictionaries, reward, n)
    learned, tested = halves(opened.rows, inputs.seed)
    kept = len(learned) // 2 if chosen == "P" else 0
    training, test = opened.trials(learned[: len(learned) - kept], "training"), opened.trials(tested)
    validation = opened.trials(learned[-kept:], "validation") if kept else None
    options: dict[str, Any] = {"variant": chosen, "multiple": multiple, "seed": inputs.seed}
    where = opened.adapter, opened.dictionaries
    found = run_corrsteer(*where, training, validation=validation, test=[test], **options)
    tested_rows = {"On other prompts": found.comparison.table()} if found.comparison else {}
    return {"Features": found.table()} | tested_rows | {"reward_in_training": found.rewards}


@method
def saif(
    inputs: Inputs,
    dictionary: Dictionary,
    reward: RewardName,
    n: Count = 48,
    k: Annotated[int, typer.Option(min=1, help="most features")] = 15,
    beta: Annotated[float, typer.Option(help="spreads above the mean")] = 0.5,
    least: Annotated[float, typer.Option(min=0, max=1, help="least share of pairs with the instruction alone")] = 0.5,
    label: Annotated[str, typer.Option(help="of rows with the instruction; another one of those without")] = (
        "instructed"
    ),
) -> Results:
    """Add the features that an instruction switches on, where it is not given (He et al. 2025).

    Contents are read with and without the instruction; prompts without it are the test, beside a random direction and
    random features as strong. Of rendered rows half are pairs; --reward is what the instruction asks for: brief:14 of
    pictures, instrument:organ and others of music.

    [bold]Example[/]

    mmsteer sae saif bundled:vision --reward brief:14
    """
    from mmsteer.latents.rows import check_label, paired_halves
    from mmsteer.latents.saif import LAST, run_saif
    from mmsteer.types import Positions

    opened = inputs.opened(
        [dictionary],
        lambda world: world.instructed(reward, n, inputs.seed),
        reward=reward,
        check=lambda rows: check_label(rows, label),
    )
    pairs, tested = paired_halves(opened.rows, label, inputs.seed)
    is_audio = opened.adapter.output_kind == "audio"
    instructed, plain = ([row.sample(opened.adapter, answered=is_audio) for row in side] for side in pairs)
    # A prompt for audio has no token of its own in the decoder: what follows it is read.
    options: dict[str, Any] = {"read": Positions("generated") if is_audio else LAST, "seed": inputs.seed}
    options |= {"k": k, "beta": beta, "least": least, "test": [opened.trials(tested)]}
    found = run_saif(opened.adapter, opened.dictionary, instructed, plain, **options)
    assert found.comparison is not None
    return {"Features": found.table(), "Without the instruction": found.comparison.table()}


@method
def lf(
    inputs: Inputs,
    dictionaries: Dictionaries,
    reward: RewardName,
    n: Count = 96,
    k: Annotated[int, typer.Option(min=1, help="features")] = 10,
    alpha: Annotated[float, typer.Option(help="factor of the biases")] = 3.0,
    selector: Annotated[str, typer.Option(help="how features are chosen: auroc, mean_difference, ...")] = "auroc",
    label: Annotated[
        str | None, typer.Option(help="of wanted rows (default: outputs that earn the reward are wanted)")
    ] = None,
) -> Results:
    """Move features that separate right from wrong outputs, wherever they are active (LF-Steering, Yang et al. 2025).

    The model answers half of the prompts; of several dictionaries that of the layer that separates best is taken. The
    test stands beside the same moves of random features.

    [bold]Example[/]

    mmsteer sae lf bundled:vision --reward grounded --n 120
    """
    from mmsteer.latents.lf import run_lf
    from mmsteer.latents.rows import check_label, halves

    opened = inputs.rewarded(dictionaries, reward, n, lambda rows: check_label(rows, label) if label else None)
    learned, tested = halves(opened.rows, inputs.seed)
    training, test = opened.trials(learned, "training"), opened.trials(tested)
    right, wrong = _sides(opened, training) if label is None else _labelled_sides(opened, learned, label)
    options: dict[str, Any] = {"k": k, "alpha": alpha, "selector": selector, "seed": inputs.seed}
    found = run_lf(opened.adapter, opened.dictionaries, right, wrong, test=[test], **options)
    assert found.comparison is not None
    return {
        "Layers": [{"site": str(site), "held-out auc": score} for site, score in found.scores.items()],
        "Features": found.table(),
        "On other prompts": found.comparison.table(),
        "learned_from": f"{len(right)} right and {len(wrong)} wrong outputs",
    }


def _variant(name: str) -> 'Literal["S", "A", "P"]':
    variants: dict[str, Literal["S", "A", "P"]] = {"S": "S", "A": "A", "P": "P"}
    if name not in variants:
        raise DictionaryError(f"no variant {name!r}; choose from {', '.join(variants)}")
    return variants[name]


def _sides(opened: Opened, training: "Trials") -> "tuple[list[Sample], list[Sample]]":
    samples, rewards = training.run(opened.adapter).scored()
    pairs = list(zip(samples, rewards.tolist(), strict=True))
    right, wrong = [one for one, value in pairs if value > 0], [one for one, value in pairs if value <= 0]
    if min(len(right), len(wrong)) < 4:
        raise DictionaryError(
            f"{training.name}: {len(right)} of {len(samples)} outputs are right; learning from them takes four "
            "of each: give more prompts (--n), or a reward of which the model earns some and misses some"
        )
    return right, wrong


def _labelled_sides(opened: Opened, rows: "Sequence[Row]", label: str) -> "tuple[list[Sample], list[Sample]]":
    samples = [(row.sample(opened.adapter, answered=True), row.label == label) for row in rows]
    wanted, others = (
        [one for one, is_wanted in samples if is_wanted],
        [one for one, is_wanted in samples if not is_wanted],
    )
    if min(len(wanted), len(others)) < 4:
        raise DataError(
            f"{len(wanted)} rows with the label {label!r} and {len(others)} others to learn from; learning from "
            "them takes four of each"
        )
    return wanted, others


def _given_archetype(opened: Opened, file: Path | None, text: str, answer: str) -> "Sample | None":
    """What shows what is wanted: a file, a labelled row, or what is rendered; None where nothing does.

    Raises:
        DataError: It has no output or no words.
    """
    from mmsteer.latents.rows import ARCHETYPE, has_output
    from mmsteer.tasks import Row

    assert opened.reward is not None
    is_audio = opened.adapter.output_kind == "audio"
    if file is not None:
        if not text or not (answer or is_audio):
            raise DataError(f"{file} needs words: --text, its prompt or what is asked, and of a picture --answer")
        media = {"audio": file} if is_audio else {"images": (file,), "answer": answer}
        shown: Row | None = Row(file.name, str(file), text, **media)
    elif opened.world is not None:
        shown = opened.world.archetype(opened.reward.name, opened.seed)
    else:
        shown = next((row for row in opened.rows if row.label == ARCHETYPE), None)
    if shown is not None and not has_output(shown, opened.adapter):
        raise DataError(f"{shown.place}: the row with the label {ARCHETYPE!r} has no output; give its answer or audio")
    return None if shown is None else shown.sample(opened.adapter, answered=True)


def _first_right(opened: Opened, training: "Trials") -> "Sample":
    samples, rewards = training.run(opened.adapter).scored()
    right = [one for one, value in zip(samples, rewards.tolist(), strict=True) if value > 0]
    if not right:
        assert opened.reward is not None
        raise DataError(
            f"none of {len(training.prompts)} unsteered outputs earns {opened.reward.name}, so nothing shows what is "
            "wanted; show it with --archetype, or with a row that has the label 'archetype' and such an output"
        )
    return right[0]


def _unrelated(opened: Opened, unrelated: str, tested: "Sequence[Row]", n: int) -> "Trials":
    """Other rows under the same reward, or another reward: of rendered rows that fit it, or of the test's."""
    from mmsteer.eval.rewards import parse_output_reward
    from mmsteer.tasks import read_rows

    if Path(unrelated).exists():
        return opened.trials(read_rows(unrelated), "unrelated rows")
    other = replace(opened, reward=parse_output_reward(unrelated, opened.adapter.output_kind))
    if opened.world is None:
        return other.trials(tested)
    given = opened.world.rewarded(unrelated, n // 2, opened.seed + 1)
    return replace(other, sampling=given.sampling, seed=opened.seed + 1).trials(given.rows)
