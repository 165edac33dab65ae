"""The examples for transformers' pipelines and trainers, on small models."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch

import mmsteer
from mmsteer import Sampling
from mmsteer.errors import MmsteerError
from tests.conftest import saying

FOLDER = Path(__file__).parents[1] / "examples" / "transformers"
LINE = "word:cup 40 on text.3"
TEXTS = ["the table is red here", "the table is blue here"]


def share_of_cups(answer):
    return answer.split().count("cup") / len(answer.split())


@pytest.fixture
def trainer(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import trainer

    return trainer


@pytest.fixture
def adapter(talker):
    """A model of its own: training changes it."""
    return mmsteer.adapt(deepcopy(talker.model), deepcopy(talker.processor))


@pytest.mark.parametrize("how", ["train", "train_by_trl"])
@pytest.mark.filterwarnings("ignore")
def test_answers_are_steered_while_a_model_is_trained(trainer, adapter, how, tmp_path):
    if how == "train_by_trl":
        pytest.importorskip("trl")
        adapter.processor.eos_token = "no"  # its trainer ends every text by one
    known = {"word:cup": saying(adapter, "cup", "word:cup")}
    callback = trainer.SteeredAnswers(["say the cup", "the table"], LINE, known, share_of_cups, tokens=6)
    before = {name: one.clone() for name, one in adapter.model.named_parameters()}
    settings = {"output_dir": str(tmp_path), "num_train_epochs": 3, "learning_rate": 0.01, "report_to": []}
    settings |= {"save_strategy": "no", "use_cpu": True, "disable_tqdm": True, "logging_steps": 1, "seed": 0}
    done = getattr(trainer, how)(adapter, TEXTS, callback, settings)
    assert [steered for _, steered in callback.history] == [1.0] * 3
    assert all(plain < 1 for plain, _ in callback.history)
    losses = [one["loss"] for one in done.state.log_history if "loss" in one]
    assert losses[-1] < losses[0]
    assert adapter.model.training
    assert not all(torch.equal(before[name], one) for name, one in adapter.model.named_parameters())
    # The callback leaves nothing behind that would steer.
    adapter.model.eval()
    (plain,) = adapter.generate(["say the cup"], Sampling(6, temperature=0.0))
    assert share_of_cups(plain.output) < 1


def test_a_direction_of_another_architecture_is_refused(trainer, adapter):
    known = {"word:cup": saying(adapter, "cup", "word:cup")}
    callback = trainer.SteeredAnswers(["say the cup"], "word:cup 40 on text.9", known, share_of_cups)
    adapter.model.train()
    with pytest.raises(MmsteerError, match=r"text\.9"):
        callback.on_epoch_end(None, None, None, model=adapter.model, processing_class=adapter.processor)
    assert adapter.model.training


@pytest.mark.usefixtures("smollm2")
def test_a_pipeline_is_steered(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import pipeline

    plain, steered = pipeline.main("bundled:text")
    assert plain != steered
