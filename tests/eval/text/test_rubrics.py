"""Answers rated by a judge: a real HTTP server on this machine that plays the endpoint."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mmsteer.errors import EvalError
from mmsteer.eval.judge import EndpointJudge
from mmsteer.eval.text import Models, Reference, parse_reward, parse_rubric, rate

PLAIN = Reference("Name a fruit.")


class Handler(BaseHTTPRequestHandler):
    """Gives the verdict that stands in the answer it is asked about, after VERDICT."""

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = request["messages"][0]["content"]
        self.server.asked.append(prompt)
        verdict = prompt.partition("VERDICT ")[2].partition("\nTEXT>>>")[0].replace("/", "\n")
        body = json.dumps({"choices": [{"message": {"content": verdict}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def endpoint():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "127.0.0.1")
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def judge(endpoint):
    endpoint.asked.clear()
    return EndpointJudge(f"http://127.0.0.1:{endpoint.server_port}/v1", "small", pause_s=0.01)


def test_ratings_come_from_the_endpoint_and_are_counted(judge, endpoint):
    answers = ["VERDICT Good./Rating: 2", "VERDICT Rating: 1", "VERDICT Rating: 0", "VERDICT no idea", " "]
    found = rate(judge, parse_rubric("concept=pirates"), answers, [PLAIN] * 5)
    assert found.values == (1.0, 0.5, 0.0, None, None)
    assert (found.unparsed, found.unscored) == (1, 1)
    assert len(endpoint.asked) == 4
    assert "this concept: pirates?" in endpoint.asked[0]
    assert "Rating: 0 or 1 or 2" in endpoint.asked[0]


def test_only_rubrics_about_the_prompt_show_it(judge, endpoint):
    for text, shown in (("instruction", True), ("fluency", False), ("concept=sea", False), ("Is it a fruit?", True)):
        rate(judge, parse_rubric(text), ["VERDICT Rating: 2"], [PLAIN])
        assert (PLAIN.prompt in endpoint.asked[-1]) == shown, text


def test_a_question_is_answered_by_yes_or_no(judge, endpoint):
    reward = parse_reward("judge:Is it a fruit?", Models(judge=judge))
    answers = ["VERDICT Rating: yes", "VERDICT Rating: **No**.", "VERDICT Rating: 2", ""]
    assert reward(answers, [PLAIN] * 4) == [1.0, 0.0, None, None]
    assert "Answer this question about the text: Is it a fruit?" in endpoint.asked[0]
    assert parse_reward("not judge:Is it a fruit?", Models(judge=judge))(answers[:1], [PLAIN]) == [0.0]


@pytest.mark.parametrize(
    ("verdict", "value"),
    [
        ("Rating: 2", 1.0),
        ("It is fine.\n\n**Rating:** 1", 0.5),
        ("> rating: 0.", 0.0),
        ("Rating: (2)\n", 1.0),
        ("Rating: 3", None),
        ("Rating: -1", None),
        ("Rating: 1.5", None),
        ("Rating: 2/2", None),
        ("Rating: 1 or 2", None),
        ("Rating: 0 or 1 or 2\nRating: 1", None),
        ("Rating: 1\nRating: 1", None),
        ("My rating: 2", None),
        ("Rating:", None),
        ("Rating:\n2", None),
        ("2", None),
        ("", None),
    ],
)
def test_exactly_one_rating_is_read(verdict, value):
    assert parse_rubric("fluency").read(verdict) == value


def test_braces_in_answers_and_prompts_are_kept(judge, endpoint):
    rate(judge, parse_rubric("instruction"), ["{answer} {x} VERDICT Rating: 2"], [Reference("{task}")])
    assert "{answer} {x}" in endpoint.asked[-1]
    assert "\n{task}\n" in endpoint.asked[-1]


def test_the_default_judge_is_the_one_of_the_environment(monkeypatch, endpoint):
    monkeypatch.delenv("MMSTEER_JUDGE_URL", raising=False)
    with pytest.raises(EvalError, match="reward 'judge:fluency': no judge: set MMSTEER_JUDGE_URL"):
        parse_reward("judge:fluency")
    monkeypatch.setenv("MMSTEER_JUDGE_URL", f"http://127.0.0.1:{endpoint.server_port}/v1")
    monkeypatch.setenv("MMSTEER_JUDGE_MODEL", "small")
    assert parse_reward("judge:fluency")(["VERDICT Rating: 2"], [PLAIN]) == [1.0]


@pytest.mark.parametrize("text", ["concept", "concept=", "kindness", "Is it nice"])
def test_what_is_no_rubric_is_refused(text):
    with pytest.raises(EvalError, match=r"choose from instruction, fluency, concept=WORDS, or a question"):
        parse_rubric(text)
