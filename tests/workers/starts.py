"""What workers of tests have; made in their own processes, so that it is found by module and name."""

from mmsteer import Sampling
from mmsteer.api import load
from mmsteer.recipes.evaluate import held_task
from mmsteer.recipes.rows.task import RowsTask
from mmsteer.tasks import Row
from tests.conftest import TALK

WORDS = [word for word in TALK if word != "cup"]


def rows(count=24):
    return [
        Row(str(at), f"rows.jsonl:{at}", " ".join([*WORDS[at % 7 :: 2], WORDS[at % 5], WORDS[at % 11]]))
        for at in range(count)
    ]


def asked(adapter):
    """A task of twelve prompts."""
    return RowsTask(adapter, rows(12), {"cup": "contains:cup"}, Sampling(tokens=4), batch=5)


def task_of(folder):
    return held_task(asked(load(folder)))
