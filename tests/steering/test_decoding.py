"""What layers add at each step: laid out in advance, it is what the table says of that step."""

import pytest
import torch

from mmsteer.steering import decoding
from mmsteer.steering.decoding import Decoding, bank_of

LAYERS, STEPS, ROWS, COLUMNS, WIDTH = 3, 40, 2, 5, 7


def table(layers, lengths, seed=0):
    """Coefficients that stay as they are for some lengths of time."""
    generator = torch.Generator().manual_seed(seed)
    runs = torch.randn(layers, len(lengths), ROWS, COLUMNS, generator=generator)
    return runs.repeat_interleave(torch.tensor(lengths), dim=1)


@pytest.fixture(params=[1, LAYERS], ids=["layers alike", "layers apart"])
def layers(request):
    return request.param


@pytest.fixture
def vectors():
    return torch.randn(LAYERS, COLUMNS, WIDTH, generator=torch.Generator().manual_seed(1))


def decoding_of(coefficients, vectors):
    return Decoding(coefficients, bank_of(vectors, coefficients), [WIDTH] * LAYERS)


def check(coefficients, vectors, order):
    steps = decoding_of(coefficients, vectors)
    for step in order:
        now = coefficients[:, min(step, STEPS - 1)]
        wanted = torch.einsum("lrc,lcw->lrw", now.expand(LAYERS, -1, -1), vectors)
        torch.testing.assert_close(torch.cat(list(steps.added(step, torch.float32)), dim=1), wanted.transpose(0, 1))
        torch.testing.assert_close(steps.coefficients(step), now.unsqueeze(2))


@pytest.mark.parametrize(
    "lengths",
    [[STEPS], [1] * STEPS, [5, 1, 1, 1, 10, 1, 2, 19], [2] * (STEPS // 2)],
    ids=["one", "all", "mixed", "two"],
)
def test_every_step_adds_what_its_coefficients_say(layers, vectors, lengths):
    check(table(layers, lengths), vectors, range(STEPS))


def test_steps_may_be_run_again_and_past_the_end(layers, vectors):
    check(table(layers, [1] * STEPS), vectors, [0, 1, 2, 3, 4, 2, 3, 9, 1, 38, 39, 40, 45, 7])


def test_laying_out_stops_where_the_memory_does(layers, vectors, monkeypatch):
    monkeypatch.setattr(decoding, "AHEAD", 3 * ROWS * LAYERS * WIDTH * 4)
    products = []
    bmm = torch.bmm
    monkeypatch.setattr(torch, "bmm", lambda a, b: products.append(a.shape[1] // ROWS) or bmm(a, b))
    check(table(layers, [1] * STEPS), vectors, range(STEPS))
    assert products == [1, 2, *[3] * 12, 1]


def test_a_step_of_the_device_is_looked_up(layers, vectors):
    coefficients = table(layers, [1] * STEPS)
    steps = decoding_of(coefficients, vectors)
    for step in (0, 17, 99):
        asked = torch.tensor(step)
        for found, wanted in zip(steps.added(asked, torch.float32), steps.added(step, torch.float32), strict=True):
            torch.testing.assert_close(found, wanted)
        torch.testing.assert_close(steps.coefficients(asked), steps.coefficients(step))
