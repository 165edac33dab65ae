"""One small vision recipe, to be run on a tiny random model."""

TEXT = """\
kind: image
name: tiny-vision
about: one direction, to test by
seed: 0
model: {load: MODEL, device: cpu, dtype: float32}
directions:
  - family: honest
    probe: mean-difference
    data: {contrast: captions, ending: shared, seed: 0, demos: {matched: true, scenes: {n: 6, split: demos, seed: 0}}}
    sites: text.*
    positions: all
    pool: last
data: {scenes: {n: 5, split: test, seed: 0}}
ask:
  caption: {prompt: describe the image, tokens: 8, temperature: 0.0, beams: 1, compat: fixed}
  pope: {splits: [random, adversarial], seed: 0, answer: logits, words: ["yes", "no"], tokens: 1, parser: strict}
batch: 2
conditions:
  - name: honest at {strength}
    sweep: {strength: [0.2, 2.0]}
    steer: ["honest:yes {strength} at all - first"]
controls: {unsteered: true, random: 2, wrong_image: true}
"""


def write_recipe(folder, model, **replaced):
    text = TEXT.replace("MODEL", str(model))
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "tiny-vision.yaml"
    path.write_text(text)
    return path
