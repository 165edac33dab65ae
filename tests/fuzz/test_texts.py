"""Lines and files of text that are strange: read, or refused by one short error, in no time."""

import time

import pytest
import torch

import mmsteer
from mmsteer.data.contrasts import read_demos
from mmsteer.direction_file import load_directions, save_directions
from mmsteer.document import parse_document
from mmsteer.errors import MmsteerError
from mmsteer.eval.audio import read_audio
from mmsteer.eval.chair_data import image_name, read_captions
from mmsteer.eval.pope import read_questions
from mmsteer.images import read_image
from mmsteer.recipes.loading import load_document
from mmsteer.schedules import parse_schedule
from mmsteer.steering.names import lines
from mmsteer.types import Positions, Site, SiteStats, select_sites
from tests.fuzz.mutations import SECONDS, cases, strange_file, strange_text

SITES = [Site("decoder", layer) for layer in range(4)]
WORDS = {
    "steering": "note:C 0.1token fade-in 0..4s at generated & 0..4s on decoder.0-2 by add when note:C > 1.5; x 8%",
    "schedule": "sum(fade-in 0..4s, 0.5 * points(0: 1, 2s: 0.3))",
    "positions": "generated & 0..4s | (prompt - last)",
    "sites": "decoder.0-2, decoder.3.block",
    "recipe": "kind: music\nconditions:\n- name: 'C at {s}'\n  steer: [note:C {s}]\n  sweep: {s: [0.1, 1e-2]}\n",
    "override": "conditions.0.steer=[note:C 1]",
    "image": "/a/COCO_val2014_000000000042.jpg",
}


def directions():
    stats = {site: SiteStats(1.0, 0.0, 1.0, 1.0) for site in SITES}
    vectors = dict.fromkeys(SITES, torch.tensor([1.0, 0.0]))
    return {name: mmsteer.Direction(name, vectors, stats, "sha256:abc", {}) for name in ("note:C", "x")}


READ = {
    "steering": lambda text: [mmsteer.api.parse_steering(one, directions()) for one in lines(text)],
    "schedule": parse_schedule,
    "positions": Positions,
    "sites": lambda text: select_sites(text, SITES),
    "recipe": lambda text: parse_document(text, "f"),
    "override": lambda text: load_document("demo", [text]),
    "image": image_name,
}


def tried(read, given):
    """How long it takes to read or refuse something, and what is said."""
    start, said = time.perf_counter(), ""
    try:
        read(given)
    except MmsteerError as error:
        said = str(error)
    return time.perf_counter() - start, said


@pytest.mark.parametrize("kind", WORDS)
def test_strange_lines(kind):
    for number, rng in enumerate(cases(2 * SECONDS / len(WORDS))):
        text = strange_text(WORDS[kind], rng)
        seconds, said = tried(READ[kind], text)
        assert seconds < 5, f"case {number}: {text[:200]!r}"
        assert len(said) < 8000, f"case {number}: {text[:200]!r}"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("steering", "note:C 0.1" + " " * 20_000 + "x\nx"),
        ("steering", ";" * 20_000),
        ("steering", '"' * 20_000 + ";" * 20_000),
        ("steering", "note:C " + "." * 20_000),
        ("positions", "." * 20_000),
        ("positions", "1" * 20_000),
        ("positions", "(" * 20_000),
        ("sites", "decoder.0-99999999999"),
        ("sites", "decoder.0-999999999"),
        ("sites", "decoder." + "9" * 20_000),
        ("recipe", "a: " + "[" * 100_000),
        ("recipe", 'a: "\\UFFFFFFFF"'),
        ("image", "0" * 50_000 + "x"),
    ],
)
def test_known_worst_lines_take_no_time(kind, text):
    seconds, said = tried(READ[kind], text)
    assert seconds < 2
    assert len(said) < 1500


def _image(path):
    from PIL import Image

    Image.effect_noise((32, 32), 50).save(path)


def _audio(path):
    import numpy as np
    import soundfile

    soundfile.write(path, np.sin(np.arange(4000) / 9), 16000)


QUESTION = b'{"question_id": 1, "image": "1.jpg", "text": "Is there a dog?", "label": "yes"}\n'
DEMO = b'{"image": "1.png", "question": "What?", "value": "a dog", "h_value": "a cat"}\n'
FILES = {
    "a.png": (_image, read_image),
    "a.jpg": (_image, read_image),
    "a.webp": (_image, read_image),
    "a.gif": (_image, read_image),
    "a.tif": (_image, read_image),
    "a.wav": (_audio, read_audio),
    "a.flac": (_audio, read_audio),
    "a.mp3": (_audio, read_audio),
    "a.safetensors": (lambda path: save_directions(path, directions().values()), load_directions),
    "questions.jsonl": (lambda path: path.write_bytes(QUESTION * 3), read_questions),
    "captions.json": (lambda path: path.write_bytes(b'[{"image_id": 1, "caption": "a dog"}]'), read_captions),
    "demos.jsonl": (lambda path: path.write_bytes(DEMO), lambda path: read_demos(path, path.parent)),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FILES)
def test_strange_files(name, tmp_path):
    write, read = FILES[name]
    _image(tmp_path / "1.png")
    write(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for number, rng in enumerate(cases(2 * SECONDS / len(FILES))):
        (tmp_path / name).write_bytes(strange_file(whole, rng))
        seconds, said = tried(read, tmp_path / name)
        assert seconds < 10, f"case {number}"
        assert len(said) < 8000, f"case {number}"
