"""`mmsteer sae hallucination`: features that make captions name less of what is not there."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmsteer.cli.sae import Dictionary
from mmsteer.cli.sae_data import Inputs, Opened, method
from mmsteer.cli.sae_labels import CAPTION_TOKENS
from mmsteer.cli.sae_tables import Results, numbers
from mmsteer.errors import DictionaryError

if TYPE_CHECKING:
    from mmsteer.latents.object_mentions import Mentions, Pictures

METHODS = ("effect", "SAVE", "SSL", "AUROC")
SPLITS = ("train", "validation", "test")


@method
def hallucination(
    inputs: Inputs,
    dictionary: Dictionary,
    methods: Annotated[str, typer.Option(help="some of effect,SAVE,SSL,AUROC")] = "effect",
    learn: Annotated[int, typer.Option(min=8, help="rendered scenes to find features on")] = 60,
    choose: Annotated[int, typer.Option(min=6, help="rendered scenes to choose feature and strength by")] = 60,
    scenes: Annotated[int, typer.Option(min=2, help="rendered scenes to report on")] = 200,
    candidates: Annotated[int, typer.Option(min=1, help="effect: features that are tried")] = 16,
    strengths: Annotated[str, typer.Option(help="shares of a token's own norm")] = "-0.2,-0.1,0.1,0.2",
) -> Results:
    """Steer features so that captions name less of what is not there; CHAIR and POPE before and after.

    effect takes a feature that, when it is added or taken off, lowers CHAIR_i on images to choose by, and of the best
    the one that answers POPE's questions best. SAVE and SSL take what goes with right answers or mentions (Park et al.
    2025; arXiv:2505.16146), AUROC what separates them best. Images to find, to choose and to report are disjoint: of
    rows of your own, with image and objects, those of the splits train, validation and test, or a third each. Random
    features, as strong, stand beside.

    [bold]Examples[/]

    mmsteer sae hallucination bundled:vision

    mmsteer sae hallucination bundled:vision --methods SAVE,SSL,AUROC
    """
    values, chosen = numbers("--strengths", strengths), _methods(methods)
    if "effect" not in chosen:
        inputs.refuse(("candidates",), "is about the method effect; add it to --methods")
    from mmsteer.latents.object_mentions import caption, check_pictures, pictures, read_mentions
    from mmsteer.latents.rows import parts

    sizes = dict(zip(SPLITS, (learn, choose, scenes), strict=True))
    opened = inputs.opened(
        [dictionary], lambda world: world.pictured(sizes, inputs.seed), check=check_pictures, usual=CAPTION_TOKENS
    )
    adapter, found = opened.adapter, opened.dictionary
    learnt, *shown = (pictures(some, adapter, opened.sampling) for some in parts(opened.rows, SPLITS, inputs.seed))
    inputs.say(f"Reading captions of {len(learnt)} images")
    mentions = read_mentions(adapter, found, learnt, caption(adapter, learnt))
    tables: dict[str, object] = {}
    if "effect" in chosen:
        tables |= _by_effect(opened, mentions, (shown[0], shown[1]), candidates, values)
    if others := [one for one in chosen if one != "effect"]:
        tables |= _by_papers(opened, mentions, learnt, (shown[0], shown[1]), others, values)
    return tables


def _methods(text: str) -> list[str]:
    chosen = text.split(",")
    if unknown := [one for one in chosen if one not in METHODS]:
        raise DictionaryError(f"no method {unknown[0]!r}; choose from {', '.join(METHODS)}")
    return chosen


def _by_effect(
    opened: Opened,
    mentions: "Mentions",
    shown: "tuple[Pictures, Pictures]",
    candidates: int,
    strengths: Sequence[float],
) -> Results:
    from mmsteer.latents.causal_selection import choose_by_effect, effect_conditions, likely_features
    from mmsteer.latents.hallucination import against, compared, judge

    adapter, found, used, say = opened.adapter, opened.dictionary, mentions.used, opened.say
    features = likely_features(mentions, found, candidates)
    best, tried = choose_by_effect(adapter, found, used, shown[0], features, strengths=strengths, say=say)
    rows = [judge(adapter, shown[1], "unsteered")]
    for name, steering in effect_conditions(found, used, best, opened.seed).items():
        say(f"Reporting on {len(shown[1])} images: {name}")
        rows.append(judge(adapter, shown[1], name, steering))
    return {
        f"The best of those that were tried, on {len(shown[0])} images": [one.row() for one in tried],
        f"The chosen feature on {len(shown[1])} other images": compared(rows),
        "Change of chair_s, image by image": [
            {
                "feature": rows[1].condition,
                "against": "random features, mean",
                "change": against(rows[1:2], rows[2:-1]),
            }
        ],
    }


def _by_papers(
    opened: Opened,
    mentions: "Mentions",
    learnt: "Pictures",
    shown: "tuple[Pictures, Pictures]",
    methods: Sequence[str],
    strengths: Sequence[float],
) -> Results:
    from mmsteer.latents.hallucination import compared, mention_latents, save_latents, steer_latents

    adapter, found = opened.adapter, opened.dictionary
    finders = {
        "SAVE": lambda: save_latents(adapter, found, learnt),
        "SSL": lambda: mention_latents(found, mentions, "mean_difference"),
        "AUROC": lambda: mention_latents(found, mentions, "auroc"),
    }
    latents = {name: finders[name]() for name in methods}
    options: dict[str, Any] = {"strengths": strengths, "seed": opened.seed, "say": opened.say}
    rows = steer_latents(adapter, latents, mentions.used, found, shown, **options)
    return {f"Latents on {len(shown[1])} other images": compared(rows)}
