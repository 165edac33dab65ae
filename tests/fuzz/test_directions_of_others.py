"""Damaged files of other libraries: read, or refused by one error that names the file."""

import io
import json
import time
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save

from mmsteer.errors import DirectionError
from mmsteer.formats import Places, load_directions
from mmsteer.formats.gguf_file import gguf_bytes
from tests.fuzz.mutations import SECONDS, cases, damaged, strange_file

FIELDS = {"general.architecture": "controlvector", "controlvector.model_hint": "llama", "controlvector.layer_count": 2}


def _saved(write):
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


VECTORS = {layer: torch.arange(1.0, 9.0) * layer for layer in (1, 2, 30)}
NAMED = {f"layer_{layer}": vector for layer, vector in VECTORS.items()}
WHOLE = {
    "v.gguf": gguf_bytes(FIELDS, {f"direction.{layer}": vector for layer, vector in VECTORS.items()}),
    "v.svec": json.dumps(
        {"model_type": "llama", "directions": {str(layer): [one.tolist()] for layer, one in VECTORS.items()}}
    ).encode(),
    "v.pt": _saved(lambda file: torch.save(VECTORS, file)),
    "tables.pt": _saved(lambda file: torch.save({1: {"a": torch.ones(4)}}, file)),
    "v.npz": _saved(lambda file: np.savez(file, **{name: vector.numpy() for name, vector in NAMED.items()})),
    "v.npy": _saved(lambda file: np.save(file, np.ones((3, 8), np.float32))),
    "v.safetensors": save(NAMED),
}


@pytest.mark.parametrize("name", WHOLE)
def test_damaged_files_are_read_or_refused(name, tmp_path):
    path, places = tmp_path / name, Places(layers="1-3" if name == "v.npy" else None)
    path.write_bytes(WHOLE[name])
    assert load_directions(path, places=places)
    refused = 0
    for number, rng in enumerate(cases(2 * SECONDS / len(WHOLE))):
        hurt = strange_file if name.endswith("svec") else damaged
        path.write_bytes(hurt(WHOLE[name], rng))
        start = time.monotonic()
        said = str(path)
        try:
            load_directions(path, places=places)
        except DirectionError as error:
            refused, said = refused + 1, str(error)
        assert str(path) in said, f"case {number}"
        assert len(said) < 3000, f"case {number}"
        assert time.monotonic() - start < 5, f"case {number}"
    assert refused


@pytest.mark.parametrize("protocol", [3, 91])
def test_a_pickle_of_another_version(tmp_path, protocol):
    path = tmp_path / "v.pt"
    torch.save(VECTORS, path)
    usual = load_directions(path)
    path.write_bytes(path.read_bytes().replace(b"\x80\x02}", bytes((0x80, protocol)) + b"}"))
    assert str(load_directions(path)) == str(usual)


def test_a_pickle_that_ends_within_a_number(tmp_path):
    path = tmp_path / "v.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("v/data.pkl", b"\x80\x02j\x00")
        archive.writestr("v/version", b"3\n")
    with pytest.raises(DirectionError, match="unpack requires"):
        load_directions(path)


def test_an_old_name_of_a_type(tmp_path):
    path = tmp_path / "v.npy"
    path.write_bytes(WHOLE["v.npy"].replace(b"<f4", b"<a4"))
    with pytest.raises(DirectionError, match="'a' was deprecated"):
        load_directions(path, places=Places(layers="1-3"))


def test_archives_that_unpack_to_more_than_they_are(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb, bomb.open("layer_1.npy", "w") as one:
        np.lib.format.write_array_header_1_0(one, {"descr": "<f4", "fortran_order": False, "shape": (2**26,)})
        for _ in range(2**8):
            one.write(bytes(2**20))
    assert path.stat().st_size < 2**20
    with pytest.raises(DirectionError, match="unpacks to"):
        load_directions(path)


@pytest.mark.parametrize("count", [2**40, 10**30])
def test_absurd_layers(tmp_path, count):
    (tmp_path / "v.svec").write_text(json.dumps({"directions": {str(count): [[1.0]]}}))
    with pytest.raises(DirectionError):
        load_directions(tmp_path / "v.svec")
    torch.save({count % 2**62: torch.ones(2)}, tmp_path / "v.pt")
    with pytest.raises(DirectionError, match="no model has more"):
        load_directions(tmp_path / "v.pt")
    expanded = torch.ones(1).expand(2**40)
    torch.save({1: expanded}, tmp_path / "e.pt")
    with pytest.raises(DirectionError, match="of which the file holds"):
        load_directions(tmp_path / "e.pt")
