"""inspect_ai, run for real on a small model: the provider's own answers at strength 0, others where it is steered."""

import json
import os
import subprocess
import sys

import pytest

from mmsteer.errors import SteeringError

pytest.importorskip("inspect_ai", reason="inspect_ai is not installed: make test-harness")
pytestmark = pytest.mark.filterwarnings("ignore")

from inspect_ai import Task, eval  # noqa: E402
from inspect_ai.dataset import Sample  # noqa: E402
from inspect_ai.model import get_model  # noqa: E402
from inspect_ai.scorer import includes  # noqa: E402

import mmsteer.harness.inspect_ai  # noqa: E402, F401  # registers the provider, as its entry point does

QUESTIONS = ["the cup is", "is there a cup : user describe the image", "the image shows a table"]


def task():
    samples = [Sample(question, target="cup", id=str(index)) for index, question in enumerate(QUESTIONS)]
    return Task(samples, scorer=includes())


def answers(name, folder, tmp_path, **arguments):
    model = get_model(name, memoize=False, **{"do_sample": False, "device": "cpu"} | arguments)
    (log,) = eval(task(), model, log_dir=str(tmp_path), display="none", max_tokens=6)
    assert log.status == "success", log.error
    return [sample.output.completion for sample in log.samples], log.results.scores[0].metrics["accuracy"].value


def test_strength_0_is_the_own_provider_and_more_is_not(folder, file, tmp_path):
    own = answers(f"hf/{folder}", folder, tmp_path)
    for given in ({}, {"directions": file, "steer": "says:yes 0"}):
        assert answers(f"mmsteer/{folder}", folder, tmp_path, **given) == own
    steered = answers(f"mmsteer/{folder}", folder, tmp_path, directions=file, steer="says:yes 6")
    assert all(one != other for one, other in zip(steered[0], own[0], strict=True))


def test_what_cannot_be_steered_stops_before_a_request(folder, file):
    with pytest.raises(SteeringError, match="give steer, too"):
        get_model(f"mmsteer/{folder}", memoize=False, directions=file, device="cpu")


TASK = """
from inspect_ai import Task, task
from inspect_ai.dataset import json_dataset
from inspect_ai.scorer import includes

@task
def cups():
    return Task(json_dataset("rows.jsonl"), scorer=includes())
"""


def test_the_command_line_with_commas(folder, file, entry_points, tmp_path):
    (tmp_path / "cups.py").write_text(TASK)
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps({"input": one, "target": "cup"}) for one in QUESTIONS))
    words = ["eval", "cups.py", "--model", f"mmsteer/{folder}", "--max-tokens", "4", "--log-format", "json"]
    words += ["--display", "plain"]
    given = ["do_sample=false", "device=cpu", f"directions={file}", "steer=says:yes 6 linear(0steps..2steps, 1, 2)"]
    code = "from inspect_ai._cli.main import main; main()"
    command = [sys.executable, "-c", code, *words, *[word for one in given for word in ("-M", one)]]
    environment = {**os.environ, "PYTHONPATH": f"{entry_points}:{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
    (log,) = (tmp_path / "logs").glob("*.json")
    assert json.loads(log.read_text())["status"] == "success"
