"""What features of a bundled dictionary read and say, and whether their output score tells which of them steer.

    python benchmarks/latent_scores.py music|vision [--features 32] [--out runs/benchmarks]

Input and output scores are those of Arad et al. (docs/sae-methods.md). Features are drawn at random from those that are
active in 0.1 % to 25 % of hidden states; the same features are then added at the strength that moves the next token by
0.5 nats, and what they do to whole outputs is averaged over those that a filter keeps:

- `promoted`: change of the share of output tokens that the feature's decoder row promotes, over all heads. This is what
  Arad et al. count.
- `described`: change of the share of outputs that are what the feature's top activating moments have in common: for
  music the attribute that is most over-represented in the labelled clips, as the bundled listener hears it; for
  captions the share of words at which the feature is most active. No head plays a part in it.
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from report import Row, write_report
from torch import Tensor

import mmsteer
from mmsteer.adapters import AnyAdapter, MusicgenAdapter
from mmsteer.bundled.dictionary import bundled_dictionary, bundled_usage
from mmsteer.bundled.listener import load_listener
from mmsteer.data.scenes import CAPTION_PROMPT, render_scene, split_scenes, write_conversation
from mmsteer.data.world import CLIP_SECONDS, render_clip, sample_clip
from mmsteer.latents.evidence import label_lift
from mmsteer.latents.maximal import Maximal, maximal_moments
from mmsteer.latents.output_evaluation import matched
from mmsteer.latents.scores import STEERABLE, FeatureScore, input_scores, output_scores
from mmsteer.latents.vocabulary import top_tokens
from mmsteer.sae import SparseDictionary, Usage, feature_direction
from mmsteer.steering import Steering, steer
from mmsteer.types import Sample, mean_score

ALIVE = (0.001, 0.25)
DOSE = 0.5
EXCERPTS = 40
DESCRIBED_BY = 10
Outputs = Sequence[Sample]


@dataclass(frozen=True, eq=False)
class Task:
    """How one modality is read, run and judged.

    Attributes:
        promotes: Tokens that count as promoted by a feature, in each head.
        contexts: Where output scores and doses are measured.
        labelled: What is looked through for top activating moments.
        prompts: What is generated from.
        generate: Outputs of the prompts.
        described: For each feature how much of its description is in each output.
    """

    promotes: int
    contexts: Sequence[Sample]
    labelled: Sequence[Sample]
    prompts: Sequence[Sample]
    generate: Callable[[Sequence[Sample]], Outputs]
    described: Callable[[Maximal, Outputs], list[float | None]]


def music_task(adapter: MusicgenAdapter) -> Task:
    """Clips of the world, one second of some of them, and prompts that name neither instrument, tempo nor register."""
    clips = [sample_clip(np.random.default_rng([98, index])) for index in range(80)]
    waves = [render_clip(clip, np.random.default_rng([98, index])) for index, clip in enumerate(clips)]
    names = [f"clip-{index}" for index in range(len(clips))]
    labels = {
        name: {"instrument": clip.instrument, "tempo": clip.tempo, "register": clip.register}
        for name, clip in zip(names, clips, strict=True)
    }
    labelled = [Sample(*one) for one in zip(names, waves, [clip.prompt for clip in clips], strict=True)]
    contexts = [replace(one, content=one.content[: adapter.sample_rate]) for one in labelled[-4:]]
    bare = [sample_clip(np.random.default_rng([97, index]), stated=("texture",)).prompt for index in range(6)]
    listener = load_listener()

    def generate(prompts: Sequence[Sample]) -> Outputs:
        seeds = [int(prompt.id) for prompt in prompts]
        made = adapter.generate([prompt.text or "" for prompt in prompts], CLIP_SECONDS, seeds)
        return [replace(prompt, content=wave) for prompt, wave in zip(prompts, made, strict=True)]

    def described(found: Maximal, outputs: Outputs) -> list[float | None]:
        attribute, value, _ = label_lift(found, labels, count=DESCRIBED_BY)[0]
        heard = [listener.read(np.asarray(one.content, dtype=np.float64), adapter.sample_rate) for one in outputs]
        return [None if one[attribute] is None else float(one[attribute] == value) for one in heard]

    prompts = [Sample(str(seed), None, text) for seed, text in enumerate(bare)]
    return Task(20, contexts, labelled, prompts, generate, described)


def vision_task(adapter: AnyAdapter) -> Task:
    """Scenes with their captions, captions that break off, and pictures to describe."""
    rng = np.random.default_rng(98)
    labelled = []
    for index, scene in enumerate(split_scenes("train", 120, 98)):
        caption = write_conversation(rng, scene, "careful")[0]
        labelled.append(Sample(f"scene-{index}", render_scene(scene), CAPTION_PROMPT, caption.answer))
    contexts = [replace(one, answer=" ".join((one.answer or "").split()[:4])) for one in labelled[-8:]]
    pictures = [render_scene(scene) for scene in split_scenes("train", 12, 97)]
    prompts = [Sample(str(index), picture, CAPTION_PROMPT) for index, picture in enumerate(pictures)]

    def generate(some: Sequence[Sample]) -> Outputs:
        return [replace(one, answer=text) for one, text in zip(some, adapter.generate(some, 48), strict=True)]

    def described(found: Maximal, outputs: Outputs) -> list[float | None]:
        words = {moment.tokens[0] for moment in found.moments[:DESCRIBED_BY]}
        said = [answered(adapter, [one])[0][:, 0].tolist() for one in outputs]
        return [sum(word in words for word in one) / len(one) if one else None for one in said]

    return Task(5, contexts, labelled, prompts, generate, described)


def measure(
    adapter: AnyAdapter, dictionary: SparseDictionary, used: Usage, drawn: int, seed: int
) -> dict[str, list[Row]]:
    """Both tables."""
    task = music_task(adapter) if isinstance(adapter, MusicgenAdapter) else vision_task(adapter)
    features = draw(used, drawn, seed)
    found = maximal_moments(adapter, dictionary, task.labelled, features, count=EXCERPTS)
    into = input_scores(adapter, dictionary, found, count=task.promotes)
    out = output_scores(adapter, dictionary, features, task.contexts, count=task.promotes)
    tables = {"Scores": [spread("S_in, best head", into), spread("S_out, best head", out)]}
    tables["Scores"] += [spread(f"S_out, head {head}", out, head) for head in range(len(out[0].heads))]
    pushes = {
        feature: matched(
            adapter,
            feature_direction(dictionary, feature, used),
            task.contexts,
            (DOSE,),
            signs=(1,),
            operator="add",
            start=0.3 * used.norm,
        )[0].steering
        for feature in features
    }
    steered = {feature: push for feature, push in pushes.items() if push is not None}
    print(f"{len(features) - len(steered)} of {len(features)} features cannot be brought to {DOSE} nats")
    changes = effects(adapter, task, steered, dict(zip(features, found, strict=True)), dictionary)
    tables["Steering at 0.5 nats"] = filtered(
        changes, dict(zip(features, into, strict=True)), dict(zip(features, out, strict=True))
    )
    return tables


def draw(used: Usage, count: int, seed: int) -> list[int]:
    """Features that are neither dead nor dense, at random."""
    alive = torch.nonzero((used.density >= ALIVE[0]) & (used.density <= ALIVE[1])).flatten()
    order = torch.randperm(len(alive), generator=torch.Generator().manual_seed(seed))
    return sorted(alive[order[:count]].tolist())


def effects(
    adapter: AnyAdapter,
    task: Task,
    steered: Mapping[int, Steering],
    found: Mapping[int, Maximal],
    dictionary: SparseDictionary,
) -> dict[int, dict[str, float | None]]:
    """For each feature how far its outputs move; all features of a batch run in one call."""
    plain = task.generate(task.prompts)
    changes = {}
    for some in batches(list(steered), 8):
        rows = [steered[feature] for feature in some for _ in task.prompts]
        with steer(adapter, rows):
            made = task.generate([prompt for _ in some for prompt in task.prompts])
        for at, feature in enumerate(some):
            mine = made[at * len(plain) : (at + 1) * len(plain)]
            promoted = top_tokens(adapter, dictionary, [feature], count=task.promotes)[0]
            shares = [np.mean([share(one, promoted) for one in answered(adapter, side)]) for side in (mine, plain)]
            judged = [task.described(found[feature], side) for side in (mine, plain)] if found[feature].moments else []
            pairs = [(a, b) for a, b in zip(*judged, strict=True) if a is not None and b is not None] if judged else []
            moved = float(np.mean([a - b for a, b in pairs])) if pairs else None
            changes[feature] = {"promoted": float(shares[0] - shares[1]), "described": moved}
    return changes


def answered(adapter: AnyAdapter, outputs: Outputs) -> list[Tensor]:
    """The output tokens of samples, (tokens, heads) each."""
    found = []
    for one in outputs:
        reading = adapter.reading([one])
        found.append(adapter.tokens(reading)[0, reading.call.prompt :])
    return found


def share(tokens: Tensor, promoted: Tensor) -> float:
    """How many of the tokens a feature promotes, over all heads."""
    return float((tokens[:, :, None] == promoted).any(dim=-1).double().mean()) if len(tokens) else 0.0


def spread(name: str, scores: Sequence[FeatureScore], head: int | None = None) -> Row:
    """The distribution of a score over features."""
    values = [one.maximum if head is None else one.heads[head] for one in scores if one.heads]
    quarters = np.quantile(np.asarray(values, dtype=float), [0.1, 0.25, 0.5, 0.75, 0.9]) if values else [None] * 5
    low, first, median, third, high = (None if one is None else round(float(one), 4) for one in quarters)
    above = sum((value or 0.0) >= STEERABLE for value in values) / max(len(values), 1)
    return {
        "score": name, "n": len(values), "10 %": low, "25 %": first, "median": median, "75 %": third, "90 %": high,
        "share >= 0.01": round(above, 3),
    }  # fmt: skip


def filtered(
    changes: Mapping[int, Mapping[str, float | None]],
    into: Mapping[int, FeatureScore],
    out: Mapping[int, FeatureScore],
) -> list[Row]:
    """Mean effects of the features that each filter keeps."""
    known = list(changes)
    by_output = sorted(known, key=lambda feature: out[feature].maximum or 0.0)
    by_input = sorted((one for one in known if into[one].heads), key=lambda feature: into[feature].maximum or 0.0)
    kept = {
        "all": known,
        "S_out >= 0.01": [one for one in known if (out[one].maximum or 0.0) >= STEERABLE],
        "upper half by S_out": by_output[len(by_output) // 2 :],
        "lower half by S_out": by_output[: len(by_output) // 2],
        "upper half by S_in": by_input[len(by_input) // 2 :],
        "lower half by S_in": by_input[: len(by_input) // 2],
    }
    return [
        {"features": name, "n": len(some)}
        | {effect: str(mean_score([changes[one][effect] for one in some])) for effect in ("promoted", "described")}
        for name, some in kept.items()
    ]


def batches(values: list[int], size: int) -> list[list[int]]:
    """The values, a few at a time."""
    return [values[start : start + size] for start in range(0, len(values), size)]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", choices=("music", "vision"))
    parser.add_argument("--features", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    adapter = mmsteer.load(f"bundled:{options.model}")
    dictionary, used = bundled_dictionary(options.model), bundled_usage(options.model)
    tables = measure(adapter, dictionary, used, options.features, options.seed)
    minutes = (time.process_time() - began) / 60
    notes = [f"{options.features} features drawn with seed {options.seed}; {minutes:.1f} CPU minutes."]
    for path in write_report(f"latent_scores_{options.model}", tables, options.out, notes):
        print(path)


if __name__ == "__main__":
    main()
