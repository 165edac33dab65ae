"""lmms-eval, run for real on a small LLaVA and images on disk."""

import json

import pytest
import torch
from PIL import Image

import mmsteer
from mmsteer.types import Direction, Site, SiteStats
from tests.adapters.checkpoints import save

pytest.importorskip("lmms_eval", reason="lmms-eval is not installed: make test-harness")
pytestmark = pytest.mark.filterwarnings("ignore")

from lmms_eval.evaluator import simple_evaluate  # noqa: E402
from lmms_eval.models import MODEL_REGISTRY_V2  # noqa: E402
from lmms_eval.models.registry_v2 import ModelRegistryV2  # noqa: E402
from lmms_eval.tasks import TaskManager  # noqa: E402

from mmsteer.errors import SteeringError  # noqa: E402
from mmsteer.harness.lmms_eval import MANIFEST, SteeredLlava  # noqa: E402

MODEL_REGISTRY_V2.register_manifest(MANIFEST, overwrite=True)

TASK = """
dataset_path: json
dataset_kwargs: {data_files: {test: ROWS}}
task: cups
test_split: test
output_type: generate_until
doc_to_visual: !function seen.images
doc_to_text: question
doc_to_target: answer
generation_kwargs: {max_new_tokens: 5}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""
SEEN = """
from PIL import Image

def images(row):
    return [Image.open(row["image"]).convert("RGB")]
"""
ROWS = [("describe the image", 200), ("is there a cup", 90), ("the table", 20)]


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    return save("llava", tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="module")
def directions(llava):
    adapter = mmsteer.load(llava)
    found = torch.randn(adapter.widths[Site("text", 1)], generator=torch.Generator().manual_seed(0))
    site = Site("text", 1)
    stats = {site: SiteStats(0.9, 0.0, 1.0, 1.0)}
    path = llava.parent / "seen.safetensors"
    mmsteer.save_directions(path, [Direction("seen:yes", {site: found / found.norm()}, stats, adapter.fingerprint)])
    return path


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    folder, rows = tmp_path_factory.mktemp("task"), []
    for index, (question, shade) in enumerate(ROWS):
        Image.new("RGB", (16, 16), (shade, 30, 255 - shade)).save(folder / f"{index}.png")
        rows.append({"question": question, "answer": "cup", "image": str(folder / f"{index}.png")})
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "cups.yaml").write_text(TASK.replace("ROWS", str(folder / "rows.jsonl")))
    (folder / "seen.py").write_text(SEEN)
    return folder


def answers(model, arguments, task, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(task / "cache"))
    found = simple_evaluate(
        model,
        model_args=arguments,
        tasks=["cups"],
        batch_size=1,
        device="cpu",
        bootstrap_iters=0,
        task_manager=TaskManager(include_path=str(task), include_defaults=False),
    )
    return [one["filtered_resps"] for one in sorted(found["samples"]["cups"], key=lambda one: one["doc_id"])]


def test_strength_0_is_the_harnesss_own_model_and_more_is_not(llava, directions, task, monkeypatch):
    own = answers("llava_hf", f"pretrained={llava},device_map=cpu", task, monkeypatch)
    assert answers("mmsteer", f"pretrained={llava}", task, monkeypatch) == own
    given = f"pretrained={llava},directions={directions},steer=seen:yes"
    assert answers("mmsteer", f"{given} 0", task, monkeypatch) == own
    steered = answers("mmsteer", f"{given} 6 at generated | last", task, monkeypatch)
    assert len(steered) == 3
    assert all(one != other for one, other in zip(steered, own, strict=True))


def test_steered_answers_are_those_of_a_plain_loop(llava, directions, task, monkeypatch):
    line = "seen:yes 6 at generated | last"
    found = answers("mmsteer", f"pretrained={llava},directions={directions},steer={line}", task, monkeypatch)
    adapter, expected = mmsteer.load(llava), []
    for question, shade in ROWS:
        image = Image.new("RGB", (16, 16), (shade, 30, 255 - shade))
        parts = [{"type": "image"}, {"type": "text", "text": question}]
        text = adapter.processor.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True)
        inputs = adapter.processor(images=[image], text=text, return_tensors="pt")
        with mmsteer.steer(adapter, line, directions):
            made = adapter.model.generate(**inputs, max_new_tokens=5, do_sample=False)
        expected.append([adapter.processor.decode(made[0, inputs.input_ids.shape[1] :], skip_special_tokens=True)])
    assert found == expected


def test_a_request_that_cannot_be_steered_is_no_empty_answer(llava, directions, task, monkeypatch):
    given = f"pretrained={llava},directions={directions},steer=seen:yes 6 window(90steps..95steps)"
    with pytest.raises(SteeringError, match="is 0 at each of the 5 steps"):
        answers("mmsteer", given, task, monkeypatch)


def test_given_answers_are_not_scored_steered(llava, directions):
    model = SteeredLlava(str(llava), directions=str(directions), steer="seen:yes 6", device="cpu")
    with pytest.raises(SteeringError, match="where the answer begins"):
        model.loglikelihood([])


def test_the_entry_point_makes_the_model_known(entry_points):
    registry = ModelRegistryV2()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(entry_points))
        registry.load_entrypoint_manifests()
    assert registry.get_model_class("mmsteer") is SteeredLlava
