"""The container beside the package `gguf`, and by hand."""

import struct
import time

import numpy as np
import pytest
import torch

from mmsteer.errors import DirectionError
from mmsteer.formats import load_directions, save_directions
from mmsteer.formats.gguf_file import gguf_bytes, read_gguf
from mmsteer.types import Direction, Site, SiteStats

gguf = pytest.importorskip("gguf", reason="uv sync --group text")


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


FLOATS = struct.pack("<2f", 3, 4)


def by_hand(direction="direction.2", kind=0, shape=(2,), data=FLOATS, architecture="controlvector"):
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + text("general.architecture") + struct.pack("<I", 8)
    info = text(direction) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, 0)
    whole = head + text(architecture) + info
    return whole + b"\0" * (-len(whole) % 32) + data


def test_a_file_written_by_hand(tmp_path):
    (tmp_path / "v.gguf").write_bytes(by_hand())
    (found,) = load_directions(tmp_path / "v.gguf").values()
    assert found.name == "v"
    assert found.stats[Site("text", 2)].length == 5
    torch.testing.assert_close(found.vectors[Site("text", 2)], torch.tensor([0.6, 0.8]))


def test_the_package_reads_what_is_written(tmp_path):
    sites = [Site("text", 1), Site("text", 30)]
    units = dict(zip(sites, torch.eye(48)[:2], strict=True))
    stats = {site: SiteStats(None, 0.0, 1.0, 1.0, None, 2.5 * (1 + at)) for at, site in enumerate(sites)}
    save_directions(tmp_path / "v.gguf", [Direction("style:pirate", units, stats, "m")], hint="llama")
    reader = gguf.GGUFReader(tmp_path / "v.gguf")
    assert {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF")} == {
        "general.architecture": "controlvector",
        "controlvector.model_hint": "llama",
        "controlvector.layer_count": 2,
        "general.name": "style:pirate",
    }
    assert [one.name for one in reader.tensors] == ["direction.1", "direction.30"]
    # What llama.cpp asks: one dimension, float32.
    assert all(
        one.shape.tolist() == [48] and one.tensor_type == gguf.GGMLQuantizationType.F32 for one in reader.tensors
    )
    np.testing.assert_array_equal(reader.tensors[1].data, 5 * torch.eye(48)[1].numpy())


@pytest.mark.parametrize("kind", ["F32", "F16"])
def test_what_the_package_writes_is_read(tmp_path, kind):
    writer = gguf.GGUFWriter(tmp_path / "v.gguf", "controlvector")
    writer.add_string("controlvector.model_hint", "qwen2")
    writer.add_uint32("controlvector.layer_count", 99)
    writer.add_array("extra.words", ["a", "b"])
    writer.add_array("extra.numbers", [1.5, 2.5])
    vectors = {layer: np.random.default_rng(layer).normal(size=24).astype(np.float32) for layer in (5, 1)}
    for layer, vector in vectors.items():
        writer.add_tensor(f"direction.{layer}", vector.astype(np.float16) if kind == "F16" else vector)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (found,) = load_directions(tmp_path / "v.gguf").values()
    assert found.provenance["model_hint"] == "qwen2"
    for layer, vector in vectors.items():
        got = found.vectors[Site("text", layer)] * found.stats[Site("text", layer)].length
        np.testing.assert_allclose(got.numpy(), vector, atol=2e-3 if kind == "F16" else 1e-6)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (by_hand(architecture="llama"), "is a GGUF of 'llama'"),
        (by_hand(direction="token_embd.weight"), "a control vector has direction.N"),
        (by_hand(direction="direction.-1"), "a control vector has direction.N"),
        (by_hand(direction="direction.01"), "a control vector has direction.N"),
        (by_hand(direction="direction.99999"), "no model has more than"),
        (by_hand(kind=2), "quantised"),
        (by_hand(shape=(1, 2)), r"\(2, 1\)"),
        (by_hand(shape=(2**62,)), "claim"),
        (by_hand(shape=(2**33, 2**33)), "claim"),
        (by_hand(shape=(0,)), "empty"),
        (by_hand(shape=(1,) * 5), "5 dimensions"),
        (by_hand(data=struct.pack("<2f", float("nan"), 1)), "not finite"),
        (by_hand(data=struct.pack("<2f", 0, 0)), "are zero"),
        (by_hand(data=b""), "ends at byte"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0), "claims 1152921504606846976 tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**40), "claims 1099511627776 fields"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "version"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a") + struct.pack("<IIQ", 9, 8, 2**50), "at most 1048576"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a") + struct.pack("<IIQ", 9, 10, 2**60), "are there"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a") + struct.pack("<IIQ", 9, 9, 2**60), "unknown type 9"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**63), "are there"),
        (b"pickle", "damaged"),
        (b"", "damaged"),
    ],
)
def test_hostile_files(tmp_path, file, message):
    path = tmp_path / "v.gguf"
    path.write_bytes(file)
    with pytest.raises(DirectionError, match=message) as caught:
        load_directions(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("lists", [1, 4])
def test_lists_of_texts_are_passed_over_up_to_a_million(tmp_path, lists):
    texts = 2**20 // lists
    field = struct.pack("<IIQ", 9, 8, texts) + bytes(8 * texts)
    path = tmp_path / "v.gguf"
    path.write_bytes(
        b"GGUF" + struct.pack("<IQQ", 3, 0, lists) + b"".join(text(str(one)) + field for one in range(lists))
    )
    start = time.monotonic()
    with pytest.raises(DirectionError, match="a GGUF of None"):
        load_directions(path)
    assert time.monotonic() - start < 5
    path.write_bytes(path.read_bytes().replace(field, struct.pack("<IIQ", 9, 8, texts + 1) + bytes(8 * texts + 8)))
    with pytest.raises(DirectionError, match="at most 1048576 are passed over"):
        load_directions(path)


def test_tensors_that_share_their_bytes_do_not_multiply_them(tmp_path):
    names = [f"direction.{at}" for at in range(1, 1001)]
    head = b"GGUF" + struct.pack("<IQQ", 3, len(names), 1) + text("general.architecture") + struct.pack("<I", 8)
    infos = b"".join(text(name) + struct.pack("<IQIQ", 1, 2**18, 0, 0) for name in names)
    (tmp_path / "v.gguf").write_bytes(head + text("controlvector") + infos + bytes(2**20))
    with pytest.raises(DirectionError, match="claim"):
        load_directions(tmp_path / "v.gguf")


def test_parts_of_easysteer_that_are_no_hidden_states(tmp_path):
    def write(native):
        fields = {"general.architecture": "controlvector", "controlvector.easysteer": native}
        (tmp_path / "v.gguf").write_bytes(gguf_bytes(fields, {"direction.3": torch.ones(4)}))

    write('{"version":1,"component":"hidden_states","metadata":null}')
    assert list(map(str, load_directions(tmp_path / "v.gguf")["v"].sites)) == ["text.3"]
    write('{"version":1,"component":"attention_heads","metadata":null}')
    with pytest.raises(DirectionError, match="'attention_heads'"):
        load_directions(tmp_path / "v.gguf")
    write("[NaN")
    with pytest.raises(DirectionError, match="easysteer"):
        load_directions(tmp_path / "v.gguf")


def test_the_order_of_dimensions_is_pytorchs(tmp_path):
    (tmp_path / "v.gguf").write_bytes(by_hand(shape=(2, 1)))
    assert read_gguf(tmp_path / "v.gguf").tensors["direction.2"].shape == (1, 2)
    assert load_directions(tmp_path / "v.gguf")["v"].stats[Site("text", 2)].length == 5
