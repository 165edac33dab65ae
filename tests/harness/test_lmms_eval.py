"""lmms-eval, run for real on a small LLaVA and images on disk."""

import json
import os
import subprocess
import sys

import pytest
import torch
from PIL import Image

import mmsteer
from mmsteer.types import Direction, Site, SiteStats
from tests.adapters.checkpoints import save

pytest.importorskip("lmms_eval", reason="lmms-eval is not installed: docs/harnesses.md")
pytestmark = pytest.mark.filterwarnings("ignore")

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
    adapter = mmsteer.load(llava, dtype="bfloat16")
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


def answers(model, arguments, task, entry_points, out):
    words = ["--model", model, "--model_args", arguments, "--tasks", "cups", "--include_path", str(task)]
    words += ["--batch_size", "1", "--output_path", str(out), "--log_samples", "--device", "cpu"]
    paths = f"{entry_points}:{os.environ.get('PYTHONPATH', '')}"
    environment = {**os.environ, "PYTHONPATH": paths, "HF_DATASETS_CACHE": str(task / "cache")}
    code = "from lmms_eval.__main__ import cli_evaluate; cli_evaluate()"
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, cwd=out.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
    (file,) = out.rglob("*samples_cups.jsonl")
    return [json.loads(line)["filtered_resps"] for line in file.read_text().splitlines()]


def test_strength_0_is_the_harnesss_own_model_and_more_is_not(llava, directions, task, entry_points, tmp_path):
    own = answers("huggingface", f"pretrained={llava},device_map=cpu", task, entry_points, tmp_path / "own")
    given = f"pretrained={llava},directions={directions},steer=seen:yes"
    assert answers("mmsteer", f"{given} 0", task, entry_points, tmp_path / "zero") == own
    steered = answers("mmsteer", f"{given} 6 at generated | last", task, entry_points, tmp_path / "steered")
    assert len(steered) == 3
    assert all(one != other for one, other in zip(steered, own, strict=True))
