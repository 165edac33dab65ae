"""lm-evaluation-harness, run for real on a small model: its own scores at strength 0, others where it is steered."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import mmsteer
from mmsteer.errors import DirectionError, MmsteerError, PositionsError, SteeringError
from mmsteer.types import Call

pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed: make test-harness")
pytestmark = pytest.mark.filterwarnings("ignore")

from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.evaluator import simple_evaluate  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402

from mmsteer.harness.lm_eval import SteeredLM  # noqa: E402

STEER = "says:yes 4 at all"
ANSWERS = "says:yes 4 at generated | last"
PAIRS = [
    ("the cup is", " there"),
    ("is there a cup : user describe the image : yes", " a cup there"),
    ("the image shows", " the cup table yes no"),
    ("table", " no"),
    ("is there a table", " yes the"),
]
TEXTS = ["the cup is there", "describe the image", "is there a table user : yes no no yes the cup"]


def instances(kind, arguments):
    return [Instance(kind, {}, one, index, task_name="t", doc_id=index) for index, one in enumerate(arguments)]


def scores(model):
    until = {"until": ["."], "max_gen_toks": 6}
    return {
        "loglikelihood": model.loglikelihood(instances("loglikelihood", PAIRS), disable_tqdm=True),
        "rolling": model.loglikelihood_rolling(instances("loglikelihood_rolling", [(text,) for text in TEXTS])),
        "generate": model.generate_until(instances("generate_until", [(text, until) for text in TEXTS])),
    }


@pytest.fixture(scope="module")
def load(folder, file):
    def load(steer, **options):
        directions = {"directions": file} if steer else {}
        return SteeredLM(str(folder), steer=steer, device="cpu", **{"batch_size": 3} | directions | options)

    return load


@pytest.mark.parametrize("batch_size", [1, 3, "auto"])
def test_strength_0_and_no_steering_are_the_harnesss_own_scores(folder, load, batch_size):
    own = scores(HFLM(str(folder), device="cpu", batch_size=batch_size, max_batch_size=4))
    for steer in (None, "says:yes 0 at all", "says:yes 0"):
        assert scores(load(steer, batch_size=batch_size, max_batch_size=4)) == own
    steered = scores(load(STEER, batch_size=batch_size, max_batch_size=4))
    assert all(one[0] != other[0] for one, other in zip(steered["loglikelihood"], own["loglikelihood"], strict=True))
    assert all(one != other for one, other in zip(steered["rolling"], own["rolling"], strict=True))
    assert steered["generate"] != own["generate"]


@pytest.mark.parametrize("steer", [STEER, ANSWERS, "says:yes 4 at last", "says:yes 4 linear(0steps..4steps, 1, 0)"])
def test_a_padded_batch_is_steered_as_its_rows_are(load, steer):
    one, three = scores(load(steer, batch_size=1)), scores(load(steer, batch_size=3))
    for kind in ("loglikelihood", "rolling"):
        torch.testing.assert_close(torch.tensor(one[kind]), torch.tensor(three[kind]), rtol=1e-5, atol=1e-5)
    assert one["generate"] == three["generate"]


@pytest.mark.parametrize("steer", [STEER, ANSWERS])
def test_a_score_is_that_of_the_same_forward_in_python(folder, file, load, steer):
    model = load(steer)
    found = [score for score, _ in model.loglikelihood(instances("loglikelihood", PAIRS), disable_tqdm=True)]
    adapter = mmsteer.load(folder)
    for (context, answer), score in zip(PAIRS, found, strict=True):
        given, whole = model.tok_encode(context), model.tok_encode(context + answer)
        ids = torch.tensor([whole[:-1]])
        call = Call(1, None, len(given))
        with mmsteer.steer(adapter, steer, file) as session, session.call(call), torch.no_grad():
            log_probs = adapter.model(input_ids=ids).logits.log_softmax(-1)[0, len(given) - 1 :]
        expected = log_probs.gather(1, torch.tensor(whole[len(given) :])[:, None]).sum()
        assert score == pytest.approx(float(expected), abs=1e-4)


def test_padding_is_not_steered(load, caplog):
    caplog.set_level("INFO")
    model = load(STEER, batch_size=len(PAIRS))
    model.loglikelihood(instances("loglikelihood", PAIRS), disable_tqdm=True)
    tokens = sum(len(model.tok_encode(context + answer)) - 1 for context, answer in PAIRS)
    assert f"{tokens} tokens changed" in caplog.messages[-1]


def test_equal_tokens_with_prompts_of_two_lengths_are_steered_apart(load):
    model = load(ANSWERS)
    both = [("the cup", " is there"), ("the cup is", " there")]
    together = model.loglikelihood(instances("loglikelihood", both), disable_tqdm=True)
    alone = [model.loglikelihood(instances("loglikelihood", [one]), disable_tqdm=True)[0] for one in both]
    assert together == alone
    unsteered = load(None).loglikelihood(instances("loglikelihood", both), disable_tqdm=True)
    assert together[0] != unsteered[0]


def test_positions_that_an_answer_does_not_have_are_refused_in_any_batch(load):
    for batch_size in (1, 5):
        with pytest.raises(PositionsError, match=r"add '\| last'"):
            load("says:yes 4 at generated", batch_size=batch_size).loglikelihood(instances("loglikelihood", PAIRS))


def test_a_schedule_by_the_length_of_an_answer_is_refused(load):
    with pytest.raises(SteeringError, match="depends on the length"):
        load("says:yes 4 linear(0%..50%, 1, 0)").loglikelihood(instances("loglikelihood", PAIRS))


def test_what_cannot_be_steered_stops_before_a_request(folder, file, load):
    with pytest.raises(MmsteerError, match="says:no"):
        load("says:no 1")
    with pytest.raises(SteeringError, match="give steer, too"):
        SteeredLM(str(folder), directions=file, device="cpu")
    with pytest.raises(SteeringError, match="no ready-made directions"):
        SteeredLM(str(folder), steer="says:yes 1", device="cpu")
    other = Path(file).with_name("other.safetensors")
    direction = mmsteer.load_directions(file)["says:yes"]
    mmsteer.save_directions(other, [type(direction)("says:yes", direction.vectors, direction.stats, "another")])
    with pytest.raises(DirectionError, match="another"):
        load("says:yes 1", directions=str(other))


TASKS = {
    "cups": {"output_type": "multiple_choice", "doc_to_choice": ["yes", "no"], "doc_to_target": "answer"},
    "texts": {"output_type": "loglikelihood_rolling", "doc_to_target": "question", "doc_to_text": ""},
    "answers": {"output_type": "generate_until", "doc_to_target": "answer", "generation_kwargs": {"max_gen_toks": 4}},
}
QUESTIONS = [("is there a cup : user", "yes"), ("is there a table", "no"), ("the image shows the cup", "yes")]


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    rows = [json.dumps({"question": question, "answer": answer}) for question, answer in QUESTIONS]
    (folder / "rows.jsonl").write_text("\n".join(rows))
    for name, task in TASKS.items():
        files = {"test": str(folder / "rows.jsonl")}
        whole = {"task": name, "dataset_path": "json", "dataset_kwargs": {"data_files": files}, "test_split": "test"}
        (folder / f"{name}.yaml").write_text(json.dumps(whole | {"doc_to_text": "question"} | task))
    return folder


def results(tasks, model, monkeypatch, folder, **arguments):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tasks / "cache"))
    options = {"pretrained": str(folder), "batch_size": 2, "device": "cpu"} | arguments
    found = simple_evaluate(
        model,
        options,
        list(TASKS),
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
        bootstrap_iters=0,
        log_samples=True,
    )
    seen = {task: [(one["doc_id"], one["filtered_resps"]) for one in found["samples"][task]] for task in TASKS}
    return found["results"], seen


def test_a_local_task_of_each_kind(tasks, folder, file, monkeypatch):
    own = results(tasks, "hf", monkeypatch, folder)
    assert results(tasks, "mmsteer", monkeypatch, folder, directions=file, steer="says:yes 0") == own
    scores, seen = results(tasks, "mmsteer", monkeypatch, folder, directions=file, steer=ANSWERS)
    assert scores["texts"]["byte_perplexity,none"] != own[0]["texts"]["byte_perplexity,none"]
    assert all(seen[task] != own[1][task] for task in TASKS)


def test_the_command_line_and_a_line_with_commas_in_a_file(tasks, folder, file, tmp_path):
    (tmp_path / "steer.txt").write_text("says:yes 4 linear(0steps..4steps, 1, 0.5)\nsays:yes 1 at last\n")
    model = f"pretrained={folder},directions={file},steer=@{tmp_path / 'steer.txt'}"
    words = ["run", "--model", "mmsteer", "--model_args", model, "--tasks", "cups", "--include_path", str(tasks)]
    command = [sys.executable, "-m", "mmsteer.harness.lm_eval", *words, "--device", "cpu", "--batch_size", "2"]
    environment = {**os.environ, "HF_DATASETS_CACHE": str(tasks / "cache"), "COLUMNS": "200"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "acc_norm" in done.stdout
    assert "steps..4steps, 1, 0.5)" in done.stderr
