"""Whatever is wrong with a file, there is one clear error, and nothing in it runs."""

import json
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mmsteer.errors import DictionaryError
from mmsteer.sae import read_dictionary
from tests.sae.formats.layouts import (
    FEATURES,
    LAYOUTS,
    WIDTH,
    dictionary_learning,
    gemma_scope,
    llama_scope,
    sae_lens,
    sparsify,
)

WEIGHTS = ("sae_weights.safetensors", "sae.safetensors", "ae.pt", "params.npz", "checkpoints/final.safetensors")
ONE_EACH = (
    "sae-lens jumprelu",
    "sae-lens rescaled",
    "sparsify",
    "dictionary_learning BatchTopKSAE",
    "dictionary_learning AutoEncoder",
    "gemma scope",
    "llama scope",
)


def load(path):
    if path.suffix == ".npz":
        return {name: torch.from_numpy(value) for name, value in np.load(path).items()}
    return torch.load(path, weights_only=True) if path.suffix == ".pt" else load_file(path)


def store(path, tensors):
    whole = {name: value.contiguous() for name, value in tensors.items()}
    if path.suffix == ".npz":
        np.savez(path, **{name: value.numpy() for name, value in whole.items()})
    else:
        torch.save(whole, path) if path.suffix == ".pt" else save_file(whole, path)


def without(tensors):
    tensors.pop(next(iter(sorted(tensors))))
    return tensors


def with_more(tensors):
    return tensors | {"W_skip": torch.zeros(WIDTH, WIDTH)}


def bias(tensors):
    return next(name for name in ("b_dec", "decoder.bias", "bias") if name in tensors)


def with_nan(tensors):
    name = bias(tensors)
    return tensors | {name: torch.full_like(tensors[name], torch.nan)}


def narrower(tensors):
    return {name: value[..., : WIDTH - 1] if value.shape[-1:] == (WIDTH,) else value for name, value in tensors.items()}


def short_bias(tensors):
    name = "b_enc" if "b_enc" in tensors else "encoder.bias"
    return tensors | {name: tensors[name][:-1]}


def transposed(tensors):
    name = "W_dec" if "W_dec" in tensors else "decoder.weight"
    return tensors | {name: tensors[name].T}


def of_integers(tensors):
    return tensors | {bias(tensors): tensors[bias(tensors)].long()}


def flat(tensors):
    name = "W_dec" if "W_dec" in tensors else "decoder.weight"
    return tensors | {name: tensors[name].flatten()}


CHANGES = {
    without: "lacks",
    with_more: "W_skip.* too many",
    with_nan: "'(b_dec|(decoder.)?bias)' has numbers that are not finite",
    narrower: "the encoder is|it must be",
    short_bias: r"encoder_bias (is )?\(19,\)",
    transposed: "it must be|the encoder is",
    of_integers: "'(b_dec|(decoder.)?bias)' is .* int64",
    flat: "2 dimensions of floating point",
}


@pytest.mark.parametrize("layout", ONE_EACH)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_wrong_tensors(tmp_path, layout, change):
    LAYOUTS[layout](tmp_path)
    path = next(tmp_path / name for name in WEIGHTS if (tmp_path / name).exists())
    store(path, change(load(path)))
    with pytest.raises(DictionaryError, match=CHANGES[change]) as refused:
        read_dictionary(tmp_path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("layout", ONE_EACH)
@pytest.mark.parametrize("keep", [0, 1, 7, 100, 0.5, 0.99])
def test_cut_off_files(tmp_path, layout, keep):
    LAYOUTS[layout](tmp_path)
    path = next(tmp_path / name for name in WEIGHTS if (tmp_path / name).exists())
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(len(data) * keep)])
    with pytest.raises(DictionaryError, match=r"damaged|not what its name says"):
        read_dictionary(tmp_path)


@pytest.mark.parametrize("layout", ONE_EACH)
def test_noise(tmp_path, layout):
    LAYOUTS[layout](tmp_path)
    path = next(tmp_path / name for name in WEIGHTS if (tmp_path / name).exists())
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    with pytest.raises(DictionaryError, match=r"damaged|not what its name says"):
        read_dictionary(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(DictionaryError, match="no regular file"):
        read_dictionary(tmp_path)


class Trap:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_with_code_does_not_run(tmp_path, legacy):
    folder, mark = tmp_path / "dictionary", tmp_path / "mark"
    dictionary_learning(folder, "BatchTopKSAE")
    tensors = torch.load(folder / "ae.pt", weights_only=True)
    torch.save(tensors | {"k": Trap(mark)}, folder / "ae.pt", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(DictionaryError, match="could run any program"):
        read_dictionary(folder)
    (folder / "ae.pt").write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(DictionaryError, match="could run any program"):
        read_dictionary(folder)
    assert not mark.exists()


def test_an_array_of_objects_does_not_run(tmp_path):
    folder, mark = tmp_path / "dictionary", tmp_path / "mark"
    gemma_scope(folder)
    arrays = dict(np.load(folder / "params.npz"))
    np.savez(folder / "params.npz", **arrays | {"threshold": np.array([Trap(mark)], dtype=object)})
    with pytest.raises(DictionaryError, match="allow_pickle"):
        read_dictionary(folder)
    (folder / "params.npz").write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(DictionaryError, match="bare pickle"):
        read_dictionary(folder)
    with zipfile.ZipFile(folder / "params.npz", "w") as archive:
        archive.writestr("W_enc.npy", b"not an array")
    with pytest.raises(DictionaryError, match=r"params\.npz"):
        read_dictionary(folder)
    assert not mark.exists()


def test_a_checkpoint_of_something_else(tmp_path):
    dictionary_learning(tmp_path, "BatchTopKSAE")
    torch.save([torch.zeros(3)], tmp_path / "ae.pt")
    with pytest.raises(DictionaryError, match="no tensors by name"):
        read_dictionary(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[1]", "no JSON object but a list"),
        ("\xff\xfe", "not UTF-8"),
        ('{"architecture": "standard"}', "'d_in' is None"),
        ('{"architecture": 3}', "'architecture' is 3"),
        ('{"architecture": "transcoder"}', "'transcoder' with activation 'relu' is not read"),
        ('{"architecture": "topk", "d_in": 6, "d_sae": 20}', "'k' is None"),
        (
            '{"architecture": "topk", "d_in": 6, "d_sae": 20, "activation_fn_kwargs": [1]}',
            "must be there, of type dict",
        ),
        ('{"architecture": "topk", "d_in": 6, "d_sae": 20, "k": 99}', "k is 99; of 20 features"),
        ('{"architecture": "standard", "d_in": true, "d_sae": 20}', "'d_in' is True"),
        ('{"architecture": "standard", "d_in": 7, "d_sae": 20}', "says width 7 and 20 features"),
        ('{"architecture": "standard", "activation_fn": "tanh-relu"}', "activation 'tanh-relu' is not read"),
    ],
)
def test_wrong_configurations(tmp_path, text, message):
    sae_lens(tmp_path, "standard")
    (tmp_path / "cfg.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DictionaryError, match=message):
        read_dictionary(tmp_path)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("normalize_activations", "layer_norm"),
        ("normalize_activations", "expected_average_only_in"),
        ("normalize_activations", True),
        ("reshape_activations", "hook_z"),
        ("finetuning_scaling_factor", True),
        ("apply_b_dec_to_input", "yes"),
    ],
)
def test_what_sae_lens_cannot_say_exactly(tmp_path, entry, value):
    sae_lens(tmp_path, "standard", **{entry: value})
    with pytest.raises(DictionaryError, match=f"{entry}' is {value!r}"):
        read_dictionary(tmp_path)


def test_a_scaling_factor_is_not_dropped(tmp_path):
    sae_lens(tmp_path, "standard")
    path = tmp_path / "sae_weights.safetensors"
    save_file(load_file(path) | {"scaling_factor": torch.full((FEATURES,), 2.0)}, path)
    with pytest.raises(DictionaryError, match="scaling_factor is not one"):
        read_dictionary(tmp_path)


@pytest.mark.parametrize(
    ("entry", "value"), [("activation", "groupmax"), ("transcode", True), ("skip_connection", True), ("signed", True)]
)
def test_what_sparsify_cannot_say_exactly(tmp_path, entry, value):
    sparsify(tmp_path, **{entry: value})
    with pytest.raises(DictionaryError, match=f"'{entry}' is {value!r}"):
        read_dictionary(tmp_path)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("act_fn", "groupmax"),
        ("use_glu_encoder", True),
        ("apply_decoder_bias_to_pre_encoder", True),
        ("norm_activation", "token-wise"),
        ("jump_relu_threshold", "low"),
        ("jump_relu_threshold", True),
        ("d_model", None),
    ],
)
def test_what_llama_scope_cannot_say_exactly(tmp_path, entry, value):
    llama_scope(tmp_path, **{entry: value})
    with pytest.raises(DictionaryError, match=f"'{entry}' is {value!r}"):
        read_dictionary(tmp_path)


def test_llama_scope_is_one_dictionary_of_one_site(tmp_path):
    llama_scope(tmp_path / "a", hook_point_out="blocks.3.hook_mlp_out")
    with pytest.raises(DictionaryError, match="a transcoder is no dictionary"):
        read_dictionary(tmp_path / "a")
    llama_scope(tmp_path / "b", dataset_average_activation_norm={"in": 0.0, "out": 1.0})
    with pytest.raises(DictionaryError, match=r"mean norms of 0\.0 and 1\.0"):
        read_dictionary(tmp_path / "b")


@pytest.mark.parametrize("whole", [False, True])
def test_a_pickle_is_not_opened(tmp_path, whole):
    mark = tmp_path / "mark"
    path = tmp_path / "dictionary" / "sae_final_layer24_8x_norm.pkl"
    path.parent.mkdir()
    path.write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(DictionaryError, match=r"norm\.pkl is a pickle.*fc1\.weight\.T"):
        read_dictionary(path if whole else path.parent)
    assert not mark.exists()


def test_sites_and_classes_are_checked(tmp_path):
    dictionary_learning(tmp_path / "a", "BatchTopKSAE")
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    config["trainer"]["dict_class"] = "CrossCoder"
    (tmp_path / "a" / "config.json").write_text(json.dumps(config))
    with pytest.raises(DictionaryError, match="no reader for dict_class 'CrossCoder'"):
        read_dictionary(tmp_path / "a")
    (tmp_path / "a" / "config.json").unlink()
    with pytest.raises(DictionaryError, match=r"config\.json: cannot be read"):
        read_dictionary(tmp_path / "a")
    metadata = {"mmsteer": {"site": "nowhere", "model": None, "provenance": {}}}
    sae_lens(tmp_path / "b", "standard", metadata=metadata)
    with pytest.raises(DictionaryError, match="cannot read site 'nowhere'"):
        read_dictionary(tmp_path / "b")


def bomb(path, member, size):
    """A zip archive that unpacks to `size` zeros behind the header of a member."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made, made.open(member, "w", force_zip64=True) as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (size >> 20, 1 << 18)}
        )
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))


@pytest.mark.parametrize(
    ("layout", "name"), [("gemma scope", "params.npz"), ("dictionary_learning AutoEncoder", "ae.pt")]
)
def test_an_archive_that_unpacks_without_measure_is_refused(tmp_path, layout, name):
    LAYOUTS[layout](tmp_path)
    bomb(tmp_path / name, "W_enc.npy", 100 << 20)
    with pytest.raises(DictionaryError, match="unpacks to 104857"):
        read_dictionary(tmp_path)


def test_an_array_that_claims_more_than_there_is_is_refused_before_it_is_made(tmp_path):
    gemma_scope(tmp_path)
    with zipfile.ZipFile(tmp_path / "params.npz", "w") as made, made.open("W_enc.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (1 << 36,)})
    with pytest.raises(DictionaryError, match=r"W_enc.npy' claims 274877906944 bytes, 0 are there"):
        read_dictionary(tmp_path)


STRANGE = {
    "expanded": lambda: torch.ones(1).expand(40_000, 40_000),
    "sparse": lambda: torch.eye(FEATURES, WIDTH).to_sparse(),
    "sparse rows": lambda: torch.eye(FEATURES, WIDTH).to_sparse_csr(),
    "meta": lambda: torch.empty(FEATURES, WIDTH, device="meta"),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "scalar": lambda: torch.ones(()),
    "complex": lambda: torch.ones(FEATURES, WIDTH, dtype=torch.complex64),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", STRANGE)
def test_tensors_that_are_no_stored_numbers_are_refused(tmp_path, kind):
    dictionary_learning(tmp_path, "AutoEncoder")
    tensors = torch.load(tmp_path / "ae.pt", weights_only=True)
    torch.save(tensors | {"decoder.weight": STRANGE[kind]()}, tmp_path / "ae.pt")
    with pytest.raises(DictionaryError, match=r"ae.pt"):
        read_dictionary(tmp_path)


def test_a_transposed_tensor_is_read(tmp_path):
    written = dictionary_learning(tmp_path, "AutoEncoder")
    tensors = torch.load(tmp_path / "ae.pt", weights_only=True)
    tensors["decoder.weight"] = tensors["decoder.weight"].T.contiguous().T
    torch.save(tensors, tmp_path / "ae.pt")
    torch.testing.assert_close(read_dictionary(tmp_path).encode(written.h), written.z)


@pytest.mark.parametrize("name", ["gate_bias", "r_mag", "mag_bias"])
def test_gates_of_another_width_are_refused(tmp_path, name):
    dictionary_learning(tmp_path, "GatedAutoEncoder")
    tensors = torch.load(tmp_path / "ae.pt", weights_only=True)
    torch.save(tensors | {name: torch.ones(FEATURES + 1)}, tmp_path / "ae.pt")
    with pytest.raises(DictionaryError, match=r"is \(21,\), the encoder \(6, 20\); they do not fit"):
        read_dictionary(tmp_path)


@pytest.mark.parametrize("target", ["pipe", "/dev/zero"])
@pytest.mark.parametrize("layout", ONE_EACH)
def test_links_to_pipes_and_devices_are_refused_at_once(tmp_path, layout, target):
    LAYOUTS[layout](tmp_path)
    os.mkfifo(tmp_path / "pipe")
    for name in (*WEIGHTS, "cfg.json", "config.json", "hyperparams.json"):
        if (tmp_path / name).is_file():
            (tmp_path / name).rename(tmp_path / "kept")
            (tmp_path / name).symlink_to(tmp_path / target)
            with pytest.raises(DictionaryError, match="no regular file"):
                read_dictionary(tmp_path)
            (tmp_path / name).unlink()
            (tmp_path / "kept").rename(tmp_path / name)
