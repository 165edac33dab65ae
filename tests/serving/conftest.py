"""A server on loopback, in a thread, on the small model that talks."""

import json
import threading
import time
from contextlib import closing, contextmanager
from http.client import HTTPConnection

import pytest

from mmsteer.adapters import load
from mmsteer.direction_file import save_directions
from tests.conftest import saying

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

import uvicorn

from mmsteer.serving.admission import Catalog, Limits
from mmsteer.serving.app import make_app
from mmsteer.serving.assemble import assemble

WORDS = ("cup", "blue", "red", "table")


class Client:
    """Plain HTTP, a connection for each request."""

    def __init__(self, port, server):
        self.port, self.server = port, server

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    def raw(self, method, path, body=None, headers=None):
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read().decode()

    def get(self, path):
        status, _, text = self.raw("GET", path)
        return status, text

    def post(self, path, body):
        sent = body if isinstance(body, str | bytes) else json.dumps(body)
        status, headers, text = self.raw("POST", path, sent, {"Content-Type": "application/json"})
        return status, headers, json.loads(text)

    def chat(self, text="say the cup", **fields):
        body = {"model": "talker", "messages": [{"role": "user", "content": text}], "max_tokens": 6} | fields
        return self.post("/v1/chat/completions", body)

    def complete(self, prompt="say the cup", **fields):
        return self.post("/v1/completions", {"model": "talker", "prompt": prompt, "max_tokens": 6} | fields)

    def events(self, **fields):
        body = {"model": "talker", "messages": [{"role": "user", "content": "say the cup"}], "stream": True} | fields
        _, _, text = self.raw("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
        return [line if line == "[DONE]" else json.loads(line) for line in lines]


@contextmanager
def serving(adapter, catalog, limits=None, *, batching=(8, 0.05, 64), body=1 << 20, hosts=("127.0.0.1",)):
    server = assemble(adapter, catalog, limits or Limits(), batching, body)
    http = uvicorn.Server(uvicorn.Config(make_app(server, hosts), port=0, log_level="error", lifespan="on"))
    thread = threading.Thread(target=http.run, daemon=True)
    thread.start()
    while not http.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield Client(http.servers[0].sockets[0].getsockname()[1], server)
    finally:
        http.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def own_talker(talker_folder):
    """A model that nobody but the server runs."""
    return load(talker_folder)


@pytest.fixture(scope="session")
def words(own_talker):
    return {f"word:{word}": saying(own_talker, word, f"word:{word}") for word in WORDS}


@pytest.fixture(scope="session")
def words_file(words, tmp_path_factory):
    file = tmp_path_factory.mktemp("directions") / "words.safetensors"
    save_directions(file, list(words.values()))
    return file


@pytest.fixture(scope="session")
def catalog(words):
    return Catalog("talker", words, {"cups": "word:cup 40 on text.3"})


@pytest.fixture(scope="session")
def client(own_talker, catalog):
    with serving(own_talker, catalog) as made:
        yield made
