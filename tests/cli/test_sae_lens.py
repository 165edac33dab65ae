"""Every command on own data with the real language model and a dictionary that sae-lens has trained and saved."""

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mmsteer.sae.formats import read_dictionary
from tests.latents.owned import rows_file

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[1] / "sae" / "sae_lens" / "text.14"
ENDS = ("in the morning.", "as the rain falls.", "every Sunday.", "without a word.")
STARTS = {
    "sea": ("The waves roll over the harbour", "A ship sails past the island", "The gulls cry above the tide"),
    "town": ("The tram stops at the square", "A crowd waits for the museum", "The baker opens his shop"),
}
ANSWERS = {label: [f"{start} {end}" for start in starts for end in ENDS] for label, starts in STARTS.items()}
ASKED = (
    "Name a colour",
    "Count to three",
    "Say hello",
    "What is rain?",
    "Who are you?",
    "Name a fruit",
    "Why run?",
    "Sing",
    "Name a river",
    "What is a hat?",
    "Tell a story",
    "Where is north?",
)
REWARDED = ("--reward", "regex:^[A-L]", "--tokens", 3, "--json")


@pytest.fixture(scope="module")
def rows(smollm2, tmp_path_factory):
    del smollm2  # installed, and converted
    home = tmp_path_factory.mktemp("rows")
    rows = [
        {"id": f"{label} {at}", "prompt": ASKED[at], "answer": text, "label": label, "group": f"question {at}"}
        for label, texts in ANSWERS.items()
        for at, text in enumerate(texts)
    ]
    rows_file(
        home / "shown.jsonl", [*({**row, "label": None} for row in rows), {**rows[0], "id": "a", "label": "archetype"}]
    )
    return rows_file(home / "rows.jsonl", rows)


def test_it_computes_what_sae_lens_computes():
    known, dictionary = load_file(FOLDER / "computed.safetensors"), read_dictionary(FOLDER)
    codes = dictionary.encode(known["states"])
    torch.testing.assert_close(codes, known["codes"], rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(dictionary.decode(codes), known["decoded"], rtol=1e-4, atol=1e-2)
    assert 4 < (codes > 0).sum(dim=1).float().mean() < 40


METHODS = {
    "scores": ("scores", "--drawn", 2, "--tokens", 3, "--json"),
    "evaluate": ("evaluate", 0, 1, 33, "--tokens", 3, "--json"),
    "detect": ("detect", "--json"),
    "corrsteer": ("corrsteer", *REWARDED),
    "saif": ("saif", "--label", "sea", "--k", 2, "--least", 0, *REWARDED),
    "lf": ("lf", "--k", 3, "--label", "sea", *REWARDED),
    "effects": ("effects", "--target", "sae:33", "--rows", 4, "--random", 4, "--test", 2, "--tokens", 3, "--json"),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_ends_with_a_result(mmsteer, rows, name):
    command, *words = METHODS[name]
    code, out, err = mmsteer("sae", command, FOLDER, "--model", "bundled:text", "--data", rows, *words)
    assert code == 0, err
    assert json.loads(out)


def test_clamping_browsing_and_training(mmsteer, rows, tmp_path):
    on = ("--model", "bundled:text", "--data", rows)
    shown = ("--model", "bundled:text", "--data", rows.parent / "shown.jsonl")
    code, _, err = mmsteer("sae", "clamp", FOLDER, *shown, "--candidates", 2, *REWARDED)
    assert code == 0, err
    code, out, err = mmsteer("sae", "measure", FOLDER, *on)
    assert code == 0, err
    assert "128 features of width 576 at text.14" in out
    code, _, err = mmsteer("sae", "browse", FOLDER, *on, "--out", tmp_path / "page", "--features", 2, "--steered", 1)
    assert code == 0, err
    words = ("--site", "text.14", "--features", 16, "--k", 2, "--steps", 5, "--batch", 32, "--quiet")
    code, _, err = mmsteer("sae", "train", *on, "--out", tmp_path / "mine", *words)
    assert code == 0, err


def test_probing_generating_and_searching(mmsteer, rows, tmp_path):
    directions = tmp_path / "topic.safetensors"
    code, _, err = mmsteer("probe", "--model", "bundled:text", "--data", rows, "--out", directions)
    assert code == 0, err
    words = ("--directions", directions, "--steer", "rows:sea 0.1 on text.14", "--tokens", 4)
    code, _, err = mmsteer("generate", "--model", "bundled:text", "--prompt", "Write.", *words, "--compare")
    assert code == 0, err
    on = ("--model", "bundled:text", "--data", rows, "--directions", directions, "--name", "rows:sea")
    words = ("--reward", "contains:the", "--sites", "text.14", "--strengths", "0.1", "--tokens", 3)
    code, _, err = mmsteer("search", *on, *words, "--out", tmp_path / "s", "--quiet")
    assert code == 0, err
    cells = [json.loads(line) for line in (tmp_path / "s" / "cells.jsonl").read_text().splitlines()]
    assert {cell["kind"] for cell in cells} >= {"unsteered", "cell", "control"}
    assert all(math.isfinite(cell["kl"]) for cell in cells)
