"""Captions whose objects the model was asked about, beside controls: other images, chance, and captions cut short.

    python benchmarks/verified_captions.py --out runs/verified

Validation scenes choose the log-odds under which an object is denied: the fewest captions with a false object at a loss
of recall of at most three points. Test scenes are reported. Captions and answers are kept in the folder, and what is
there is not made again.
"""

import argparse
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from hallucination_frontier import DRAWS, Line, Told, cut, judged, matched
from tqdm import tqdm

import mmsteer
from mmsteer.eval.chair import Chair
from mmsteer.eval.chair_parser import object_parser
from mmsteer.eval.open_nouns import open_synonyms
from mmsteer.recipes.vision.pictures import Picture, pictures_in
from mmsteer.recipes.vision.schema import SceneImages, Scenes
from mmsteer.verified import OwnAnswer, verify

PROMPT, TOKENS, BATCH = "Please describe this image in detail.", 96, 32
LEVELS = (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25)
LOSS = 0.03
"""Of recall, that a threshold may cost on the validation scenes."""
PARSE = object_parser("fixed", open_synonyms())
Answers = Mapping[str, Mapping[str, float]]
"""For each image and object the log-odds of yes."""


def main() -> None:
    """Describe, ask, and print the table."""
    options = _options().parse_args()
    adapter = mmsteer.load(options.model)
    sides = {}
    for split, n in (("validation", options.validation), ("test", options.test)):
        scenes = Scenes(n=n, split=split, seed=options.seed, cluttered=True, detailed=True)
        pictures = [replace(one, prompt=PROMPT) for one in pictures_in(SceneImages(scenes=scenes), ())]
        said = _kept(options.out / f"{split}-captions.json", lambda some: _captions(adapter, some), pictures)
        sides[split] = Side(pictures, said)
    asked = {
        (split, which): _kept(
            options.out / f"{split}-{which}.json",
            lambda some, at=which, side=side: side.answers(adapter, some, at),
            side.pictures,
        )
        for split, side in sides.items()
        for which in ("own", "other")
        if (split, which) != ("validation", "other")
    }
    chosen = _chosen(sides["validation"], asked["validation", "own"])
    print(f"chosen on {options.validation} validation scenes: {chosen:g}\n")
    print(
        "| denied | CHAIR_s | recall | change of recall | words | CHAIR_s, recall of a cut | CHAIR_s below the cut's |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, told in _rows(sides["test"], asked["test", "own"], asked["test", "other"], chosen).items():
        print(_row(name, told, sides["test"]))


class Side:
    """Scenes of a split with the unsteered captions.

    Args:
        pictures: The scenes.
        said: Their captions by name.
    """

    def __init__(self, pictures: Sequence[Picture], said: Mapping[str, str]) -> None:
        self.pictures, self.said = pictures, said
        self.plain = judged(self.lines(said))
        lines = self.lines(said)
        longest = int(self.plain.words.max())
        self.cuts = [judged([cut(one, length) for one in lines]) for length in range(4, longest + 1)]

    def lines(self, said: Mapping[str, str]) -> list[Line]:
        """Captions as run folders have them.

        Args:
            said: By name.
        """
        return [_line(one, said[one.id]) for one in self.pictures]

    def answers(self, adapter: object, some: Sequence[Picture], which: str) -> dict[str, dict[str, float]]:
        """What the model answers about the objects that captions name.

        Args:
            adapter: The model.
            some: The scenes.
            which: Whether it sees their `own` image, or that of the next scene.
        """
        places = [self.pictures.index(one) + (which == "other") for one in some]
        shown = [self.pictures[place % len(self.pictures)].sample(adapter) for place in places]
        named = [list({one.object: one for one in PARSE(self.said[picture.id])}.values()) for picture in some]
        found = OwnAnswer(adapter)(shown, named)
        return {
            picture.id: {mention.object: value for mention, value in zip(mentions, values, strict=True)}
            for picture, mentions, values in zip(some, named, found, strict=True)
        }

    def without(self, answers: Answers, least: float) -> Told:
        """Captions without what answers deny.

        Args:
            answers: Of these scenes.
            least: The log-odds under which an object is denied.
        """
        samples = [mmsteer.Sample(one.id, PROMPT, output=self.said[one.id]) for one in self.pictures]
        left = verify(
            samples,
            lambda some, named: [[answers[one.id][m.object] for m in ms] for one, ms in zip(some, named, strict=True)],
            PARSE,
            least=least,
        )
        return judged(self.lines({one.sample.id: str(one.sample.output) for one in left}))


def _captions(adapter: object, some: Sequence[Picture]) -> dict[str, str]:
    made = adapter.generate([one.sample(adapter) for one in some], mmsteer.Sampling(TOKENS))
    return {one.id: str(one.output).strip() for one in made}


def _kept(path: Path, make: Callable[[Sequence[Picture]], dict], pictures: Sequence[Picture]) -> dict:
    """What is in a file, and what is not there yet, batch by batch."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = json.loads(path.read_text()) if path.exists() else {}
    left = [one for one in pictures if one.id not in found]
    for start in tqdm(range(0, len(left), BATCH), desc=path.stem, disable=not left):
        found |= make(left[start : start + BATCH])
        path.write_text(json.dumps(found))
    return found


def _line(picture: Picture, caption: str) -> Line:
    chair = Chair(
        {picture.id: picture.objects or frozenset()}, "fixed", open_synonyms(), {picture.id: picture.backdrop}
    )
    return chair.row(picture.id, caption).to_json()


def _chosen(side: Side, answers: Answers) -> float:
    """The threshold with the fewest false captions within the loss of recall; the lowest of equals."""
    told = {level: side.without(answers, level).point for level in LEVELS}
    for level, (recall, chair) in told.items():
        print(f"validation, {level:g}: CHAIR_s {chair:.3f}, recall {recall:.3f} (unsteered {side.plain.point})")
    allowed = [level for level in LEVELS if told[level][0] >= side.plain.point[0] - LOSS]
    return min(allowed, key=lambda level: (told[level][1], level))


def _rows(side: Side, own: Answers, other: Answers, chosen: float) -> dict[str, Told]:
    """The conditions; those that are controls deny as many mentions as the own answers do."""
    chance = {name: {thing: _noise(name + thing) for thing in some} for name, some in own.items()}
    values = [value for some in own.values() for value in some.values()]
    share = float(np.mean([value < chosen for value in values]))
    rows = {
        "nothing (unsteered)": side.plain,
        f"own answer under {chosen:g}": side.without(own, chosen),
        f"another image, under {chosen:g}": side.without(other, chosen),
    }
    for name, answers in (("as many, asked about another image", other), ("as many, at random", chance)):
        level = float(np.quantile([value for some in answers.values() for value in some.values()], share))
        rows[name] = side.without(answers, level)
    return rows | {f"own answer under {level:g}": side.without(own, level) for level in LEVELS if level != chosen}


def _noise(text: str) -> float:
    return zlib.crc32(text.encode()) / 2**32


def _row(name: str, one: Told, side: Side) -> str:
    rng, n, plain, other = np.random.default_rng(0), len(one.wrong), side.plain, matched(one, side.cuts)
    drawn = rng.integers(n, size=(DRAWS, n))

    def recalls(told: Told) -> np.ndarray:
        return np.asarray(told.right[drawn].sum(axis=1) / told.there[drawn].sum(axis=1))

    def ends(values: np.ndarray) -> str:
        low, high = np.percentile(values, [2.5, 97.5])
        return f"[{low:.3f}, {high:.3f}]"

    below = (other.wrong - one.wrong)[drawn].mean(axis=1)
    (recall, chair), (cut_recall, cut_chair) = one.point, other.point
    return (
        f"| {name} | {chair:.3f} {ends(one.wrong[drawn].mean(axis=1))} | {recall:.3f} {ends(recalls(one))} | "
        f"{recall - plain.point[0]:+.3f} {ends(recalls(one) - recalls(plain))} | {one.words.mean():.1f} | "
        f"{cut_chair:.3f}, {cut_recall:.3f} | {cut_chair - chair:+.3f} {ends(below)} |"
    )


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="bundled:llava")
    parser.add_argument("--validation", type=int, default=192, help="scenes that choose the threshold")
    parser.add_argument("--test", type=int, default=500, help="scenes that are reported")
    parser.add_argument("--seed", type=int, default=0, help="of the scenes")
    parser.add_argument("--out", type=Path, default=Path("runs/verified"))
    return parser


if __name__ == "__main__":
    main()
