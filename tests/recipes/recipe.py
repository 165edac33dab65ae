"""One small recipe, to be run on the tiny random model."""

TEXT = """\
kind: music
name: tiny
about: two notes, to test by
seed: 0
model: {load: MODEL, device: cpu, dtype: auto}
directions:
  - family: note
    probe: mean-difference
    data: {concept: note, clips: 8, seed: 0, text: prompt}
    sites: decoder.1-2
    positions: all
    pool: mean
data:
  - a slow piano melody
  - a fast flute melody
  - piano
generate: {seconds: 0.3, guidance: 3.0, temperature: 1.0, top_k: 0, batch: 2}
conditions:
  - name: "{note} at {strength}"
    sweep: {note: [C, F#], strength: [0.5]}
    steer: ["note:{note} {strength} fade-in 0..100%"]
    target: {note: "{note}"}
controls: {unsteered: true, random: 1}
evaluate: [notes]
"""


def write_recipe(folder, model="bundled:music", **replaced):
    text = TEXT.replace("MODEL", str(model))
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "tiny.yaml"
    path.write_text(text)
    return path
