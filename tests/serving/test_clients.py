"""Clients: OpenAI's own, many at once, and those that go away."""

import base64
import io
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from mmsteer import Sample, Sampling, load
from mmsteer.errors import ServingError
from mmsteer.serving import pictures
from mmsteer.serving.admission import Catalog
from mmsteer.types import Chat
from tests.adapters.checkpoints import save
from tests.serving.conftest import serving
from tests.serving.test_refusals import refused, until, waiting


def counted(client, name):
    lines = [one for one in client.get("/metrics")[1].splitlines() if one.startswith(name)]
    return sum(float(one.rsplit(" ", 1)[1]) for one in lines)


def test_openais_client(client):
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=client.url, api_key="none", max_retries=0) as there:
        assert [one.id for one in there.models.list()] == ["talker", "talker+cups"]
        asked = {"model": "talker", "messages": [{"role": "user", "content": "say the cup"}], "max_tokens": 5}
        steered = there.chat.completions.create(**asked, extra_body={"steer": "word:cup 40 on text.3"})
        assert steered.choices[0].message.content == "cup cup cup cup cup"
        assert steered.usage.completion_tokens == 5
        assert steered.mmsteer["receipts"][0]["attributes"] == ["word:cup 40 constant(1) on text.3"]
        parts = there.chat.completions.create(**asked, stream=True, extra_body={"steer": "cups"})
        assert "".join(one.choices[0].delta.content or "" for one in parts) == "cup cup cup cup cup"
        text = there.completions.create(model="talker+cups", prompt="say the cup", max_tokens=3)
        assert text.choices[0].text == "cup cup cup"
        with pytest.raises(openai.BadRequestError, match="'tools' is not served here") as caught:
            there.chat.completions.create(**asked, tools=[{"type": "function", "function": {"name": "f"}}])
        assert caught.value.param == "tools"
        again = [*asked["messages"], steered.choices[0].message.model_dump(exclude_none=True)]
        assert there.chat.completions.create(model="talker", messages=again, max_tokens=2).choices[0].message.content


def test_many_clients_at_once(client):
    """Two hundred requests of sixteen clients, plain, steered and streamed: every answer is the one it is alone."""
    asked = [
        {"steer": ("", "word:cup 3", "word:blue 2", "cups")[place % 4], "seed": place % 5, "temperature": place % 2}
        for place in range(200)
    ]
    alone = {str(one): client.chat(**one)[2]["choices"] for one in asked[:20]}
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda one: client.chat(**one), asked))
    assert {status for status, _, _ in answers} == {200}
    for one, (_, _, body) in zip(asked, answers, strict=True):
        assert body["choices"] == alone[str(one)]
    assert max(body["mmsteer"]["receipts"][0]["batch"] for _, _, body in answers) > 4
    assert waiting(client) == 0


@pytest.mark.parametrize("stream", [False, True])
def test_nothing_is_made_for_a_client_that_went_away(own_talker, catalog, stream):
    with serving(own_talker, catalog, batching=(4, 0.0, 8)) as served:
        body = b'{"model": "talker", "messages": [{"role": "user", "content": "cup"}], "max_tokens": 240, "stream": %s}'
        body %= str(stream).lower().encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        with socket.create_connection(("127.0.0.1", served.port)) as there:
            there.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            if stream:
                assert there.recv(64).startswith(b"HTTP/1.1 200")
            else:
                until(lambda: counted(served, "mmsteer_prompt_tokens_total") > 0)
        until(lambda: counted(served, "mmsteer_cancelled_total") == 1)
        assert counted(served, "mmsteer_generated_tokens_total") < 200
        assert served.chat()[0] == 200


def test_a_server_that_stops_answers_what_it_has_not_made(own_talker, catalog):
    answers = []
    with serving(own_talker, catalog, batching=(1, 0.0, 8)) as served:
        asking = [threading.Thread(target=lambda: answers.append(served.chat(max_tokens=240))) for _ in range(3)]
        for one in asking:
            one.start()
        until(lambda: waiting(served) == 2)
        time.sleep(0.05)
        served.server.batcher.close()
        for one in asking:
            one.join()
        assert [status for status, _, _ in answers] == [503, 503, 503]
        assert served.get("/health")[0] == 503
        assert served.chat()[0] == 503


def test_health_and_metrics(client):
    client.chat(max_tokens=3)
    assert client.get("/health") == (200, '{"status":"ok"}')
    status, text = client.get("/metrics")
    assert status == 200
    assert 'mmsteer_requests_total{path="/v1/chat/completions",status="200"}' in text
    assert "# TYPE mmsteer_batch_rows histogram" in text
    assert 'mmsteer_batch_rows_bucket{le="+Inf"}' in text


def test_tokens_are_counted_when_their_batch_is_over(own_talker, catalog):
    with serving(own_talker, catalog) as served:
        for asked, sum_of_all in ((3, 3), (7, 10)):
            served.chat(max_tokens=asked)
            until(lambda total=sum_of_all: counted(served, "mmsteer_generated_tokens_total") == total)


@pytest.fixture(scope="module")
def seeing(tmp_path_factory):
    adapter = load(save("llava", tmp_path_factory.mktemp("llava") / "model"))
    with serving(adapter, Catalog("llava")) as made:
        yield made, adapter


def shown(url, text="a cup"):
    return [
        {"role": "user", "content": [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]}
    ]


def picture(shade, kind="png"):
    file = io.BytesIO()
    Image.new("RGB", (32, 32), (shade, 0, 255 - shade)).save(file, kind)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def test_images_are_shown(seeing):
    client, adapter = seeing
    with ThreadPoolExecutor(2) as pool:
        asked = [{"model": "llava", "messages": shown(picture(shade))} for shade in (0, 255)]
        answers = list(pool.map(lambda one: client.chat(**one), asked))
    prompt = Chat(({"role": "user", "content": "a cup"},))
    for shade, (status, _, body) in zip((0, 255), answers, strict=True):
        image = Image.new("RGB", (32, 32), (shade, 0, 255 - shade))
        (alone,) = adapter.generate([Sample("a", prompt, (image,))], Sampling(6))
        assert status == 200, body
        assert body["choices"][0]["message"]["content"] == alone.output


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1:1/a.png", "is no data URL of an image"),
        ("file:///etc/passwd", "no file is read"),
        ("/etc/passwd", "no file is read"),
        ("data:image/svg+xml;base64,PHN2Zz4=", "is no data URL of an image"),
        ("data:image/png;base64,!!!!", "is no base64"),
        ("data:image/png;base64,é", "is no base64"),
        ("data:image/png;base64,AAAA", "it is damaged, or none of PNG"),
    ],
)
def test_only_data_urls_of_images_are_read(seeing, url, message):
    client, _ = seeing
    refused(client.chat(model="llava", messages=shown(url)), 400, "messages", message)


def test_the_pixels_of_all_images_are_counted_before_any_is_decoded(monkeypatch):
    monkeypatch.setattr(pictures, "upright_rgb", lambda image, name: image)
    file = io.BytesIO()
    Image.new("1", (4000, 4000)).save(file, "png")
    url = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    assert len(pictures.read_pictures([url] * 4)) == 4
    monkeypatch.setattr(pictures, "upright_rgb", lambda image, name: pytest.fail(f"{name} was decoded"))
    with pytest.raises(ServingError, match="80000000 pixels or more together; at most 64 million"):
        pictures.read_pictures([url] * 8)


def test_images_belong_to_the_first_turn_of_the_user_and_are_few(seeing):
    client, _ = seeing
    late = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, *shown(picture(0))]
    refused(client.chat(model="llava", messages=late), 400, "messages", "the first turn of the user")
    many = shown(picture(0))
    many[0]["content"] += many[0]["content"][1:] * 8
    refused(client.chat(model="llava", messages=many), 400, "messages", "9 images; at most 8")
