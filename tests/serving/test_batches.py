"""What happens to a batch that fails, ends too early, or loses those who wait for it; and which jobs share one."""

import logging
import threading

import pytest

from mmsteer import Sample, Sampling
from mmsteer.adapters import LanguageModelAdapter
from mmsteer.errors import ServingError, SteeringError
from mmsteer.serving.batcher import Batcher
from mmsteer.serving.job import Failed, Job, Made
from mmsteer.serving.metrics import Metrics
from mmsteer.serving.queue import Queue
from mmsteer.steering import Steering
from tests.serving.conftest import serving
from tests.serving.test_clients import counted
from tests.serving.test_refusals import refused, until


def job(given=3, tokens=4, sent=None):
    events = [] if sent is None else sent
    sampling = Sampling(tokens, temperature=0.0)
    return Job(Sample("a", "say the cup"), sampling, 0, Steering(), (), given, False, events.append)


def failing(monkeypatch, *errors):
    """Batches that raise, one after another, before the model runs again."""
    left, generate = list(errors), LanguageModelAdapter.generate

    def broken(self, *given, **more):
        if left:
            raise left.pop(0)
        return generate(self, *given, **more)

    monkeypatch.setattr(LanguageModelAdapter, "generate", broken)


@pytest.mark.parametrize("error", [ValueError("odd"), IndexError("far"), RuntimeError("no memory"), KeyError("x")])
def test_a_batch_that_fails_is_answered_and_the_server_lives_on(own_talker, catalog, monkeypatch, caplog, error):
    with serving(own_talker, catalog) as served, caplog.at_level(logging.ERROR, "mmsteer.serving"):
        failing(monkeypatch, error)
        found = refused(served.chat(), 500, None, f"the model failed: {type(error).__name__}: {error}")
        assert (found["type"], found["code"]) == ("server_error", "model_failed")
        assert caplog.records[0].exc_info[1] is error
        assert served.get("/health")[0] == 200
        assert served.chat()[0] == 200


def test_rows_that_the_model_leaves_are_answered(own_talker, catalog, monkeypatch):
    monkeypatch.setattr(LanguageModelAdapter, "generate", lambda *_, **__: [])
    with serving(own_talker, catalog) as served:
        refused(served.chat(), 500, None, "the model ended before the answer did")


def test_jobs_that_are_too_long_together_run_one_after_the_other():
    queue = Queue(9, 8, 0.0, 100, Metrics())
    long, answer, short, other = job(90, 10), job(10, 90), job(10, 10), job(10, 5)
    queue.put([long, answer, short, other])
    assert [queue.take(), queue.take()] == [[long, short, other], [answer]]
    queue.put([job(10, 90), job(9, 90), job(11, 90)])
    assert [len(queue.take()), len(queue.take())] == [2, 1]


def test_long_prompts_and_long_answers_come_together(own_talker, catalog):
    """Each fits into the 256 positions of the model, and the prompt of one with the answer of the other does not."""
    with serving(own_talker, catalog, batching=(8, 0.3, 64)) as served:
        answers = {}
        asked = {"prompt": ("cup " * 200, 20), "answer": ("say the cup", 200)}
        asking = [
            threading.Thread(target=lambda n=n, t=t, k=k: answers.update({n: served.complete(t, max_tokens=k)}))
            for n, (t, k) in asked.items()
        ]
        for one in asking:
            one.start()
        for one in asking:
            one.join()
    assert {status for status, _, _ in answers.values()} == {200}
    assert [one[2]["usage"]["completion_tokens"] for one in (answers["prompt"], answers["answer"])] == [20, 200]


def test_a_batch_that_is_run_again_is_counted_once(own_talker, monkeypatch):
    metrics, sent = Metrics(), []
    batcher = Batcher(own_talker, Queue(9, 8, 0.0, 256, metrics), metrics)
    jobs = [job(sent=sent) for _ in range(3)]
    jobs[2].is_cancelled = True
    failing(monkeypatch, SteeringError("not so"))
    batcher._answer(jobs)
    assert [type(one) for one in sent] == [Made, Made]
    lines = metrics.text().splitlines()
    assert "mmsteer_batch_rows_sum 3" in lines
    assert "mmsteer_batch_rows_count 3" in lines
    assert "mmsteer_cancelled_total 1" in lines
    failing(monkeypatch, SteeringError("not so"))
    batcher._answer([job(sent=sent)])
    assert isinstance(sent[-1], Failed)


def test_who_goes_away_while_waiting_is_counted():
    metrics = Metrics()
    queue = Queue(9, 8, 0.0, 256, metrics)
    gone, here = job(), job()
    queue.put([gone, here])
    gone.is_cancelled = True
    assert queue.take() == [here]
    assert {"mmsteer_cancelled_total 1", "mmsteer_waiting 0"} <= set(metrics.text().splitlines())


def test_an_answer_that_fails_ends_the_others_of_its_request(own_talker, catalog, monkeypatch):
    failing(monkeypatch, ServingError("not so", 500))
    with serving(own_talker, catalog, batching=(1, 0.0, 64)) as served:
        refused(served.chat(n=4, max_tokens=200), 500, None, "not so")
        until(lambda: counted(served, "mmsteer_cancelled_total") == 3)
        assert counted(served, "mmsteer_generated_tokens_total") < 200
