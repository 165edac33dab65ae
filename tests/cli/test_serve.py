"""`mmsteer serve`: what it refuses before it listens, and one request of the whole command."""

import json
import os
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--preset", "pirate"], "--preset 'pirate': write NAME=LINES"),
        (["--preset", "a=x:y 1", "--preset", "a=x:y 2"], "two of --preset have the same name"),
        (["--steer", "x:y 1"], "no direction 'x:y'"),
        (["--directions", "nowhere"], "does not exist"),
    ],
)
def test_what_cannot_be_served_is_one_line(mmsteer, talker_folder, words, message):
    code, _, err = mmsteer("serve", "--model", talker_folder, *words)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


def test_music_is_not_served(mmsteer, musicgen_folder):
    code, _, err = mmsteer("serve", "--model", musicgen_folder)
    assert code == 2
    assert "makes music" in err


def test_a_server_answers_and_stops(talker_folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from mmsteer.cli import main; main()"]
    command += ["serve", "--model", str(talker_folder), "--name", "small", "--port", str(port)]
    with subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}) as process:
        try:
            body = {"model": "small", "messages": [{"role": "user", "content": "cup"}], "max_tokens": 3}
            status, answer = ask(port, body)
            assert status == 200
            assert answer["usage"]["completion_tokens"] == 3
        finally:
            process.terminate()
            assert process.wait(30) in (0, -15)


def ask(port, body):
    for _ in range(1200):
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except ConnectionRefusedError:
            time.sleep(0.1)
        finally:
            connection.close()
    raise AssertionError("the server never listened")
