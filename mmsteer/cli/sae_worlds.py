"""`mmsteer sae detect|hallucination|attributes`: features of the bundled worlds, told, found and steered."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mmsteer.cli.options import check_sources, refuse_idle
from mmsteer.cli.sae import Device, Dictionary, Dtype, Model, Where
from mmsteer.cli.sae_data import Cache, Corpus, Given, Rows, check_world
from mmsteer.cli.sae_steer import numbers
from mmsteer.cli.sae_tables import AsJson, Out, Output, Row, Say, working
from mmsteer.errors import DictionaryError

if TYPE_CHECKING:
    from mmsteer.adapters import AnyAdapter, LanguageModelAdapter, MusicgenAdapter
    from mmsteer.latents.hallucination import Judged
    from mmsteer.latents.mentions import Mentions
    from mmsteer.sae import SparseDictionary
    from mmsteer.types import Score
    from mmsteer.worlds.scenes import Scene

SEED = 1000
"""Added to seeds of scenes: the models were trained on small ones."""
METHODS = ("effect", "SAVE", "SSL", "AUROC")

Concept = Annotated[str, typer.Option(help="music: note, register, tempo or instrument")]
Labels = Annotated[str | None, typer.Option(help="of the concept, such as C,E (default: the first two)")]
Clips = Annotated[int, typer.Option(min=4, help="music: rendered clips of each label")]
Selector = Annotated[str, typer.Option(help="how a label's feature is chosen: mean_difference, auroc, ...")]
Seed = Annotated[int, typer.Option(min=0, help="of clips, scenes, noise and controls")]


def detect(
    context: typer.Context,
    dictionary: Dictionary,
    concept: Concept = "note",
    labels: Labels = None,
    clips: Clips = 16,
    scenes: Annotated[int, typer.Option(min=8, help="vision: scenes to learn from, and as many to judge by")] = 200,
    explained: Annotated[int, typer.Option(min=0, help="features that are steered to see what they mean")] = 2,
    data: Rows = None,
    corpus: Corpus = None,
    cache: Cache = None,
    site: Where = None,
    model: Model = None,
    seed: Seed = 0,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """Tell notes, tempi, instruments or wrong mentions by features, beside hidden states (Kuznetsov et al. 2025).

    A single feature, an L1 logistic regression and trees on features stand beside a logistic probe and the difference
    of means on hidden states. What the best features mean is then seen by steering them.

    [bold]Examples[/]

    mmsteer sae detect bundled:vision

    mmsteer sae detect bundled:music --concept tempo --labels fast
    """
    check_sources(context, data, ("concept", "clips", "scenes", "explained"))
    output = Output(as_json, out)
    from mmsteer.adapters import MusicgenAdapter
    from mmsteer.cli.sae_inputs import loaded, opened

    if data is not None:
        given = Given(data, None, corpus, cache, site, 1, None, model, device, dtype, seed)
        with working("Reading"):
            output.tell(_detect_rows(given, dictionary, labels))
        return
    found, adapter = opened(dictionary, site), loaded(model, dictionary, device, dtype)
    check_world(adapter)
    idle = ("scenes",) if adapter.output_kind == "audio" else ("concept", "labels", "clips")
    refuse_idle(context, idle, "does nothing for this model; choose another --model")
    with working("Reading") as say:
        if isinstance(adapter, MusicgenAdapter):
            tables = _detect_labels(adapter, found, concept, labels, clips, explained, seed, say)
        else:
            tables = _detect_mentions(adapter, found, scenes, explained, seed, say)
    output.tell(tables)


def attributes(
    dictionary: Dictionary,
    concept: Concept = "note",
    labels: Labels = None,
    clips: Clips = 16,
    selector: Selector = "mean_difference",
    strengths: Annotated[str, typer.Option(help="shares of the state's norm, chosen on other prompts")] = "0.1,0.2,0.4",
    n: Annotated[int, typer.Option(min=2, help="prompts to report on; half as many to choose by")] = 16,
    model: Model = None,
    seed: Seed = 0,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """Steer the feature of a note, register, tempo or instrument, judged from the audio (after Singh et al. 2025).

    Beside it stand the unsteered model, a random feature and a random direction, as strong.

    [bold]Example[/]

    mmsteer sae attributes bundled:music --concept note --labels C,E
    """
    output, values = Output(as_json, out), numbers("--strengths", strengths)
    from mmsteer.cli.sae_inputs import loaded, opened
    from mmsteer.latents.attributes import read_clips, steer_attributes

    found, adapter = opened(dictionary), _playing(loaded(model, dictionary, device, dtype))
    with working(f"Reading clips of {concept}") as say:
        read = read_clips(adapter, found, concept, per_label=clips, seed=seed)
        rows = steer_attributes(
            adapter, found, read, _labels(read.labels, labels), how=selector, strengths=values, n=n, seed=seed, say=say
        )
    output.tell({f"{concept}, steered by one feature": [vars(row) for row in rows]})


def hallucination(
    context: typer.Context,
    dictionary: Dictionary,
    methods: Annotated[str, typer.Option(help="some of effect,SAVE,SSL,AUROC")] = "effect",
    learn: Annotated[int, typer.Option(min=8, help="scenes to find features on")] = 60,
    choose: Annotated[int, typer.Option(min=6, help="scenes to choose feature and strength by")] = 60,
    scenes: Annotated[int, typer.Option(min=2, help="scenes to report on")] = 200,
    candidates: Annotated[int, typer.Option(min=1, help="effect: features that are tried")] = 16,
    strengths: Annotated[str, typer.Option(help="shares of a token's own norm")] = "-0.2,-0.1,0.1,0.2",
    model: Model = None,
    seed: Seed = 0,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """Steer features so that captions name less of what is not there; CHAIR and POPE before and after.

    effect takes a feature that, when it is added or taken off, lowers CHAIR_i on scenes to choose by, and of the best
    the one that answers POPE's questions best. SAVE and SSL take what goes with right answers or mentions (Park et al.
    2025; arXiv:2505.16146), AUROC what tells mentions best. Scenes to find, to choose and to report are disjoint.
    Random features, as strong, stand beside.

    [bold]Examples[/]

    mmsteer sae hallucination bundled:vision

    mmsteer sae hallucination bundled:vision --methods SAVE,SSL,AUROC
    """
    output, values, chosen = Output(as_json, out), numbers("--strengths", strengths), _methods(methods)
    if "effect" not in chosen:
        refuse_idle(context, ("candidates",), "is about the method effect; name it in --methods")
    from mmsteer.cli.sae_inputs import loaded, opened
    from mmsteer.latents.mentions import caption, read_mentions
    from mmsteer.worlds.scenes import split_scenes

    found, adapter = opened(dictionary), _seeing(loaded(model, dictionary, device, dtype))
    learnt = split_scenes("demos", learn, SEED + seed)
    shown = split_scenes("validation", choose, SEED + seed), split_scenes("test", scenes, SEED + seed)
    with working(f"Reading captions of {learn} scenes") as say:
        mentions = read_mentions(adapter, found, learnt, caption(adapter, learnt))
        tables: dict[str, Sequence[Row]] = {}
        if "effect" in chosen:
            tables |= _by_effect(adapter, found, mentions, shown, candidates, values, seed, say)
        if others := [one for one in chosen if one != "effect"]:
            tables |= _by_papers(adapter, found, mentions, learnt, shown, others, values, seed, say)
    output.tell(tables)


def _methods(text: str) -> list[str]:
    chosen = text.split(",")
    if unknown := [one for one in chosen if one not in METHODS]:
        raise DictionaryError(f"no method {unknown[0]!r}; choose from {', '.join(METHODS)}")
    return chosen


def _playing(adapter: "AnyAdapter") -> "MusicgenAdapter":
    from mmsteer.adapters import MusicgenAdapter

    if not isinstance(adapter, MusicgenAdapter):
        raise DictionaryError("this model makes no music; for captions: mmsteer sae hallucination")
    return adapter


def _seeing(adapter: "AnyAdapter") -> "LanguageModelAdapter":
    from mmsteer.adapters import MusicgenAdapter

    if isinstance(adapter, MusicgenAdapter):
        raise DictionaryError("this model writes no captions; for music: mmsteer sae attributes")
    return adapter


def _labels(known: Sequence[str], asked: str | None) -> list[str]:
    every = list(dict.fromkeys(known))
    chosen = asked.split(",") if asked else every[:2]
    if unknown := [one for one in chosen if one not in every]:
        raise DictionaryError(f"no label {unknown[0]!r}; choose from {', '.join(every)}")
    return chosen


def _detect_rows(given: Given, dictionary: str, labels: str | None) -> dict[str, Sequence[Row]]:
    from mmsteer.latents.attributes import detect_attribute
    from mmsteer.latents.rows import row_clips

    own = given.opened([dictionary], positive="")
    known = [str(row.label) for row in own.rows]
    chosen = _labels(known, labels)
    read = row_clips(own.adapter, own.bound[0].dictionary, own.rows)
    return {
        f"{label} told from the others": [row.row() for row in detect_attribute(read, label, seed=own.seed)]
        for label in chosen
    }


def _detect_labels(
    adapter: "MusicgenAdapter",
    found: "SparseDictionary",
    concept: str,
    labels: str | None,
    clips: int,
    explained: int,
    seed: int,
    say: Say,
) -> dict[str, Sequence[Row]]:
    from mmsteer.latents.attributes import detect_attribute, read_clips
    from mmsteer.latents.listening import meanings

    read = read_clips(adapter, found, concept, per_label=clips, seed=seed)
    tables: dict[str, Sequence[Row]] = {}
    for label in _labels(read.labels, labels):
        say(f"Fitting detectors of {concept}:{label}")
        rows = detect_attribute(read, label, seed=seed)
        tables[f"{concept}:{label} told from the others"] = [row.row() for row in rows]
        say(f"Steering what tells {label}")
        features = list(dict.fromkeys(row.features[0] for row in rows if row.features))[:explained]
        if features:
            told = meanings(adapter, found, features, read.used, seed=seed)
            tables[f"What steering changes, {label}"] = [vars(one) for one in told]
    return tables


def _detect_mentions(
    adapter: "LanguageModelAdapter", found: "SparseDictionary", scenes: int, explained: int, seed: int, say: Say
) -> dict[str, Sequence[Row]]:
    from mmsteer.latents.mentions import MOMENTS, caption, detect_hallucination, meanings, read_mentions
    from mmsteer.worlds.scenes import split_scenes

    some, others = (split_scenes(name, scenes, SEED + seed) for name in ("validation", "test"))
    say(f"Captioning {2 * scenes} scenes")
    said = caption(adapter, some), caption(adapter, others)
    tables: dict[str, Sequence[Row]] = {}
    features: list[int] = []
    for moment, words in MOMENTS.items():
        say(f"Reading {words}")
        train, test = (
            read_mentions(adapter, found, *two, moment=moment) for two in ((some, said[0]), (others, said[1]))
        )
        rows = detect_hallucination(train, test, seed=seed)
        features += [feature for row in rows for feature in row.features[:1]]
        tables[f"Wrong mentions told from right ones, {words}"] = [row.row() for row in rows]
    if named := list(dict.fromkeys(features))[:explained]:
        say("Steering what tells them")
        told = meanings(adapter, found, named, train.used, others[:24])
        tables["What steering these features changes"] = [vars(one) for one in told]
    return tables


def _by_effect(
    adapter: "LanguageModelAdapter",
    found: "SparseDictionary",
    mentions: "Mentions",
    shown: "tuple[Sequence[Scene], Sequence[Scene]]",
    candidates: int,
    strengths: Sequence[float],
    seed: int,
    say: Say,
) -> dict[str, Sequence[Row]]:
    from mmsteer.latents.by_effect import choose_by_effect, effect_conditions, likely_features
    from mmsteer.latents.hallucination import compared, judge

    features = likely_features(mentions, found, candidates)
    best, tried = choose_by_effect(adapter, found, mentions.used, shown[0], features, strengths=strengths, say=say)
    conditions = effect_conditions(found, mentions.used, best, seed)
    rows = [judge(adapter, shown[1], "unsteered")]
    for name, steering in conditions.items():
        say(f"Reporting on {len(shown[1])} scenes: {name}")
        rows.append(judge(adapter, shown[1], name, steering))
    return {
        f"The best of those that were tried, on {len(shown[0])} scenes": [one.row() for one in tried],
        f"The chosen feature on {len(shown[1])} other scenes": compared(rows),
        "Change of chair_s, scene by scene": [_beside("random features, mean", rows[1], rows[2:-1])],
    }


def _beside(name: str, row: "Judged", others: "Sequence[Judged]") -> "dict[str, str | Score]":
    from mmsteer.latents.hallucination import against

    return {"feature": row.condition, "against": name, "change": against([row], others)}


def _by_papers(
    adapter: "LanguageModelAdapter",
    found: "SparseDictionary",
    mentions: "Mentions",
    learnt: "Sequence[Scene]",
    shown: "tuple[Sequence[Scene], Sequence[Scene]]",
    methods: Sequence[str],
    strengths: Sequence[float],
    seed: int,
    say: Say,
) -> dict[str, Sequence[Row]]:
    from mmsteer.latents.hallucination import compared, mention_latents, save_latents, ssl_latents, steer_latents

    finders = {
        "SAVE": lambda: save_latents(adapter, found, learnt),
        "SSL": lambda: ssl_latents(found, mentions),
        "AUROC": lambda: mention_latents(found, mentions, "auroc"),
    }
    latents = {name: finders[name]() for name in methods}
    rows = steer_latents(adapter, latents, mentions.used, found, shown, strengths=strengths, seed=seed, say=say)
    return {f"Latents on {len(shown[1])} other scenes": compared(rows)}
