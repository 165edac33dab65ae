"""MMHal-Bench with a judge on this machine: a real HTTP server that plays the endpoint."""

import json
import re
import socket
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mmsteer.errors import EvalError
from mmsteer.eval.judge import EndpointJudge
from mmsteer.eval.mmhal import parse_rating, read_items, score_mmhal


class Endpoint(ThreadingHTTPServer):
    """Rates an answer by the digit in it, and keeps what it was asked."""

    def __init__(self):
        self.asked, self.headers, self.statuses, self.body = [], [], [], None
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, request))
        self.server.headers.append(dict(self.headers))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        rating = re.search(r"Answer to rate: .*?(\d)", request["messages"][0]["content"])
        verdict = f"Reasons.\nRating: {rating[1]}" if rating else "I cannot say."
        body = self.server.body or json.dumps({"choices": [{"message": {"content": verdict}}]}).encode()
        self.send_response(status)
        if status == 302:
            self.send_header("Location", self.server.url)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def endpoint(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def judge(endpoint, **options):
    return EndpointJudge(endpoint.url, "small", pause_s=0.01, **options)


def row(kind, answer):
    row = {
        "question_type": kind,
        "image_content": ["cup", "table"],
        "question": "What is there?",
        "gt_answer": "A cup.",
    }
    return row | {"model_answer": answer, "image_id": "x"}


@pytest.fixture
def items(tmp_path):
    answers = ["6 cups", "2 cups", "3 cups", "cups", None, "0 cups"]
    path = tmp_path / "m.json"
    path.write_text(json.dumps([row("attribute" if n % 2 else "counting", a) for n, a in enumerate(answers)]))
    return read_items(path)


def test_ratings_come_from_the_endpoint(endpoint, items):
    score = score_mmhal(items, judge(endpoint, key="secret"))
    found = score.to_json()
    assert found["ratings"] == [6, 2, 3, None, None, 0]
    assert (found["rating"], found["hallucination_rate"]) == (11 / 4, 2 / 4)
    assert found["by_type"] == {"counting": 4.5, "attribute": 1.0}
    assert (found["n"], found["unparsed"], found["unscored"]) == (4, 1, 1)
    path, request = endpoint.asked[0]
    assert (path, request["model"], request["temperature"]) == ("/v1/chat/completions", "small", 0)
    assert all(
        part in request["messages"][0]["content"] for part in ("cup, table", "What is there?", "A cup.", "6 cups")
    )
    assert endpoint.headers[0]["Authorization"] == "Bearer secret"
    assert len(endpoint.asked) == 5


def test_official_rates_an_unreadable_verdict_zero(endpoint, items):
    found = score_mmhal(items, judge(endpoint), compat="official").to_json()
    assert (found["ratings"][3], found["rating"], found["unparsed"]) == (0, 11 / 5, 1)


@pytest.mark.parametrize(
    ("verdict", "rating"),
    [("rating: 4", 4), ("RATING: 0.", 0), ("Rating: 4 and rating: 4", 4), ("rating: 4 rating: 5", None), ("4", None)],
)
def test_exactly_one_rating_is_read(verdict, rating):
    assert parse_rating(verdict) == rating


def test_a_busy_endpoint_is_asked_again(endpoint):
    endpoint.statuses = [429, 503]
    assert judge(endpoint).rate("Answer to rate: 5") == "Reasons.\nRating: 5"
    assert len(endpoint.asked) == 3
    endpoint.statuses = [503] * 9
    with pytest.raises(EvalError, match="HTTP 503"):
        judge(endpoint).rate("?")
    assert len(endpoint.asked) == 7


@pytest.mark.parametrize("status", [302, 401])
def test_a_refusal_is_final_and_shows_no_key(endpoint, status):
    endpoint.statuses = [status]
    with pytest.raises(EvalError, match=f"HTTP {status}") as error:
        judge(endpoint, key="secret").rate("?")
    assert len(endpoint.asked) == 1
    assert "secret" not in str(error.value) + repr(judge(endpoint, key="secret"))


def test_what_is_no_completion_is_refused(endpoint):
    endpoint.body = b'{"choices": []}'
    with pytest.raises(EvalError, match="no chat completion"):
        judge(endpoint).rate("?")


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ((b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536), "more than 4 MiB"),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\n", b"x"), "no whole answer within 0.5 s"),
        ((b"HTTP/1.1 200 OK\r\n", b"X: y"), "no whole answer within 0.5 s"),
        ((b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000,), "no chat completion"),
    ],
    ids=["endless", "dripping body", "dripping header", "deep"],
)
def test_an_endpoint_that_never_ends_costs_a_bounded_time_and_size(reply, message):
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_send, args=(server, *reply), daemon=True).start()
        start = time.monotonic()
        with pytest.raises(EvalError, match=message):
            EndpointJudge(f"http://127.0.0.1:{server.getsockname()[1]}", "m", timeout_s=0.5).rate("?")
        assert time.monotonic() - start < 5


def _send(server, first, again=b""):
    with suppress(OSError):
        connection = server.accept()[0]
        with connection:
            connection.recv(65536)
            connection.sendall(first)
            while again:
                connection.sendall(again)
                time.sleep(0.05 if len(again) < 10 else 0)
            # Closed at once, what is still unread would reset the connection.
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass


def test_an_endpoint_that_is_not_there_is_named():
    with pytest.raises(EvalError, match=r"127.0.0.1:1 cannot be reached"):
        EndpointJudge("http://127.0.0.1:1", "m").rate("?")


def test_the_judge_is_named_by_the_environment_alone():
    with pytest.raises(EvalError, match="set MMSTEER_JUDGE_URL and MMSTEER_JUDGE_MODEL"):
        EndpointJudge.from_environment({})
    with pytest.raises(EvalError, match="give an http or https address"):
        EndpointJudge.from_environment({"MMSTEER_JUDGE_URL": "file:///etc", "MMSTEER_JUDGE_MODEL": "m"})
    named = {"MMSTEER_JUDGE_URL": "http://x", "MMSTEER_JUDGE_MODEL": "m", "MMSTEER_JUDGE_KEY": "k"}
    assert EndpointJudge.from_environment(named) == EndpointJudge("http://x", "m", "k")


def test_rows_of_another_file_are_refused(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps(row("a", "b")) + "\n" + json.dumps({"question": "?"}))
    with pytest.raises(EvalError, match=r"m.jsonl:2: an MMHal-Bench response has .* lacks question_type"):
        read_items(path)
