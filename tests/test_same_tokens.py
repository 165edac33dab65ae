"""One steering, one prompt: plain Python, lm-evaluation-harness, inspect_ai, the server and the studio give the same.

A part whose library is missing skips.
"""

import gc
import re
from html import unescape

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import mmsteer
from mmsteer import Sampling
from mmsteer.direction_file import save_directions
from tests.adapters.checkpoints import TEXT, tokenizer
from tests.conftest import TALK_TEMPLATE, saying

PROMPT = "is there a cup : describe the image"
TOKENS = 12
LINE = {
    "small": "word:cup 3 points(2steps:0, 8steps:1) at generated on text.1-2",
    "bundled:text": "word:sea 8 points(2steps:0, 8steps:1) at generated on text.10-20",
}


@pytest.fixture(scope="module", params=["small", pytest.param("bundled:text", marks=pytest.mark.slow)])
def case(request, tmp_path_factory):
    """A model, a file of directions, a line, and what plain Python makes of them."""
    folder = tmp_path_factory.mktemp("same")
    name = _small(folder / "model") if request.param == "small" else request.param
    adapter, line = mmsteer.load(name), LINE[request.param]
    word = line.split()[0].removeprefix("word:")
    save_directions(folder / "words.safetensors", [saying(adapter, word, f"word:{word}")])
    with mmsteer.steer(adapter, line, folder / "words.safetensors"):
        (made,) = adapter.generate([PROMPT], Sampling(TOKENS, temperature=0.0))
    (plain,) = adapter.generate([PROMPT], Sampling(TOKENS, temperature=0.0))
    assert made.output != plain.output
    return name, folder, line, made.output


def _small(folder):
    words = tokenizer(chat_template=TALK_TEMPLATE)
    torch.manual_seed(3)
    model = LlamaForCausalLM(LlamaConfig(**TEXT | {"vocab_size": len(words)}))
    model.lm_head.weight.data[2] = -1.0  # no answer ends by itself
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return str(folder)


def test_the_command_line(case, mmsteer):
    name, folder, line, expected = case
    words = ["generate", "--model", name, "--prompt", PROMPT, "--tokens", TOKENS, "--temperature", 0]
    code, out, _ = mmsteer(*words, "--directions", folder / "words.safetensors", "--steer", line)
    assert code == 0
    assert out.split("applied:")[0].removeprefix("steered:").strip() == expected


@pytest.mark.filterwarnings("ignore")
def test_lm_eval(case):
    pytest.importorskip("lm_eval")
    from lm_eval.api.instance import Instance

    from mmsteer.harness.lm_eval import SteeredLM

    name, folder, line, expected = case
    model = SteeredLM(name, directions=str(folder / "words.safetensors"), steer=line, device="cpu")
    context = model.apply_chat_template([{"role": "user", "content": PROMPT}])
    asked = Instance("generate_until", {}, (context, {"until": [], "max_gen_toks": TOKENS}), 0, task_name="t", doc_id=0)
    assert model.generate_until([asked], disable_tqdm=True)[0].strip() == expected


@pytest.mark.filterwarnings("ignore")
def test_inspect_ai(case, tmp_path):
    pytest.importorskip("inspect_ai")
    from inspect_ai import Task, eval
    from inspect_ai.dataset import Sample
    from inspect_ai.model import get_model

    import mmsteer.harness.inspect_ai  # noqa: F401  # registers the provider, as its entry point does

    name, folder, line, expected = case
    given = {"directions": str(folder / "words.safetensors"), "steer": line, "do_sample": False, "device": "cpu"}
    model = get_model(f"mmsteer/{name}", memoize=False, **given)
    (log,) = eval(Task([Sample(PROMPT)]), model, log_dir=str(tmp_path), display="none", max_tokens=TOKENS)
    assert log.status == "success", log.error
    assert log.samples[0].output.completion.strip() == expected
    gc.collect()  # the streams that inspect_ai leaves open, here, where warnings are let be


def test_the_server(case):
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    from mmsteer.serving.admission import Catalog
    from tests.serving.conftest import serving

    name, folder, line, expected = case
    known = mmsteer.load_directions(folder / "words.safetensors")
    with serving(mmsteer.load(name), Catalog("model", known)) as client:
        status, _, body = client.chat(PROMPT, model="model", steer=line, max_tokens=TOKENS)
    assert (status, body["choices"][0]["message"]["content"]) == (200, expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_studio(case):
    """What the page's button does, its curve given as the text that a drawing becomes."""
    pytest.importorskip("gradio")
    from mmsteer.studio.page import SLOTS, Page
    from mmsteer.studio.workshop import Workshop

    name, folder, line, expected = case
    workshop = Workshop(folder, (name,))
    workshop.load(name)
    workshop.read("words.safetensors")
    direction, strength, *_ = line.split()
    schedule, more = re.search(r"(points\(.*\)) (at .*)", line).groups()
    slots = [direction, float(strength), schedule, more] + ["", 0.1, "", ""] * (SLOTS - 1)
    *_, (html, receipt, status) = Page(workshop)._compare(PROMPT, None, TOKENS, 0, 0, *slots)
    assert (status, receipt.startswith(line.split(" on ")[0])) == ("done", True)
    steered = re.search(r'<figure class="steered">.*?<p>(.*?)</p>', html, re.DOTALL)[1]
    assert unescape(re.sub(r"<[^>]+>", "", steered)).split() == expected.split()
