"""`mmsteer sae detect|attributes`: features of labels and of wrong mentions, detected and steered."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmsteer.cli.sae import Dictionary
from mmsteer.cli.sae_data import Inputs, Opened, method
from mmsteer.cli.sae_tables import Results, numbers
from mmsteer.errors import DataError, DictionaryError

if TYPE_CHECKING:
    from mmsteer.latents.attributes import LabelledActivations
    from mmsteer.latents.object_mentions import Pictures
    from mmsteer.tasks import Row as DataRow

CAPTION_TOKENS = 64
NOTE = "note"
Concept = Annotated[
    str | None,
    typer.Option(help="one of the rows' attributes, such as tempo (default: their label; of rendered clips note)"),
]
Labels = Annotated[str | None, typer.Option(help="of the concept, such as C,E (default: the first two)")]
Clips = Annotated[int, typer.Option(min=4, help="rendered clips of each label")]
Selector = Annotated[str, typer.Option(help="how a label's feature is chosen: mean_difference, auroc, ...")]


@method
def detect(
    inputs: Inputs,
    dictionary: Dictionary,
    concept: Concept = None,
    labels: Labels = None,
    clips: Clips = 16,
    scenes: Annotated[int, typer.Option(min=8, help="rendered scenes to learn from, and as many to judge by")] = 200,
    explained: Annotated[int, typer.Option(min=0, help="features that are steered to see what they change")] = 2,
) -> Results:
    """Detect labels or wrong mentions of objects by features, beside hidden states (Kuznetsov et al. 2025).

    Of rows with labels each label is detected; images with objects and without labels are captioned, and wrong mentions
    are detected. A single feature, an L1 logistic regression and trees on features stand beside a logistic
    probe and the difference of means on hidden states. What the best features change is then seen by steering them.

    [bold]Examples[/]

    mmsteer sae detect bundled:vision

    mmsteer sae detect bundled:music --concept tempo --labels fast
    """
    opened = inputs.opened(
        [dictionary],
        lambda world: world.detected(concept or NOTE, clips, scenes, inputs.seed),
        check=lambda rows: _check_detected(rows, concept),
        usual=CAPTION_TOKENS,
    )
    is_pictured = _is_pictured(opened.rows, concept)
    inputs.refuse(("clips", "concept", "labels") if is_pictured else ("scenes",), "does nothing for this model")
    return _detect_mentions(opened, explained) if is_pictured else _detect_labels(opened, concept, labels, explained)


@method
def attributes(
    inputs: Inputs,
    dictionary: Dictionary,
    concept: Concept = None,
    labels: Labels = None,
    clips: Clips = 16,
    selector: Selector = "mean_difference",
    strengths: Annotated[str, typer.Option(help="shares of the state's norm, chosen on other prompts")] = "0.1,0.2,0.4",
    n: Annotated[int, typer.Option(min=2, help="rendered prompts to report on; half as many to choose by")] = 16,
) -> Results:
    """Steer the feature of a note, tempo, instrument or another attribute of audio (after Singh et al. 2025).

    Features are chosen on labelled clips; rows without audio, or else the clips' own prompts, are generated from: those
    of the split test are reported on, the others choose the strength. Beside the feature stand the unsteered model, a
    random feature and a random direction, as strong.

    [bold]Example[/]

    mmsteer sae attributes bundled:music --concept note --labels C,E
    """
    values = numbers("--strengths", strengths)
    from mmsteer.latents.attributes import check_audible, labelled_by, steer_labels

    name = concept or (NOTE if inputs.in_world else "label")
    check_audible(name)

    def check(rows: "Sequence[DataRow]") -> None:
        if not any(row.audio for row in rows):
            raise DataError(f"{rows[0].place}: no row has audio, and features are chosen on labelled clips")
        _prompts(rows, inputs.seed)
        found = labelled_by([row for row in rows if row.audio], concept)
        check_audible(name, _labels([str(row.label) for row in found], labels))

    opened = inputs.opened([dictionary], lambda world: world.labelled(name, clips, n, inputs.seed), check=check)
    _check_audio(opened)
    read = _read(opened, concept)
    prompts, wanted = _prompts(opened.rows, inputs.seed), _labels(read.labels, labels)
    options: dict[str, Any] = {"how": selector, "strengths": values, "seed": inputs.seed, "say": inputs.say}
    rows = steer_labels(opened.adapter, opened.dictionary, read, wanted, prompts, opened.sampling, **options)
    return {f"{read.concept}, steered by one feature": [vars(row) for row in rows]}


def _check_audio(opened: Opened) -> None:
    if opened.adapter.output_kind != "audio":
        raise DictionaryError("this model makes no audio; for captions: mmsteer sae hallucination")


def _is_pictured(rows: "Sequence[DataRow]", concept: str | None) -> bool:
    return concept is None and all(row.label is None and row.objects is not None for row in rows)


def _check_detected(rows: "Sequence[DataRow]", concept: str | None) -> None:
    from mmsteer.latents.attributes import labelled_by
    from mmsteer.latents.object_mentions import check_pictures
    from mmsteer.tasks import check_labels

    if _is_pictured(rows, concept):
        check_pictures(rows)
    else:
        check_labels(labelled_by([row for row in rows if row.audio] or rows, concept))


def _prompts(rows: "Sequence[DataRow]", seed: int) -> "tuple[tuple[DataRow, ...], tuple[DataRow, ...]]":
    """Rows to choose by and to report on."""
    from mmsteer.latents.rows import halves, prompted

    learned, test = halves([row for row in rows if row.audio is None] or prompted(rows), seed)
    return learned, test


def _read(opened: Opened, concept: str | None) -> "LabelledActivations":
    from mmsteer.latents.attributes import labelled_by, read_labelled
    from mmsteer.latents.rows import has_output

    answered = [row for row in opened.rows if has_output(row, opened.adapter) or opened.adapter.output_kind == "text"]
    rows = labelled_by(answered, concept)
    name = concept or ("label" if opened.world is None else NOTE)
    return read_labelled(opened.adapter, opened.dictionary, rows, name)


def _labels(known: Sequence[str], asked: str | None) -> list[str]:
    every = list(dict.fromkeys(known))
    chosen = asked.split(",") if asked else every[:2]
    if unknown := [one for one in chosen if one not in every]:
        raise DictionaryError(f"no label {unknown[0]!r}; choose from {', '.join(every)}")
    return chosen


def _detect_labels(opened: Opened, concept: str | None, labels: str | None, explained: int) -> Results:
    from mmsteer.latents.attributes import detect_label
    from mmsteer.latents.audio_effects import clip_changes

    read, say = _read(opened, concept), opened.say
    tables: dict[str, object] = {}
    for label in _labels(read.labels, labels):
        say(f"Fitting detectors of {read.concept}:{label}")
        rows = detect_label(read, label, seed=opened.seed)
        tables[f"{read.concept}:{label} told from the others"] = [row.row() for row in rows]
        features = list(dict.fromkeys(row.features[0] for row in rows if row.features))[:explained]
        if features and opened.adapter.output_kind == "audio":
            say(f"Steering what tells {label}")
            where = opened.adapter, opened.dictionary
            changes = clip_changes(*where, features, read.used, opened.sampling, seed=opened.seed)
            tables[f"What steering changes, {label}"] = [vars(one) for one in changes]
    return tables


def _detect_mentions(opened: Opened, explained: int) -> Results:
    from mmsteer.latents.object_mentions import (
        MOMENTS,
        caption,
        caption_changes,
        detect_hallucination,
        pictures,
        read_mentions,
    )
    from mmsteer.latents.rows import halves

    adapter, found, say = opened.adapter, opened.dictionary, opened.say
    sides: list[Pictures] = [pictures(some, adapter, opened.sampling) for some in halves(opened.rows, opened.seed)]
    say(f"Captioning {sum(map(len, sides))} images")
    captions = [caption(adapter, side) for side in sides]
    tables: dict[str, object] = {}
    features: list[int] = []
    for moment, words in MOMENTS.items():
        say(f"Reading {words}")
        train, test = (
            read_mentions(adapter, found, side, made, moment=moment) for side, made in zip(sides, captions, strict=True)
        )
        rows = detect_hallucination(train, test, seed=opened.seed)
        features += [feature for row in rows for feature in row.features[:1]]
        tables[f"Wrong mentions told from right ones, {words}"] = [row.row() for row in rows]
    if named := list(dict.fromkeys(features))[:explained]:
        say("Steering what tells them")
        changes = caption_changes(adapter, found, named, train.used, sides[1].first(24))
        tables["What steering these features changes"] = [vars(one) for one in changes]
    return tables
