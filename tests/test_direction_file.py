import json
import pickle
import random
import zipfile
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import mmsteer.direction_file
from mmsteer.direction_file import load_directions, save_directions
from mmsteer.errors import DirectionError
from mmsteer.types import Direction, Feature, NormSpread, Site, SiteStats, Sketch


def direction(name="note:C", layers=(0, 3), width=4, score=0.75):
    vectors, stats = {}, {}
    for layer in layers:
        draw = torch.randn(width, generator=torch.Generator().manual_seed(layer))
        vectors[Site("decoder", layer)] = draw / draw.norm()
        stats[Site("decoder", layer)] = SiteStats(score, 0.1, 0.2, 12.5 + layer)
    return Direction(name, vectors, stats, "sha256:abc", {"probe": "mean_difference", "n": "120"})


def same(one, two):
    return (
        (one.name, one.model, one.stats, one.provenance) == (two.name, two.model, two.stats, two.provenance)
        and list(one.vectors) == list(two.vectors)
        and all(torch.equal(one.vectors[site], two.vectors[site]) for site in one.sites)
    )


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "notes.safetensors"
    save_directions(path, [direction(), direction("note:D|x", (1,), score=None)])
    return path


def rewrite(path, change=None, vectors=None, text=None):
    """Save the file's parts again with a changed header or changed vectors."""
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}
        header = json.loads(file.metadata()["mmsteer"])
    if change:
        change(header)
    if vectors:
        vectors(tensors)
    text = json.dumps(header) if text is None else text
    known = all(tensor.dtype in {torch.float32, torch.float64} for tensor in tensors.values())
    digest = mmsteer.direction_file._digest(text, tensors) if known else ""
    save_file(tensors, path, {"mmsteer": text, "sha256": digest})


def refused(path, message):
    with pytest.raises(DirectionError, match=message) as caught:
        load_directions(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_equal_directions_are_equal_files(tmp_path):
    for number in range(8):
        save_directions(tmp_path / str(number), [direction(), direction("note:D|x", (1,), score=None)])
    assert len({(tmp_path / str(number)).read_bytes() for number in range(8)}) == 1


def test_directions_come_back_as_they_were(saved):
    loaded = load_directions(saved)
    assert list(loaded) == ["note:C", "note:D|x"]
    assert same(loaded["note:C"], direction())
    assert same(loaded["note:D|x"], direction("note:D|x", (1,), score=None))


def test_vectors_of_every_token_come_back_as_they_were(tmp_path):
    site = Site("vision", 0, "mlp")
    tokens = torch.stack([torch.eye(4)[0], torch.zeros(4), torch.eye(4)[2]])
    saved = Direction("vti", {site: tokens}, {site: SiteStats(None, 0.0, 1.0, 1.0)}, "m")
    save_directions(tmp_path / "a", [saved])
    assert same(load_directions(tmp_path / "a")["vti"], saved)


def test_the_spread_of_norms_comes_back_and_older_files_have_none(tmp_path):
    plain = direction(layers=(0,))
    (site,) = plain.sites
    spread = replace(plain, stats={site: replace(plain.stats[site], norms=NormSpread(9.5, 20.25, 1234))})
    save_directions(tmp_path / "a", [spread])
    assert same(load_directions(tmp_path / "a")["note:C"], spread)

    def without(header):
        del header["directions"]["note:C"]["stats"]["decoder.0"]["norms"]

    rewrite(tmp_path / "a", without)
    older = load_directions(tmp_path / "a")["note:C"].stats[site]
    assert (older.residual_norm, older.norms) == (12.5, None)


def test_vectors_that_share_memory_are_saved(tmp_path):
    vector = torch.eye(4)[0]
    sites = [Site("decoder", 0), Site("decoder", 1)]
    shared = Direction("a", dict.fromkeys(sites, vector), dict.fromkeys(sites, SiteStats(1.0, 0, 0, 1)), "m")
    save_directions(tmp_path / "a", [shared])
    assert same(load_directions(tmp_path / "a")["a"], shared)


def test_a_file_is_not_overwritten_unless_told(saved):
    before = saved.read_bytes()
    with pytest.raises(DirectionError, match="overwrite=True"):
        save_directions(saved, [direction("other")])
    assert saved.read_bytes() == before
    save_directions(saved, [direction("other")], overwrite=True)
    assert list(load_directions(saved)) == ["other"]


def test_a_failed_write_leaves_the_old_file_and_no_draft(saved, monkeypatch):
    before = saved.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DirectionError, match="No space left"):
        save_directions(saved, [direction("other")], overwrite=True)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_two_of_one_name_or_none_are_refused(tmp_path):
    for directions in ([], [direction(), direction()]):
        with pytest.raises(DirectionError, match="each of its own name"):
            save_directions(tmp_path / "x", directions)


def test_numbers_that_are_not_finite_are_not_written(tmp_path):
    with pytest.raises(DirectionError, match=r"not written: directions\.note:C\.stats\.decoder\.0\.score"):
        save_directions(tmp_path / "x", [direction(score=float("nan"))])
    assert not list(tmp_path.iterdir())


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(DirectionError, match="cannot be written: No such file"):
        save_directions(tmp_path / "no" / "x", [direction()])


def test_missing_folder_and_empty(tmp_path):
    refused(tmp_path / "none", "does not exist")
    refused(tmp_path, "is a folder")
    (tmp_path / "empty").touch()
    refused(tmp_path / "empty", "is empty")


class Bomb:
    def __reduce__(self):
        return (open, ("exploded", "w"))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_is_named_and_never_run(tmp_path, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.safetensors"
    path.write_bytes(pickle.dumps(Bomb(), protocol))
    refused(path, "is a pickle; mmsteer never unpickles")
    assert not (tmp_path / "exploded").exists()


def test_files_of_torch_save_are_named(tmp_path):
    torch.save({"v": torch.ones(3)}, tmp_path / "new.pt")
    assert zipfile.is_zipfile(tmp_path / "new.pt")
    refused(tmp_path / "new.pt", "torch.save writes it: a pickle; mmsteer never unpickles")
    torch.save({"v": torch.ones(3)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    refused(tmp_path / "old.pt", "is a pickle")


def test_a_header_of_640_bytes_is_not_taken_for_a_pickle(tmp_path):
    for padding in range(2000):
        path = tmp_path / "d"
        padded = direction()
        padded.provenance["padding"] = "x" * padding
        save_directions(path, [padded], overwrite=True)
        if path.read_bytes()[:2] in {b"\x80\x02", b"\x80\x03", b"\x80\x04"}:
            assert same(load_directions(path)["note:C"], padded)
            return
    pytest.fail("no header began like a pickle")


@pytest.mark.parametrize("content", [b"x", b"hello world, this is text", b"\xff" * 64, b"\0" * 64, b"{}" * 40])
def test_what_is_no_safetensors(tmp_path, content):
    path = tmp_path / "x"
    path.write_bytes(content)
    refused(path, "damaged or no safetensors file")


def test_safetensors_of_somebody_else(tmp_path):
    path = tmp_path / "x"
    for metadata in (None, {"format": "pt"}):
        save_file({"weight": torch.ones(3)}, path, metadata)
        refused(path, "no 'mmsteer' header")


def test_too_large_is_refused_before_reading(tmp_path):
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(2**30 + 1)
    refused(path, "at most 1073741824")


def test_another_version_or_format(saved):
    rewrite(saved, lambda header: header.update(version=2, surprise=1))
    refused(saved, "version 2; this mmsteer reads 'mmsteer directions' version 1")
    rewrite(saved, lambda header: header.update(version=1, format="weights"))
    refused(saved, "format 'weights'")


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h.update(extra=1),
        lambda h: h.update(version="1"),
        lambda h: h.pop("directions"),
        lambda h: h["directions"]["note:C"].pop("model"),
        lambda h: h["directions"]["note:C"].update(model=3),
        lambda h: h["directions"]["note:C"].update(code="import os"),
        lambda h: h["directions"]["note:C"]["provenance"].update(n=3),
        lambda h: h["directions"]["note:C"]["stats"]["decoder.0"].update(mean="0.5"),
        lambda h: h["directions"]["note:C"]["stats"]["decoder.0"].update(mean=float("nan")),
        lambda h: h["directions"]["note:C"]["stats"]["decoder.0"].update(spread=float("inf")),
        lambda h: h["directions"]["note:C"]["stats"]["decoder.0"].update(mean=None),
    ],
)
def test_a_header_that_is_not_as_expected(saved, change):
    rewrite(saved, change)
    refused(saved, "the header is not as expected")


@pytest.mark.parametrize("text", ["", "null", "[]", "{", "[" * 100_000, '"' + "x" * 1000, "\0"])
def test_a_header_that_is_no_json_object(saved, text):
    rewrite(saved, text=text)
    refused(saved, "the header is not as expected")


def test_a_header_too_long(saved, monkeypatch):
    monkeypatch.setattr(mmsteer.direction_file, "MAX_HEADER", 10)
    refused(saved, "at most 10 are read")


def test_vectors_and_header_name_the_same_sites(saved):
    rewrite(saved, vectors=lambda tensors: tensors.update({"note:C|decoder.9": torch.eye(4)[0]}))
    refused(saved, r"'note:C\|decoder.9' is not both in the header and among the vectors")
    rewrite(saved, vectors=lambda tensors: [tensors.pop("note:C|decoder.9"), tensors.pop("note:C|decoder.0")])
    refused(saved, r"'note:C\|decoder.0' is not both")


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (torch.full((4,), float("nan")), "the norm is nan"),
        (torch.tensor([float("inf"), 0, 0, 0]), "the norm is inf"),
        (torch.ones(4), "the norm is 2, not 1"),
        (torch.zeros(4), "the norm is 0"),
        (torch.ones(0), "the norm is 0"),
        (torch.eye(4)[:1, None], r"is F32 \[1, 1, 4\]; a direction is \(width,\) or \(tokens, width\) F32"),
        (torch.stack([torch.eye(4)[0], torch.ones(4)]), "the norm is 2, not 1"),
        (torch.tensor(1.0), r"is F32 \[\]"),
        (torch.eye(4, dtype=torch.float64)[0], "is F64"),
        (torch.eye(4, dtype=torch.bfloat16)[0], "is BF16"),
        (torch.zeros(4).to(torch.float8_e4m3fn), "is F8_E4M3"),
    ],
)
def test_a_vector_that_is_no_direction(saved, vector, message):
    rewrite(saved, vectors=lambda tensors: tensors.update({"note:C|decoder.0": vector}))
    refused(saved, message)


@pytest.mark.parametrize("site", ["decoder", "decoder.*", "decoder.03", "decoder.٣", "decoder." + "9" * 150, ""])
def test_a_site_that_is_none(saved, site):
    def change(header):
        stats = header["directions"]["note:C"]["stats"]
        stats[site] = stats.pop("decoder.0")

    def move(tensors):
        tensors[f"note:C|{site}"] = tensors.pop("note:C|decoder.0")

    rewrite(saved, change, move)
    refused(saved, "cannot read site|several sites|is written|not as expected")


def test_a_wrong_checksum(saved):
    data = saved.read_bytes()
    # The lowest bit of the last number: far below the tolerance of the norm.
    saved.write_bytes(data[:-4] + bytes([data[-4] ^ 1]) + data[-3:])
    refused(saved, "its checksum does not fit its content")


def loads_the_same_or_is_refused(path, data, wanted):
    path.write_bytes(data)
    try:
        loaded = load_directions(path)
    except DirectionError:
        return
    assert list(loaded) == list(wanted)
    assert all(same(loaded[name], wanted[name]) for name in wanted)


def test_truncation_anywhere_is_a_direction_error(tmp_path):
    path = tmp_path / "x"
    save_directions(path, [direction(width=300), direction("b", range(6))])
    data = path.read_bytes()
    for size in range(0, len(data), 97):
        path.write_bytes(data[:size])
        with pytest.raises(DirectionError):
            load_directions(path)
    path.write_bytes(data + b"more")
    with pytest.raises(DirectionError):
        load_directions(path)


def test_random_bytes_give_an_error_or_the_same_directions(saved):
    data, wanted = saved.read_bytes(), load_directions(saved)
    rng = random.Random(0)
    for _ in range(800):
        damaged = bytearray(data)
        for _ in range(rng.choice([1, 1, 1, 2, 8])):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        loads_the_same_or_is_refused(saved, bytes(damaged), wanted)


def test_flipped_bits_of_the_start_gives_an_error_or_the_same_directions(saved):
    data, wanted = saved.read_bytes(), load_directions(saved)
    for bit in range(0, 8 * 120, 2):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        loads_the_same_or_is_refused(saved, bytes(damaged), wanted)


def featured():
    plain = direction(layers=(0,))
    site = plain.sites[0]
    read = Feature(torch.tensor([1.0, 2.0, 3.0, 4.0]), -0.25, 0.5)
    return Direction("sae:7", plain.vectors, plain.stats, plain.model, plain.provenance, {site: read})


def test_features_come_back_as_they_were(tmp_path):
    path, one = tmp_path / "f.safetensors", featured()
    save_directions(path, [one, direction()])
    back = load_directions(path)
    (feature,), (before,) = back["sae:7"].features.values(), one.features.values()
    assert torch.equal(feature.encoder, before.encoder)
    assert (feature.bias, feature.threshold) == (-0.25, 0.5)
    assert not back["note:C"].features


def test_a_feature_without_its_encoder_is_refused(tmp_path):
    path = tmp_path / "f.safetensors"
    save_directions(path, [featured()])
    rewrite(path, vectors=lambda tensors: tensors.pop("sae:7|decoder.0|encoder"))
    refused(path, "'sae:7|decoder.0|encoder' is not both in the header and among the vectors")


def test_an_encoder_of_another_width_is_refused(tmp_path):
    path = tmp_path / "f.safetensors"
    save_directions(path, [featured()])
    rewrite(path, vectors=lambda tensors: tensors.update({"sae:7|decoder.0|encoder": torch.ones(3)}))
    refused(path, "an encoder of")


SKETCH = Sketch("72701c9e1d4abd25", torch.tensor([0.5, -1.25, float("nan")], dtype=torch.bfloat16))


def test_the_sketch_of_a_model_is_kept_once(tmp_path):
    path = tmp_path / "notes.safetensors"
    save_directions(path, [replace(direction(name), sketch=SKETCH) for name in ("note:C", "note:D")])
    found = load_directions(path, compatibility="architecture")
    for one in found.values():
        assert one.sketch.architecture == SKETCH.architecture
        assert torch.equal(one.sketch.numbers.view(torch.int16), SKETCH.numbers.view(torch.int16))
        assert one.compatibility == "architecture"
    with safe_open(path, framework="pt") as file:
        assert list(json.loads(file.metadata()["mmsteer"])["models"]) == ["sha256:abc"]


def test_files_without_a_sketch_are_read(saved):
    def older(header):
        del header["models"]

    rewrite(saved, older)
    found = load_directions(saved)
    assert {(one.sketch, one.compatibility) for one in found.values()} == {(None, "exact")}
    with pytest.raises(DirectionError, match="no compatibility 'any'"):
        load_directions(saved, compatibility="any")


def test_a_damaged_sketch_is_refused(tmp_path):
    path = tmp_path / "notes.safetensors"
    save_directions(path, [replace(direction(), sketch=SKETCH)])
    rewrite(path, lambda header: header["models"]["sha256:abc"].update(sketch="AAAA"))
    refused(path, "the sketch of model 'sha256:abc' is not as expected")
