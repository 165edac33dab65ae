"""`mmsteer sae decompose|scores|evaluate`: what features are made of, read and bring about."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsteer.cli.options import refuse_idle
from mmsteer.cli.sae import Dictionary, Where
from mmsteer.cli.sae_data import Inputs, Opened, method
from mmsteer.cli.sae_tables import AsJson, Out, Output, Results, Row
from mmsteer.errors import DictionaryError

if TYPE_CHECKING:
    from torch import Tensor

    from mmsteer.sae import SparseDictionary, Usage
    from mmsteer.types import Direction

Drawn = Annotated[int, typer.Option(min=1, help="features to draw where none is named")]


def decompose(
    context: typer.Context,
    dictionary: Dictionary,
    directions: Annotated[
        Path | None, typer.Option(help="a file that `mmsteer probe` writes (default: what ships for the model)")
    ] = None,
    name: Annotated[str | None, typer.Option(help="one of them, term by term, such as note:C")] = None,
    terms: Annotated[int, typer.Option(min=1, help="most features")] = 8,
    method: Annotated[str, typer.Option(help="signed, non_negative or gradient")] = "signed",
    site: Where = None,
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """Write directions as signed sums of a few features, by a pursuit over decoder rows (Mayne et al. 2024).

    The encoder cannot do this: a direction is no hidden state, and its negative parts are no activations. Without
    --name every direction is a row, and a random vector stands beside.

    [bold]Examples[/]

    mmsteer sae decompose bundled:music

    mmsteer sae decompose bundled:music --name note:C
    """
    if name is None:
        refuse_idle(context, ("method",), "is about one direction, term by term; give --name, too")
    output = Output(as_json, out)
    from mmsteer.cli.sae_inputs import opened
    from mmsteer.formats import load_directions
    from mmsteer.sae.decomposition import decompose as pursue

    found = opened(dictionary, site)
    known = load_directions(directions) if directions else _shipped(dictionary)
    if name is None:
        output.write({f"{len(known)} directions, {terms} features": _explained(found, known, terms)})
        return
    pursued = pursue(found, _vector(known, name, found), terms, method)
    output.write({f"{name}, {method} pursuit": [vars(one) for one in pursued.terms], "below_zero": pursued.negative})


@method
def scores(
    inputs: Inputs,
    dictionary: Dictionary,
    features: Annotated[list[int] | None, typer.Argument(help="numbers of features; none: some are drawn")] = None,
    drawn: Drawn = 24,
    steer: Annotated[
        bool, typer.Option("--steer", help="also add them at 0.5 nats: does the score predict what they steer?")
    ] = False,
) -> Results:
    """Score features by what activates them (S_in) and by what they bring about (S_out) (Arad et al. 2025).

    Features with S_out of 0.01 or more are worth steering; those with a high S_in seldom are. With --steer features are
    added to whole outputs, and what each filter keeps is compared.

    [bold]Examples[/]

    mmsteer sae scores bundled:vision 3 17 40

    mmsteer sae scores bundled:music --steer
    """
    from mmsteer.latents.maximal import maximal_moments
    from mmsteer.latents.score_study import filtered, moved_by
    from mmsteer.latents.scores import input_scores, output_scores

    opened, chosen = _features_of(inputs, dictionary, features, drawn)
    adapter, found = opened.adapter, opened.dictionary
    inputs.say("Looking for top activating moments")
    given = opened.material()
    moments = maximal_moments(adapter, found, given.labelled, chosen, count=40)
    into = input_scores(adapter, found, moments, count=given.promotes)
    inputs.say("Adding features")
    out_of = output_scores(adapter, found, chosen, given.contexts, count=given.promotes)
    pairs = zip(into, out_of, strict=True)
    best = [{"feature": i.feature, "S_in": i.maximum, "excerpts": i.n, "S_out": o.maximum} for i, o in pairs]
    tables: dict[str, object] = {"The best head of each": best}
    if steer:
        moved = moved_by(adapter, found, opened.used, given, moments, inputs.say)
        by_feature = ({one.feature: one for one in some} for some in (into, out_of))
        tables["Added at 0.5 nats, mean change"] = filtered(moved, *by_feature)
    return tables


@method
def evaluate(
    inputs: Inputs,
    dictionary: Dictionary,
    features: Annotated[list[int] | None, typer.Argument(help="numbers of features; none: some are drawn")] = None,
    drawn: Drawn = 16,
) -> Results:
    """Does what describes a feature predict what it does? VocabProj, TokenChange, MaxAct (Gur-Arieh et al. 2025).

    Features are added at 0.25 and 0.5 nats; a judge who reads a description picks the outputs of its feature among
    those of three. Text is judged by the share of the described words, audio by the described label. As a control the
    judge reads what describes another feature.

    [bold]Example[/]

    mmsteer sae evaluate bundled:vision --drawn 24
    """
    from mmsteer.latents.description_study import evaluate_descriptions

    opened, chosen = _features_of(inputs, dictionary, features, drawn)
    inputs.say("Gathering evidence")
    rows = evaluate_descriptions(
        opened.adapter, opened.dictionary, opened.used, chosen, opened.material(), seed=inputs.seed, say=inputs.say
    )
    return {f"Outputs of {len(chosen)} features, recognised by a description": rows}


def _features_of(inputs: Inputs, dictionary: str, features: list[int] | None, drawn: int) -> "tuple[Opened, list[int]]":
    """Everything bound, and the features that are named or drawn.

    Raises:
        DictionaryError: The dictionary has no such feature.
    """
    if features:
        inputs.refuse(("drawn",), "is about features that are drawn, and some are named; name none")
    from mmsteer.cli.sae_inputs import opened as read

    count = read(dictionary, inputs.site).features
    if wrong := [one for one in features or [] if not 0 <= one < count]:
        raise DictionaryError(f"no feature {wrong[0]}; the dictionary has 0 to {count - 1}")
    opened = inputs.opened([dictionary], lambda world: world.described())
    return opened, features or _drawn(opened.used, drawn, inputs.seed)


def _drawn(used: "Usage", count: int, seed: int) -> list[int]:
    from mmsteer.latents.score_study import ALIVE, draw_features

    if not (chosen := draw_features(used, count, seed)):
        low, high = ALIVE
        raise DictionaryError(
            f"no feature is active in {low:.1%} to {high:.0%} of the {used.rows} hidden states; name features, or give "
            "more samples"
        )
    return chosen


def _shipped(dictionary: str) -> "Mapping[str, Direction]":
    from mmsteer.api import ready_made_directions

    known = ready_made_directions(dictionary)
    if not known:
        raise DictionaryError(f"no direction ships for {dictionary}; give --directions, a file of `mmsteer probe`")
    return known


def _explained(found: "SparseDictionary", known: "Mapping[str, Direction]", terms: int) -> list[Row]:
    import torch

    from mmsteer.sae.decomposition import PURSUITS
    from mmsteer.sae.decomposition import decompose as pursue

    vectors = {name: _vector(known, name, found) for name in known}
    vectors["random vector (control)"] = torch.randn(found.width, generator=torch.Generator().manual_seed(0))
    rows: list[Row] = []
    for name, vector in vectors.items():
        told = {method: pursue(found, vector, terms, method) for method in PURSUITS}
        shares = {f"explained, {method}": one.explained for method, one in told.items()}
        rows.append({"direction": name, **shares, "below zero": told["signed"].negative})
    return rows


def _vector(known: "Mapping[str, Direction]", name: str, found: "SparseDictionary") -> "Tensor":
    if name not in known:
        raise DictionaryError(f"no direction {name!r}; choose from {', '.join(sorted(known))}")
    direction = known[name]
    if found.site is None or found.site not in direction.vectors:
        raise DictionaryError(
            f"{name} lies at {', '.join(map(str, direction.vectors))}, the dictionary at {found.site}; find the "
            f"direction there: mmsteer probe --sites {found.site or 'SITE'}"
        )
    if found.model not in (None, direction.model):
        raise DictionaryError(f"{name} is of model {direction.model}, the dictionary of {found.model}")
    return direction.vectors[found.site]
