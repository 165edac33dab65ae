"""Lines and files of text that are strange: read, or refused by one short error, in no time."""

import time
import tracemalloc

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
from mmsteer.eval.text import Reference, find_loop, longest_repeat, parse_instruction, parse_reward, parse_rubric
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
    "reward": parse_reward,
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
        ("steering", "note:C 1" + " at x" * 38_000),
        ("steering", f"note:C 1 weights top({'9' * 5000})"),
        ("positions", "." * 20_000),
        ("positions", "1" * 20_000),
        ("positions", "(" * 20_000),
        ("sites", "decoder.0-99999999999"),
        ("sites", "decoder.0-999999999"),
        ("sites", "decoder." + "9" * 20_000),
        ("recipe", "a: " + "[" * 100_000),
        ("recipe", 'a: "\\UFFFFFFFF"'),
        ("image", "0" * 50_000 + "x"),
        ("reward", "brief:" + "9" * 5000),
        ("reward", "instruction:max_words=" + "9" * 5000),
        ("reward", "instruction:min_keyword=a," + "9" * 5000),
        ("reward", "regex:" + "(" * 400),
        ("reward", "regex:]{999999999}"),
        ("reward", "regex:((a{1000}){1000}){1000}"),
    ],
)
def test_known_worst_lines_take_no_time(kind, text):
    seconds, said = tried(READ[kind], text)
    assert seconds < 2
    assert len(said) < 1500


@pytest.mark.parametrize(
    "unit", ["\n", "\n ", "\n#", "\n*> ", "rating", "rating:\n", "*", "rating*", "rating:*", "Rating: 2 "]
)
def test_verdicts_are_read_in_linear_time(unit):
    start = time.perf_counter()
    parse_rubric("fluency").read(unit * (1_000_000 // len(unit)))
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    "unit", ["[", "<<", "Mr. ", "p.m. a ", "1. ", "- ", "*", "a'", "(", '."', "\n", "\n ", "a ", "a b ", "****** "]
)
def test_answers_are_judged_in_linear_time(unit):
    text = unit * (100_000 // len(unit))
    checks = "title", "title_case", "json", "min_sentences=1", "min_placeholders=1", "min_highlights=1", "bullets=1"
    start = time.perf_counter()
    for check in checks:
        parse_instruction(check).follows(text)
    for reward in ("refusal", "exact", "choice"):
        parse_reward(reward)([text], [Reference("", "a", ("a", "b"))])
    find_loop(text)
    longest_repeat(text)
    assert time.perf_counter() - start < 10


def test_the_longest_repeat_takes_little_memory():
    tracemalloc.start()
    longest_repeat("a " * 10_000)
    assert tracemalloc.get_traced_memory()[1] < 30e6
    tracemalloc.stop()


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
