"""Log-probabilities of outputs, against a loop of single forwards."""

import pytest
import torch

from mmsteer.adapters import load
from mmsteer.layouts import layouts
from mmsteer.likelihood import output_likelihood, output_tokens
from mmsteer.steering import Attribute, Steering
from mmsteer.types import Sample
from tests.adapters.checkpoints import save
from tests.conftest import planted


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return load(save("llama", tmp_path_factory.mktemp("llama")))


def by_hand(adapter, sample):
    """One token after the other, without padding."""
    prompt = adapter.reading([Sample("0", sample.prompt)]).arguments["input_ids"][0].tolist()
    answer = adapter.processor(sample.output, add_special_tokens=False)["input_ids"]
    total = 0.0
    for place, token in enumerate(answer):
        ids = torch.tensor([[*prompt, *answer[:place]]])
        with torch.no_grad():
            total += float(adapter.model(input_ids=ids).logits[0, -1].double().log_softmax(-1)[token])
    return [total, float(len(answer))]


SAMPLES = [
    Sample("0", "is there a cup in the image", output="yes"),
    Sample("1", "describe", output="the image shows a cup"),
]


def test_sums_are_those_of_single_steps(llama):
    found = output_likelihood(llama, SAMPLES)
    expected = torch.tensor([by_hand(llama, one) for one in SAMPLES], dtype=torch.float64)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)


def read(adapter, samples, **more):
    reading = adapter.reading(samples)
    with layouts(adapter, adapter.generator, reading) as found:
        logits = adapter.read(reading, **more)
    return logits, output_tokens(adapter, reading, found[-1], logits)


def test_logits_before_the_output_are_of_no_use(llama):
    logits, whole = read(llama, SAMPLES)
    fewer, part = read(llama, SAMPLES, logits="outputs")
    longest = max(int(size) for size in whole.sizes)
    assert fewer.shape[1] == longest + 1 < logits.shape[1]
    torch.testing.assert_close(part.sums, whole.sums)
    assert torch.equal(part.sizes, whole.sizes)


def test_a_prompt_without_output_has_one_logit(llama):
    logits, tokens = read(llama, [Sample("0", "describe")], logits="outputs")
    assert logits.shape[1] == 1
    assert tokens.sizes.tolist() == [0]


def test_steering_moves_them_and_none_does_not(llama):
    plain = output_likelihood(llama, SAMPLES)
    pushed = Steering((Attribute(planted(llama, "x:yes", [1]), 5.0),))
    assert torch.equal(output_likelihood(llama, SAMPLES, Steering()), plain)
    moved = output_likelihood(llama, SAMPLES, pushed)
    assert (moved[:, 0] - plain[:, 0]).abs().min() > 1e-3
    assert torch.equal(moved[:, 1], plain[:, 1])


def test_codes_of_a_clip_are_counted_without_their_padding(musicgen):
    wave = torch.sin(torch.arange(6400) * 0.05).numpy()
    ((total, count),) = output_likelihood(musicgen, [Sample("0", "a melody", output=wave)]).tolist()
    # 20 frames of 4 codebooks but for the very last code, which no decoder reads; each about as likely as any of 32.
    assert count == 79
    assert -total / count == pytest.approx(torch.tensor(32.0).log().item(), abs=0.3)
