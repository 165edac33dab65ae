"""Answers that `mmsteer serve` gives in a second: batched beside one at a time, steered beside unsteered.

    python benchmarks/serving.py [--out FOLDER] [--quick]

One server on loopback and plain HTTP clients, all in this process. The small model (random weights, 4 layers of width
64) shows what the server itself costs, `bundled:text` what batches are worth. Every steered request has a strength of
its own.
"""

import argparse
import json
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import torch
import uvicorn
from models import blocks, direction
from report import Row, by_turns, ratio, write_report
from transformers import LlamaConfig, LlamaForCausalLM

import mmsteer
from mmsteer.serving.admission import Catalog, Limits
from mmsteer.serving.app import make_app
from mmsteer.serving.assemble import assemble

PROMPT = "Tell me about your day."


@dataclass(frozen=True)
class Case:
    """One load on one model.

    Attributes:
        name: What the table calls the model.
        adapter: The model.
        requests: How many there are.
        clients: How many ask at once.
        tokens: Of each answer.
        rounds: How often each job runs.
    """

    name: str
    adapter: Any
    requests: int
    clients: int
    tokens: int
    rounds: int


@dataclass(frozen=True)
class Load:
    """What one load took.

    Attributes:
        cpu_s: Processor seconds, of server and clients.
        latencies: Wall seconds of each request.
    """

    cpu_s: float
    latencies: list[float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--quick", action="store_true", help="the small model alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    text = mmsteer.load("bundled:text", dtype="float32")
    cases = [Case("4 layers of width 64", small(text), 200, 16, 16, 1)]
    if not options.quick:
        cases.append(Case("bundled:text", text, 16, 8, 16, 1))
    tables = {"Serving: answers a processor second": [measured(case) for case in cases]}
    notes = (
        "Processor seconds of server and clients, one thread of torch; latencies are wall seconds, on what was free.",
    )
    print(*write_report("serving", tables, options.out, notes, ("fastapi", "uvicorn")))


def small(text: Any) -> Any:
    """A model of random weights with the tokenizer of another.

    Args:
        text: The other.
    """
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(text.processor),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        eos_token_id=None,
    )
    return mmsteer.adapt(LlamaForCausalLM(config).eval(), text.processor)


def measured(case: Case) -> Row:
    """One case.

    Args:
        case: What to run.
    """
    pushed = direction(case.adapter, blocks(case.adapter), 0)
    catalog = Catalog("model", {pushed.name: pushed})
    with serving(case, catalog, 8) as batched, serving(case, catalog, 1) as alone:
        jobs = {
            "batched, steered": partial(load, case, batched, pushed.name),
            "batched": partial(load, case, batched, None),
            "alone, steered": partial(load, case, alone, pushed.name),
            "alone": partial(load, case, alone, None),
        }
        found = by_turns(jobs, case.rounds, warm=int(case.rounds > 1))
    spent = {name: [one.cpu_s for one in loads] for name, loads in found.items()}
    rates = {f"answers/s, {name}": case.requests / statistics.median(times) for name, times in spent.items()}
    return {
        "model": case.name,
        "requests": case.requests,
        "clients": case.clients,
        "tokens": case.tokens,
        "batched / alone, steered": ratio(spent["alone, steered"], spent["batched, steered"]),
        "steered / unsteered, batched": ratio(spent["batched, steered"], spent["batched"]),
        **rates,
        "p50 s, batched, steered": quantile(found["batched, steered"], 0.5),
        "p95 s, batched, steered": quantile(found["batched, steered"], 0.95),
        "p50 s, alone, steered": quantile(found["alone, steered"], 0.5),
    }


@contextmanager
def serving(case: Case, catalog: Catalog, rows: int) -> Iterator[int]:
    """A server on loopback; its port.

    Args:
        case: Of which model.
        catalog: What can be asked for.
        rows: Most rows of a batch.
    """
    server = assemble(case.adapter, catalog, Limits(), (rows, 0.005, 256), 1 << 20)
    http = uvicorn.Server(uvicorn.Config(make_app(server, ["127.0.0.1"]), port=0, log_level="error"))
    thread = threading.Thread(target=http.run)
    thread.start()
    while not http.started:
        time.sleep(0.01)
    try:
        yield http.servers[0].sockets[0].getsockname()[1]
    finally:
        http.should_exit = True
        thread.join()


def load(case: Case, port: int, name: str | None) -> Load:
    """Ask for all answers.

    Args:
        case: The load.
        port: Of the server.
        name: Of the direction that each request is steered by; None for none.
    """
    began = time.process_time()
    steers = ["" if name is None else f"{name} {0.01 + 0.001 * place:g}" for place in range(case.requests)]
    with ThreadPoolExecutor(case.clients) as pool:
        latencies = list(pool.map(partial(ask, case, port), steers))
    return Load(time.process_time() - began, latencies)


def ask(case: Case, port: int, steer: str) -> float:
    """Seconds until an answer is there.

    Args:
        case: The load.
        port: Of the server.
        steer: Of this request.
    """
    body = {
        "model": "model",
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": case.tokens,
        "steer": steer,
    }
    began = time.perf_counter()
    with closing(HTTPConnection("127.0.0.1", port, timeout=600)) as connection:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.status == 200, response.read()
        response.read()
    return time.perf_counter() - began


def quantile(loads: list[Load], share: float) -> float:
    """A quantile of the latencies of all rounds.

    Args:
        loads: The rounds.
        share: Of the requests that are faster.
    """
    ordered = sorted(one for each in loads for one in each.latencies)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


if __name__ == "__main__":
    main()
