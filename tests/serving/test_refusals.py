"""What is not served is refused with OpenAI's error shape, and names the field; limits hold."""

import json
import threading
import time

import pytest

from mmsteer.errors import MmsteerError, ServingError
from mmsteer.serving import app
from mmsteer.serving.admission import TOO_LONG, Catalog, Limits
from mmsteer.serving.wire import ChatRequest, CompletionRequest, read_request
from tests.serving.conftest import serving

TURN = {"role": "user", "content": "say the cup"}


def refused(answer, status, field, message):
    found, _, body = answer
    error = body["error"]
    assert (found, error["param"]) == (status, field), error
    assert message in error["message"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("tools", [{"type": "function"}], "'tools' is not served here: the model is asked for words alone"),
        ("logprobs", True, "no probabilities are given"),
        ("response_format", {"type": "json_object"}, "text is not held to a format"),
        ("frequency_penalty", 0.5, "the distribution is changed by steering"),
        ("logit_bias", {"5": 1}, "the distribution is changed by steering"),
        ("temprature", 1, "'temprature' is not served here; leave it out"),
        ("temperature", -1, "greater than or equal to 0"),
        ("temperature", "hot", "valid number"),
        ("top_p", 0, "greater than 0"),
        ("n", 0, "greater than or equal to 1"),
        ("n", 17, "17 answers; at most 16 are made"),
        ("seed", -1, "greater than or equal to 0"),
        ("stop", [""], "'stop.0': String should have at least 1 character"),
        ("max_tokens", 0, "greater than or equal to 1"),
        ("max_tokens", 1025, "1025 tokens; at most 1024 are made"),
        ("messages", [], "at least 1 item"),
        ("messages", [{"role": "tool", "content": "x"}], "'user'"),
        (
            "messages",
            [TURN | {"content": [{"type": "input_audio"}]}],
            "does not match any of the expected tags: 'text', 'image_url'",
        ),
        ("messages", [TURN | {"content": [{"type": "image_url", "image_url": {"url": "data:"}}]}], "sees no images"),
        ("steer", "word:cup", "cannot read 'word:cup'; write NAME STRENGTH"),
        ("steer", "word:cop 3", "no direction 'word:cop'; choose from word:blue, word:cup"),
        ("steer", "x" * 9000, "at most 8000 characters"),
        ("steer", ";".join(["word:cup 0.1"] * 65), "65 attributes; at most 64 are applied"),
    ],
)
def test_a_field_that_is_not_served_is_named(client, field, value, message):
    refused(client.chat(**{field: value}), 400, field, message)


@pytest.mark.parametrize(
    "idle", [{"tools": []}, {"logprobs": False}, {"frequency_penalty": 0}, {"response_format": {"type": "text"}}]
)
def test_a_field_that_asks_for_nothing_is_no_error(client, idle):
    assert client.chat(**idle, user="me", top_logprobs=None)[0] == 200


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{", "not JSON"),
        ("[]", "no JSON object"),
        ('{"model": "talker", "model": "x"}', "comes twice"),
        (b"\xff\xfe", "not UTF-8"),
        ("[" * 300, "100 lists and objects"),
        ('{"model": "talker", "temperature": NaN}', "NaN is no JSON"),
    ],
)
def test_a_body_that_is_no_request_is_an_error(client, body, message):
    refused(client.post("/v1/chat/completions", body), 400, None, message)


def test_what_a_model_cannot_be_steered_to_is_refused_alone_and_the_others_of_its_batch_are_answered(client):
    """The schedule is 0 all through; the other requests of the batch know nothing of it."""
    steer = ("word:cup 3", "word:cup 3 window(40steps..50steps)", "word:red 3")
    answers = {}
    asking = [threading.Thread(target=lambda s=s: answers.update({s: client.chat(steer=s)})) for s in steer]
    for one in asking:
        one.start()
    for one in asking:
        one.join()
    assert [answers[one][0] for one in steer] == [200, 400, 200]
    refused(answers[steer[1]], 400, None, "is 0 at each of the 6 steps")
    assert answers[steer[0]][2]["choices"] == client.chat(steer=steer[0])[2]["choices"]


def test_a_stream_that_is_refused_has_a_status(client):
    answer = client.chat(steer="word:cup 3 window(40steps..50steps)", stream=True)
    refused(answer, 400, None, "is 0 at each of the 6 steps")


def test_other_models_paths_and_types(client):
    refused(client.chat(model="gpt-4"), 404, "model", "there is no model 'gpt-4'; choose from talker, talker+cups")
    assert client.get("/v1/files")[0] == 404
    assert client.get("/openapi.json")[0] == 404
    status, _, text = client.raw("POST", "/v1/chat/completions", "{}", {"Content-Type": "text/plain"})
    assert status == 415
    assert "application/json" in json.loads(text)["error"]["message"]
    assert (
        client.raw("POST", "/v1/chat/completions", "{}", {"Content-Type": "application/json", "Host": "evil"})[0] == 400
    )


def test_long_prompts_and_bodies_are_refused(client, own_talker, catalog):
    error = refused(client.chat("cup " * 300), 400, None, "the prompt has 304 tokens and the answer may have 6; the")
    assert error["code"] == "context_length_exceeded"
    assert client.chat("cup " * 400_000)[0] == 413
    with serving(own_talker, catalog, Limits(prompt=8)) as small:
        refused(small.chat("say the red cup here"), 400, None, "tokens; at most 8 are read")
        assert small.chat("cup")[0] == 200


def test_long_prompts_are_refused_before_they_are_tokenised(own_talker, catalog):
    with serving(own_talker, catalog, Limits(prompt=8)) as small:
        for answer in (
            small.complete("x" * 129),
            small.complete(["x", "x" * 129]),
            small.chat("x", messages=[TURN | {"content": "x" * 43}] * 3),
        ):
            assert refused(answer, 400, None, "129 characters; at most 128 are read")["code"] == TOO_LONG


ONES = ",".join("1" * 400_000)


@pytest.mark.parametrize(
    "fields",
    [
        f'"messages": [{ONES}]',
        f'"prompt": [{ONES}]',
        f'"stop": [{ONES}]',
        f'"messages": [{{"role": "user", "content": [{ONES}]}}]',
        f'"messages": [{{"role": "user", "content": "x", "name": [{ONES}]}}]',
        ", ".join(f'"k{at}": 1' for at in range(100_000)),
        '"messages": [{"role": "user", ' + ", ".join(f'"k{at}": 1' for at in range(100_000)) + "}]",
        '"messages": [' + ", ".join(['{"a": [1]}'] * 40_000) + "]",
    ],
)
@pytest.mark.parametrize("kind", [ChatRequest, CompletionRequest])
def test_a_request_of_very_many_values_is_one_error_in_no_time(fields, kind):
    start = time.perf_counter()
    with pytest.raises(ServingError, match="more than 10000 values"):
        read_request(f'{{"model": "talker", {fields}}}', kind)
    assert time.perf_counter() - start < 10


def test_others_are_answered_while_a_request_is_read(client, monkeypatch):
    answered = threading.Event()

    def slow(text, kind):
        assert answered.wait(30)
        return read_request(text, kind)

    monkeypatch.setattr(app, "read_request", slow)
    got = []
    asking = threading.Thread(target=lambda: got.append(client.chat()[0]))
    asking.start()
    time.sleep(0.2)
    assert client.get("/health")[0] == 200
    answered.set()
    asking.join()
    assert got == [200]


def test_a_full_queue_says_when_to_come_again(own_talker, catalog):
    with serving(own_talker, catalog, batching=(1, 0.0, 2)) as busy:
        asking = [threading.Thread(target=busy.chat, kwargs={"max_tokens": 200}) for _ in range(3)]
        for place, one in enumerate(asking, 1):
            one.start()
            until(lambda place=place: waiting(busy) == max(0, place - 1))
        status, headers, body = busy.chat()
        assert (status, body["error"]["type"]) == (429, "rate_limit_error")
        assert int(headers["retry-after"]) >= 1
        assert "2 answers wait, and at most 2 may" in body["error"]["message"]
        for one in asking:
            one.join()
        assert busy.chat()[0] == 200


def waiting(client):
    return int(
        next(one for one in client.get("/metrics")[1].splitlines() if one.startswith("mmsteer_waiting ")).split()[1]
    )


def until(holds):
    for _ in range(500):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("it never came true")


def test_a_default_that_cannot_be_read_stops_the_server_before_it_starts(own_talker, words):
    with (
        pytest.raises(MmsteerError, match="no direction 'word:cop'"),
        serving(own_talker, Catalog("talker", words, {}, "word:cop 1")),
    ):
        pass


def test_every_error_of_the_wire_names_a_field():
    for text in ('{"model": 1}', '{"prompt": [], "model": "x"}', '{"model": "x"}'):
        for kind in (ChatRequest, CompletionRequest):
            with pytest.raises(ServingError) as caught:
                read_request(text, kind)
            assert caught.value.field
