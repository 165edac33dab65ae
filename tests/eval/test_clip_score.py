"""CLIPScore by a tiny model of open_clip's own class: random weights, saved to disk, loaded as any checkpoint is."""

import json
import sys

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from mmsteer.errors import EvalError
from mmsteer.eval.clip_score import PREFIX, clip_score

open_clip = pytest.importorskip("open_clip")

CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    where = tmp_path_factory.mktemp("clip")
    (where / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {}}))
    save_file(open_clip.CLIP(**CONFIG).state_dict(), where / "open_clip_model.safetensors")
    return where


@pytest.fixture(scope="module")
def pairs():
    colours = ["red", "green", "blue", "white", "grey", "black"]
    return [Image.new("RGB", (40, 30), colour) for colour in colours], [f"something {colour}" for colour in colours]


def test_it_is_the_published_formula(folder, pairs):
    """2.5 x max(cos, 0) of the model's own embeddings, one pair at a time."""
    images, texts = pairs
    score = clip_score(images, texts, folder, batch_size=4)
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    for image, text, value in zip(images, texts, score.values, strict=True):
        with torch.no_grad():
            one = model.eval().encode_image(preprocess(image)[None])
            other = model.encode_text(tokenizer([f"A photo depicts {text}"]))
        cosine = float(torch.nn.functional.cosine_similarity(one, other))
        assert value == pytest.approx(2.5 * max(cosine, 0), abs=1e-5)
    assert len(set(score.values)) > 1
    assert score.score.value == pytest.approx(sum(score.values) / 6)


def test_a_named_model_with_a_checkpoint_file(folder, pairs, tmp_path):
    configs = tmp_path / "configs"
    configs.mkdir()
    (configs / "mmsteer-tiny.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(configs)
    file = folder / "open_clip_model.safetensors"
    score = clip_score(*pairs, "mmsteer-tiny", file)
    assert score.values == pytest.approx(clip_score(*pairs, folder).values)
    assert score.model == f"mmsteer-tiny, {file}"


def test_long_texts_are_counted(folder, pairs):
    """Start, end, three words of the prefix and seven words are the 12 tokens that the model reads."""
    image = pairs[0][:1]
    fits, cut = "a " * 7, "a " * 8
    assert open_clip.get_tokenizer(f"local-dir:{folder}")([PREFIX + fits])[0, -1] != 0
    assert clip_score(image, [fits], folder).truncated == 0
    assert clip_score(image, [cut], folder).truncated == 1
    same = [clip_score(image, [cut + end], folder).values for end in ("cat", "dog")]
    assert same[0] == same[1], "what is cut does not count"


def test_an_empty_text_is_unscored(folder, pairs):
    score = clip_score(pairs[0][:2], [" ", "a cat"], folder)
    assert score.values[0] is None
    assert (score.score.n, score.score.unscored) == (1, 1)


def test_captions_of_a_file_are_scored_by_the_command(folder, pairs, tmp_path, mmsteer):
    for at, image in enumerate(pairs[0][:2]):
        image.save(tmp_path / f"{at}.png")
    rows = [{"image_id": at, "caption": text} for at, text in enumerate(pairs[1][:2])]
    (tmp_path / "said.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["eval", "clip-score", "--captions", tmp_path / "said.jsonl", "--images", tmp_path, "--model", folder]
    code, out, err = mmsteer(*words, "--json")
    assert code == 0, err
    expected = clip_score(*(some[:2] for some in pairs), folder).score
    assert json.loads(out)["score"]["value"] == pytest.approx(expected.value)
    (tmp_path / "1.png").unlink()
    assert "said.jsonl:2" in mmsteer(*words)[2]


def test_images_of_any_mode(folder):
    images = [Image.new(mode, (5, 9)) for mode in ("L", "CMYK", "RGBA", "P")]
    assert clip_score(images, ["a cat"] * 4, folder).score.n == 4


@pytest.mark.parametrize(
    ("model", "pretrained"),
    [
        ("ViT-B-32", "openai"),
        ("ViT-B-32", "nothing.pt"),
        ("NoSuchModel", "x"),
        ("hf-hub:no/no", None),
    ],
)
def test_what_cannot_be_loaded_offline(monkeypatch, pairs, model, pretrained):
    def offline(*_, **__):
        raise OSError("offline mode is enabled")

    monkeypatch.setattr("open_clip.factory.download_pretrained", offline)
    monkeypatch.setattr("open_clip.factory._get_hf_config", offline)
    with pytest.raises(EvalError, match=r"cannot be loaded .* give a folder with open_clip_config\.json"):
        clip_score(*pairs, model, pretrained)


def test_random_weights_are_refused(pairs):
    with pytest.raises(EvalError, match="'ViT-B-32' has no weights"):
        clip_score(*pairs, "ViT-B-32")


def test_open_clip_is_missing(monkeypatch, pairs):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(EvalError, match=r"pip install 'mmsteer\[clip\]'"):
        clip_score(*pairs, "ViT-B-32", "openai")


def test_pairs_must_pair_up(folder, pairs):
    with pytest.raises(EvalError, match="6 images and 1 texts"):
        clip_score(pairs[0], ["a cat"], folder)
