"""Every layout gives the activations and reconstruction of the library that owns it."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from mmsteer.errors import DictionaryError
from mmsteer.sae import TopK, Training, read_dictionary, train_dictionary, write_sae_lens
from mmsteer.sae.dictionary import _SHAPES
from mmsteer.sae.source import Held, Shuffled
from mmsteer.types import Site
from tests.sae.formats.layouts import (
    FEATURES,
    KINDS,
    LAYOUTS,
    WIDTH,
    dictionary_learning,
    gemma_scope,
    sae_lens,
    sparsify,
)
from tests.sae.test_dictionary import hand


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_is_read_as_its_library_reads_it(tmp_path, layout):
    written = LAYOUTS[layout](tmp_path / "dictionary")
    found = read_dictionary(written.folder)
    assert (found.width, found.features) == (WIDTH, FEATURES)
    # Were bias, gate, threshold or transpose another, half of the activations would differ by more than 0.1.
    assert_close(found.encode(written.h), written.z, atol=1e-4, rtol=1e-4)
    assert_close(found.reconstruct(written.h), written.reconstruction, atol=1e-4, rtol=1e-4)
    assert found.provenance["format"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_was_read_is_written_for_sae_lens(tmp_path, layout):
    found = read_dictionary(LAYOUTS[layout](tmp_path / "dictionary").folder)
    placed = replace(found, site=Site("text", 3, "mlp"), model="abc")
    write_sae_lens(tmp_path / "again", placed)
    again = read_dictionary(tmp_path / "again")
    h = torch.randn(100, WIDTH, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.encode(h), found.encode(h))
    assert torch.equal(again.reconstruct(h), found.reconstruct(h))
    assert (again.site, again.model) == (placed.site, "abc")
    assert dict(again.provenance) == dict(placed.provenance)


def test_half_precision_files_are_read(tmp_path):
    written = sae_lens(tmp_path, "jumprelu")
    path = tmp_path / "sae_weights.safetensors"
    save_file({name: value.bfloat16() for name, value in load_file(path).items()}, path)
    assert_close(read_dictionary(tmp_path).decoder, load_file(path)["W_dec"].float())
    assert written.folder == tmp_path


def test_a_trained_dictionary_goes_to_disk_and_back(tmp_path):
    states = torch.randn(256, 8, generator=torch.Generator().manual_seed(0))
    trained = train_dictionary(Shuffled(Held(states), batch=64), TopK(2), Training(16, 4), site=Site("decoder", 1))
    write_sae_lens(tmp_path / "trained", trained)
    again = read_dictionary(tmp_path / "trained")
    assert all(torch.equal(getattr(again, name), getattr(trained, name)) for name in _SHAPES)
    assert (again.k, again.site, again.model) == (2, Site("decoder", 1), None)
    assert again.provenance == trained.provenance


def test_nothing_is_overwritten_unasked(tmp_path):
    write_sae_lens(tmp_path, hand())
    with pytest.raises(DictionaryError, match="holds a dictionary"):
        write_sae_lens(tmp_path, hand())
    write_sae_lens(tmp_path, replace(hand(), k=1), overwrite=True)
    assert read_dictionary(tmp_path).k == 1


def test_a_folder_holds_one_dictionary(tmp_path):
    with pytest.raises(DictionaryError, match="has no dictionary; a folder has one of"):
        read_dictionary(tmp_path)
    sae_lens(tmp_path, "topk")
    gemma_scope(tmp_path)
    with pytest.raises(DictionaryError, match=r"has sae_weights.safetensors and params.npz"):
        read_dictionary(tmp_path)


@pytest.mark.parametrize("architecture", ["standard", "topk", "jumprelu", "gated"])
def test_sae_lens_itself_agrees(tmp_path, architecture):
    library = pytest.importorskip("sae_lens", reason="sae-lens is not installed")
    written = sae_lens(tmp_path / "theirs", architecture)
    theirs = library.SAE.load_from_disk(written.folder)
    ours = read_dictionary(written.folder)
    with torch.no_grad():
        assert_close(ours.encode(written.h), theirs.encode(written.h), atol=1e-4, rtol=1e-4)
        assert_close(ours.reconstruct(written.h), theirs(written.h), atol=1e-4, rtol=1e-4)
        theirs.save_model(tmp_path / "saved")
        assert_close(read_dictionary(tmp_path / "saved").decoder, ours.decoder)
        write_sae_lens(tmp_path / "ours", ours)
        assert_close(library.SAE.load_from_disk(tmp_path / "ours")(written.h), ours.reconstruct(written.h))


def test_sparsify_itself_agrees(tmp_path):
    library = pytest.importorskip("sparsify", reason="eai-sparsify is not installed")
    written = sparsify(tmp_path / "theirs")
    theirs = library.SparseCoder.load_from_disk(written.folder)
    ours = read_dictionary(written.folder)
    with torch.no_grad():
        assert_close(ours.reconstruct(written.h), theirs(written.h).sae_out, atol=1e-4, rtol=1e-4)
        theirs.save_to_disk(tmp_path / "saved")
        assert_close(read_dictionary(tmp_path / "saved").decoder, ours.decoder)


@pytest.mark.parametrize("kind", KINDS)
def test_dictionary_learning_itself_agrees(tmp_path, kind):
    library = pytest.importorskip("dictionary_learning.utils", reason="dictionary-learning is not installed")
    written = dictionary_learning(tmp_path / "theirs", kind)
    theirs, _ = library.load_dictionary(str(written.folder), "cpu")
    with torch.no_grad():
        assert_close(read_dictionary(written.folder).reconstruct(written.h), theirs(written.h), atol=1e-4, rtol=1e-4)
