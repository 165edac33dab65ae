"""`mmsteer sae`, on a small random model and a few seconds of noise."""

import json

import numpy as np
import pytest
import soundfile
import torch

from mmsteer.direction_file import save_directions
from mmsteer.sae import SparseDictionary, read_dictionary, write_sae_lens
from mmsteer.sae.formats.usage_file import read_usage
from mmsteer.types import Direction, Site, SiteStats


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A folder of four clips, each with a text."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    for at in range(4):
        soundfile.write(folder / f"{at}.wav", 0.1 * rng.standard_normal(8000), 16000)
        (folder / f"{at}.txt").write_text("a slow piano melody")
    return folder


@pytest.fixture
def small():
    generator = torch.Generator().manual_seed(0)
    decoder = torch.nn.functional.normalize(torch.randn(12, 8, generator=generator), dim=1)
    zeros = torch.zeros
    return SparseDictionary(decoder.T.contiguous(), zeros(12), decoder, zeros(8), zeros(12), None, Site("text", 1), "m")


@pytest.fixture
def written(small, tmp_path):
    write_sae_lens(tmp_path / "small", small)
    return tmp_path / "small"


def refused(result) -> str:
    """The one line of an error that was foreseen."""
    code, _, err = result
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


LOOK = ("train", "measure", "convert", "browse", "decompose", "scores", "evaluate", "flow", "detect")
STEER = ("clamp", "corrsteer", "saif", "lf", "effects", "hallucination", "attributes")


@pytest.mark.parametrize("command", LOOK + STEER)
def test_help_teaches_by_example(mmsteer, command):
    code, out, _ = mmsteer("sae", command, "--help")
    assert code == 0
    assert f"mmsteer sae {command}" in out.split("Usage", 1)[1].split("\n", 1)[1]


def test_train_measure_browse(mmsteer, musicgen_folder, clips, tmp_path):
    out = tmp_path / "mine"
    model, data = ["--model", musicgen_folder], ["--data", clips, "--samples", 4]
    size = ["--features", 16, "--k", 2, "--steps", 20, "--batch", 32, "--tokens", 16, "--quiet"]
    train = ["sae", "train", "--site", "decoder.1", "--out", out, *model, *data, *size]
    code, told, err = mmsteer(*train)
    assert code == 0, err
    assert "fraction of variance unexplained" in told
    found = read_dictionary(out)
    assert (found.k, found.site, found.features) == (None, Site("decoder", 1), 16)
    # One clip of four is for judging.
    assert read_usage(out, 16).rows == 3 * 16
    assert not (out / "training.safetensors").exists()
    assert "is not overwritten" in refused(mmsteer(*train))

    code, told, err = mmsteer("sae", "measure", out, *model, *data, "--tokens", 16)
    assert code == 0, err
    assert "loss recovered" in told

    page = tmp_path / "features"
    browse = ["sae", "browse", out, "--out", page, *model, *data, "--features", 2, "--steered", 0]
    code, told, err = mmsteer(*browse)
    assert (code == 0 and (page / "features.html").is_file()) or "no feature is active" in err
    assert "--model" in refused(mmsteer("sae", "measure", out))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--site", "decoder.1", "--architecture", "topp"], "no architecture 'topp'; choose from batchtopk"),
        (["--site", "decoder.9"], "no site decoder.9 in this model; it has decoder.0"),
        (["--site", "nowhere"], "nowhere"),
        (["--site", "decoder.1", "--data", "a", "--store", "b"], "give --store or --data, not both"),
        (["--site", "decoder.1", "--data", "missing"], "there is no folder missing"),
    ],
)
def test_train_refuses_before_it_computes(mmsteer, musicgen_folder, tmp_path, words, message):
    result = mmsteer("sae", "train", "--model", musicgen_folder, "--out", tmp_path / "new", "--steps", 20, *words)
    assert message in refused(result)
    assert not (tmp_path / "new").exists()


def test_convert_keeps_the_function(mmsteer, small, tmp_path):
    """The layout of sparsify takes the decoder's bias off before the encoder; what is written need not."""
    from safetensors.torch import save_file

    bias, source = torch.arange(8.0), tmp_path / "sparsify"
    source.mkdir()
    tensors = {"encoder.weight": small.encoder.T.contiguous(), "encoder.bias": torch.zeros(12)}
    save_file(tensors | {"W_dec": small.decoder, "b_dec": bias}, source / "sae.safetensors")
    (source / "cfg.json").write_text(json.dumps({"d_in": 8, "k": 3, "num_latents": 12}))
    code, told, err = mmsteer("sae", "convert", source, tmp_path / "out", "--site", "text.1")
    assert code == 0, err
    assert "12 features of width 8 at text.1, the 3 largest" in told
    found, h = read_dictionary(tmp_path / "out"), torch.randn(5, 8, generator=torch.Generator().manual_seed(1))
    by_hand = (h - bias) @ small.encoder
    z = by_hand.relu()
    kept = z.topk(3).indices
    assert torch.allclose(found.encode(h), torch.zeros_like(z).scatter(1, kept, z.gather(1, kept)), atol=1e-4)


@pytest.mark.parametrize("damage", ["cut", "width", "none"])
def test_convert_refuses_broken_files(mmsteer, written, tmp_path, damage):
    weights = written / "sae_weights.safetensors"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:100])
    elif damage == "width":
        config = json.loads((written / "cfg.json").read_text())
        (written / "cfg.json").write_text(json.dumps(config | {"d_in": 9}))
    else:
        weights.unlink()
    assert str(written) in refused(mmsteer("sae", "convert", written, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_convert_never_overwrites(mmsteer, written):
    assert "not overwritten" in refused(mmsteer("sae", "convert", written, written))


def test_decompose_finds_the_sum(mmsteer, written, small, tmp_path):
    """3 of feature 5 less 4 of feature 9: both come back with their signs."""
    vector = 3 * small.decoder[5] - 4 * small.decoder[9]
    site, norm = Site("text", 1), float(vector.norm())
    planted = Direction("x:sum", {site: vector / norm}, {site: SiteStats(0.9, 0.0, 1.0, 1.0)}, "m")
    save_directions(tmp_path / "x.safetensors", [planted])
    words = ["sae", "decompose", written, "--directions", tmp_path / "x.safetensors"]
    code, told, err = mmsteer(*words, "--name", "x:sum", "--terms", 8, "--json")
    assert code == 0, err
    terms = {row["feature"]: row["coefficient"] for row in json.loads(told)["x:sum, signed pursuit"]}
    assert terms.get(5, 0) > 0 > terms[9]
    assert "no direction 'y'; choose from x:sum" in refused(mmsteer(*words, "--name", "y"))


def test_decompose_tells_every_direction_beside_a_random_vector(mmsteer, written, small, tmp_path):
    site = Site("text", 1)
    planted = Direction("x:row", {site: small.decoder[5]}, {site: SiteStats(0.9, 0.0, 1.0, 1.0)}, "m")
    save_directions(tmp_path / "x.safetensors", [planted])
    words = ["sae", "decompose", written, "--directions", tmp_path / "x.safetensors", "--terms", 1, "--json"]
    code, told, err = mmsteer(*words)
    assert code == 0, err
    [rows] = json.loads(told).values()
    assert [row["direction"] for row in rows] == ["x:row", "random vector (control)"]
    assert rows[0]["explained, signed"] == pytest.approx(1.0, abs=1e-5)
    assert rows[1]["explained, signed"] < 0.9
    assert "no direction ships for" in refused(mmsteer("sae", "decompose", written))


def test_flow_follows_a_twin(mmsteer, written, small, tmp_path):
    write_sae_lens(tmp_path / "next", small.at(Site("text", 2), "m"))
    drawing = tmp_path / "flow.svg"
    words = ["sae", "flow", written, tmp_path / "next", "--site", "text.1", "--feature", 4, "--drawing", drawing]
    code, told, err = mmsteer(*words)
    assert code == 0, err
    assert "text.2:4" in told
    assert drawing.read_text().lstrip().startswith("<")
    assert "is not overwritten" in refused(mmsteer(*words))


def test_scores_wants_features_that_are_there(mmsteer, written):
    assert "no feature 12; the dictionary has 0 to 11" in refused(mmsteer("sae", "scores", written, 3, 12))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["corrsteer", "bundled:vision", "--reward", "note:C"], "'note:C' reads audio, and this model makes text"),
        (["corrsteer", "bundled:music", "--reward", "grounded"], "'grounded' reads text, and this model makes audio"),
        (["corrsteer", "bundled:music", "--reward", "mood"], "no reward 'mood'; write such as contains:Arr of text"),
        (["lf", "bundled:music", "--reward", "note:C", "--tokens", "9"], "--tokens does not apply"),
        (
            ["corrsteer", "bundled:vision", "--reward", "grounded", "--variant", "Q"],
            "no variant 'Q'; choose from S, A, P",
        ),
        (["saif", "bundled:vision", "--reward", "yes_no"], "world asks for 'yes_no'; choose brief:14"),
        (["saif", "bundled:music", "--reward", "note:C"], "world asks for 'note:C'; choose instrument:NAME"),
        (["saif", "bundled:music", "--reward", "instrument:tuba"], "no reward 'instrument:tuba' of audio"),
        (["lf", "missing", "--reward", "grounded"], "missing"),
        (["detect", "bundled:music", "--concept", "mood"], "no concept 'mood'; choose from note"),
        (["attributes", "bundled:music", "--concept", "mood"], "'mood' is not read from audio"),
        (
            ["clamp", "bundled:music", "--reward", "note:C", "--multiples", "one"],
            "--multiples 'one' is no list of numbers",
        ),
        (["effects", "bundled:vision", "--target", "object:unicorn"], "no effect 'object:unicorn' is measured here"),
        (["hallucination", "bundled:vision", "--methods", "MAGIC"], "no method 'MAGIC'; choose from effect, SAVE"),
        (["hallucination", "bundled:music"], "this model writes no captions; for music: mmsteer sae attributes"),
        (["attributes", "bundled:vision"], "this model makes no audio; for captions: mmsteer sae hallucination"),
        (["evaluate", "bundled:vision", "384"], "no feature 384; the dictionary has 0 to 383"),
    ],
)
def test_methods_refuse_what_they_cannot_do(mmsteer, words, message):
    assert message in refused(mmsteer("sae", *words))


def test_results_are_never_written_over(mmsteer, tmp_path):
    there = tmp_path / "there.json"
    there.write_text("mine")
    words = ["sae", "saif", "bundled:vision", "--reward", "brief:14", "--out"]
    assert "is not overwritten" in refused(mmsteer(*words, there))
    assert "there is no folder" in refused(mmsteer(*words, tmp_path / "nowhere" / "new.json"))
    assert there.read_text() == "mine"


@pytest.mark.parametrize("command", ["saif", "lf"])
def test_instructions_and_sides_stand_beside_controls(mmsteer, tmp_path, command):
    out = tmp_path / "told.json"
    reward, n = {"saif": ("brief:14", 24), "lf": ("grounded", 80)}[command]
    code, _, err = mmsteer("sae", command, "bundled:vision", "--reward", reward, "--n", n, "--out", out)
    assert code == 0, err
    told = json.loads(out.read_text())
    conditions = [
        row["condition"]
        for row in next(rows for title, rows in told.items() if "prompts" in title or "Without" in title)
    ]
    assert conditions[:2] == ["unsteered", "steered"]
    assert conditions[-1] == "random features"
    assert told["Features"]
