"""Inference-time intervention on attention heads of `bundled:text`: K best heads, K random heads, unsteered.

    python examples/heads/iti.py --heads 24 --strength 8

Rows in which a guest is pleased or displeased with something are read at every head (`text.*.head.*`), at the last token.
The K heads whose direction tells the labels apart best on held-out things are steered together, each by a number of
standard deviations along its own direction, while the model answers about things that chose nothing. What counts is the
share of answers with a word of praise, and of complaint.

Source: Li et al. 2023, Inference-Time Intervention, arXiv:2306.03341.
"""

import argparse
import random
import re

import mmsteer
from mmsteer.types import Adapter, Direction, Positions, Sample, Sampling, mean_score

THINGS = (
    "hotel room", "breakfast", "concert", "film", "train ride", "museum", "garden", "soup", "swimming pool", "lecture",
    "novel", "bakery", "ferry", "dinner", "guided tour", "theatre play", "market", "campsite", "coffee", "beach",
    "football match", "podcast", "exhibition", "haircut", "flight", "picnic", "cheese", "bus trip", "zoo", "wedding",
    "pizza", "board game", "ski slope", "library", "opera", "hiking trail", "tea house", "circus", "workshop", "castle",
)  # fmt: skip
ASKED = (
    "restaurant", "city park", "new phone", "boat trip", "cooking class", "ice cream", "old bridge", "night market",
    "piano recital", "mountain hut", "sandwich", "taxi driver", "aquarium", "comedy show", "bookshop", "spa", "burger",
    "language course", "vineyard", "bicycle", "dance class", "apartment", "science fair", "airport lounge", "street food",
    "art class", "folk festival", "pancakes", "sauna", "tram ride", "puppet show", "rooftop bar",
)  # fmt: skip
PLEASED = ("wonderful and I loved it", "excellent, the best I ever had", "lovely and great fun")
DISPLEASED = ("terrible and I hated it", "awful, the worst I ever had", "dreadful and a waste of money")
PRAISE = r"(?i)\b(wonderful|excellent|lov\w+|great|amazing|fantastic|beautiful|delicious|delight\w*|best|enjoy\w*)\b"
COMPLAINT = r"(?i)\b(terrible|awful|hat\w+|worst|dreadful|bad|poor|disappoint\w*|unpleasant|horrible|waste|rude)\b"


def rows() -> tuple[list[Sample], list[str], list[str]]:
    """What is read, its labels, and the thing that each row is about."""
    said = [(thing, label, words) for thing in THINGS for label, words in _labels()]
    samples = [Sample(f"{at}", question(thing), output=f"It was {words}.") for at, (thing, _, words) in enumerate(said)]
    return samples, [label for _, label, _ in said], [thing for thing, _, _ in said]


def _labels() -> list[tuple[str, str]]:
    return [("pleased", words) for words in PLEASED] + [("displeased", words) for words in DISPLEASED]


def question(thing: str) -> str:
    return f"You are a guest. Say in one sentence how the {thing} was."


def at_random(direction: Direction, heads: int, seed: int) -> str:
    """As many heads, drawn."""
    return ", ".join(map(str, sorted(random.Random(seed).sample(direction.sites, heads))))


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--heads", type=int, default=24)
    options.add_argument("--strength", type=float, default=8.0)
    options.add_argument("--seeds", type=int, default=3, help="draws of random heads")
    asked = options.parse_args()
    adapter = mmsteer.load("bundled:text")
    samples, labels, groups = rows()
    read = mmsteer.record(
        adapter, samples, adapter.select("text.*.head.*"), positions=Positions("generated"), pool="last"
    )
    found = mmsteer.sweep(mmsteer.MeanDifference(), read, labels, family="mood", groups=groups, task="multiclass")
    direction = found.directions["mood:pleased"]
    ranked = sorted(direction.sites, key=lambda site: -float(direction.stats[site].score or 0))
    best = ", ".join(f"{site} {direction.stats[site].score:.2f}" for site in ranked[:5])
    print(f"{len(ranked)} heads; best: {best}; median {direction.stats[ranked[len(ranked) // 2]].score:.2f}")
    line = f"mood:pleased {asked.strength:g}std"
    plans = {"unsteered": "", f"{asked.heads} best": f"{line} weights top({asked.heads})"}
    for seed in range(asked.seeds):
        plans[f"{asked.heads} random ({seed})"] = f"{line} on {at_random(direction, asked.heads, seed)}"
    plans |= {
        f"{name}, against": text.replace(line, f"mood:pleased -{asked.strength:g}std")
        for name, text in plans.items()
        if "best" in name
    }
    for name, text in plans.items():
        show(name, adapter, text, direction)


def show(name: str, adapter: Adapter, text: str, direction: Direction) -> None:
    """One line of the table, an answer, and what the receipt says."""
    things = [Sample(thing, question(thing)) for thing in ASKED]
    with mmsteer.steer(adapter, text, {direction.name: direction}) as session:
        answers = adapter.generate(things, Sampling(tokens=24, temperature=0.0))
    shares = []
    for words in (PRAISE, COMPLAINT):
        score = mean_score([float(bool(re.search(words, str(one.output)))) for one in answers])
        shares.append(f"{score.value:.2f} [{score.low:.2f}, {score.high:.2f}]")
    total = session.receipt().totals
    print(
        f"{name:18} praise {shares[0]}  complaint {shares[1]}  {total[0].ratio if total else 0:.0%}  {answers[0].output!r}"
    )


if __name__ == "__main__":
    main()
