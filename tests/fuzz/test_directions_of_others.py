"""Damaged files of other libraries: read, or refused by one error that names the file."""

import io
import json
import os
import resource
import time
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save

from mmsteer.errors import DirectionError
from mmsteer.formats import Places, load_directions
from mmsteer.formats.gguf_file import gguf_bytes
from mmsteer.tensor_files import read_pt
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
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data.replace(b"\x80\x02}", bytes((0x80, protocol)) + b"}"))
    assert str(load_directions(path)) == str(usual)


def test_a_pickle_that_ends_within_a_number(tmp_path):
    path = tmp_path / "v.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("v/data.pkl", b"\x80\x02j\x00")
        archive.writestr("v/version", b"3\n")
    with pytest.raises(DirectionError, match="not enough data"):
        load_directions(path)


def _pickled(path, pickled):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("v/data.pkl", b"\x80\x02" + pickled + b".")
    return path


DOUBLED = b"K\x01\x85q\x00" + b"".join(b"h" + bytes((n,)) + b"\x86q" + bytes((n + 1,)) for n in range(40))
LARGE = b"J\0\0\0\x7f\x85R"  # called with 2 thousand million
GROWING = {
    "bytes": b"cbuiltins\nbytearray\n" + LARGE,
    "tensor": b"ctorch\nTensor\n" + LARGE,
    "storage": b"ctorch.storage\nUntypedStorage\n" + LARGE,
    "typed storage": b"ctorch._utils\n_rebuild_tensor_v2\n(ctorch.storage\nTypedStorage\n" + LARGE + b"K\0))\x89NtR",
    "key": b"}" + DOUBLED + b"K\x01s",
    "set": b"cbuiltins\nset\n](" + DOUBLED + b"e\x85R",
    "name of a storage": b"((X\x07\0\0\0storage" + DOUBLED + b"X\x01\0\0\0" + b"0NK\x01tQ",
    "list of lists": b"]q\x00" + b"h\x00a" * 40,
}


@pytest.mark.parametrize("kind", GROWING)
def test_a_pickle_that_grows_is_refused_before_it_does(tmp_path, kind):
    path, before = _pickled(tmp_path / "v.pt", GROWING[kind]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    with pytest.raises(DirectionError, match=r"v\.pt .*(more than tensors|in two places)"):
        load_directions(path)
    assert time.monotonic() - start < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 2**18  # KiB


def test_a_pickle_that_is_long_or_shows_its_numbers_too_often(tmp_path):
    with pytest.raises(DirectionError, match="its pickle has"):
        load_directions(_pickled(tmp_path / "v.pt", b"N" * 2**20))
    wide = torch.ones(2**20, 4)
    torch.save([wide.T] * 40, tmp_path / "v.pt")  # 40 copies where each is made contiguous
    with pytest.raises(DirectionError, match="too often"):
        load_directions(tmp_path / "v.pt", places=Places(layers="1-40"))


def test_what_modules_and_later_dtypes_write_is_read(tmp_path):
    kept = torch.nn.Linear(4, 1)
    saved = {
        "layer_activations": {1: kept.weight.detach().to(torch.float8_e4m3fn), 2: kept.weight, 3: torch.ones(9)[::2]},
        "about": [kept.state_dict(), torch.Size((1, 2)), torch.float16, 2**40, -1, 0.5, None, ("a", True)],
    }
    torch.save(saved, tmp_path / "v.pt")
    read = read_pt(tmp_path / "v.pt", DirectionError)
    assert read["about"][1:] == saved["about"][1:]
    for key, tensor in saved["layer_activations"].items():
        assert torch.equal(read["layer_activations"][key].float(), tensor.float())
    assert all(torch.equal(read["about"][0][name], kept.state_dict()[name]) for name in ("weight", "bias"))


@pytest.mark.parametrize("ending", ["safetensors", "pt", "gguf", "npz", "svec"])
def test_a_pipe_is_refused_before_it_is_read(tmp_path, ending):
    os.mkfifo(tmp_path / f"v.{ending}")
    with pytest.raises(DirectionError, match=r"no regular file|is no file"):
        load_directions(tmp_path / f"v.{ending}")


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
