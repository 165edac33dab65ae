"""`mmsteer.evaluate` by workers, each of which makes the task itself."""

from dataclasses import replace
from functools import partial

import pytest

from mmsteer.errors import WorkerError
from mmsteer.recipes.evaluate import evaluate
from mmsteer.recipes.model_workers import held_model
from mmsteer.workers import opened
from tests.conftest import saying
from tests.workers.starts import asked, task_of
from tests.workers.test_shared_out import NUMBERS, files


@pytest.fixture(scope="module")
def cup(talker):
    return saying(talker, "cup", "word:cup")


@pytest.mark.parametrize("number", NUMBERS)
def test_evaluate_makes_the_same_folder(talker, talker_folder, cup, tmp_path, number):
    if "ray" in number:
        pytest.importorskip("ray")
    given, known = {"strong": "word:cup 10 on text.3", "weak": "word:cup 0.1 on text.2"}, {cup.name: cup}
    alone = evaluate(asked(talker), given, known, folder=tmp_path / "0" / "run", progress=False)
    with opened(number, partial(task_of, talker_folder)) as by:
        shared = evaluate(asked(talker), given, known, folder=tmp_path / "1" / "run", workers=by, progress=False)
    assert shared.scores == alone.scores
    assert files(shared.path) == files(alone.path)


def test_workers_of_another_task_or_model_are_refused(talker, talker_folder, cup, tmp_path):
    other = replace(asked(talker), score={"cup": "contains:table"})
    with opened("1", partial(task_of, talker_folder)) as by, pytest.raises(WorkerError, match="has no task"):
        evaluate(other, {"a": "word:cup 1 on text.3"}, {cup.name: cup}, folder=tmp_path / "run", workers=by)
    with pytest.raises(WorkerError, match=r"this is the run .*, not 0123456789: mmsteer"):
        held_model(str(talker_folder), {"device": "cpu"}, ".", "0123456789")
