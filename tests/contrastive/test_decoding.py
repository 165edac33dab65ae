"""The processor against two forwards without a cache, written out by hand."""

import math
from itertools import pairwise

import pytest
import torch
from torch.testing import assert_close

from mmsteer.contrastive import ContrastiveDecoding, noised
from mmsteer.errors import AdapterError
from mmsteer.hooks import clock, edits
from tests.contrastive.conftest import END, PAD

STEPS = 8
SAMPLING = {"do_sample": True, "top_k": 0}


def generate(model, inputs, *processors, **options):
    torch.manual_seed(3)
    options = {"max_new_tokens": STEPS, "do_sample": False, "eos_token_id": None, **options}
    return model.generate(
        **inputs, **options, logits_processor=list(processors), output_scores=True, return_dict_in_generate=True
    )


def whole(model, inputs, answer):
    """Log-probabilities of the next token after a prompt and an answer, in one forward, (rows, vocabulary)."""
    ids = torch.cat([inputs["input_ids"], answer], dim=1)
    mask = torch.cat([inputs["attention_mask"], torch.ones_like(answer)], dim=1)
    given = {key: value for key, value in inputs.items() if key not in ("input_ids", "attention_mask")}
    position = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        output = model(input_ids=ids, attention_mask=mask, position_ids=position, use_cache=False, **given)
    return output.logits[:, -1].log_softmax(-1)


def by_hand(model, inputs, distorted, answer, a, b):
    true, other = whole(model, inputs, answer), whole(model, distorted, answer)
    scores = (1 + a) * true - a * other
    scores[true.exp() < b * true.exp().amax(-1, keepdim=True)] = -math.inf
    return scores.log_softmax(-1)


def check(model, inputs, distorted, found, a=1.0, b=0.1):
    answer = found.sequences[:, inputs["input_ids"].shape[1] :]
    for step, scores in enumerate(found.scores):
        assert_close(scores, by_hand(model, inputs, distorted, answer[:, :step], a, b), atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("options", [{}, SAMPLING, {"cache_implementation": "static"}], ids=str)
@pytest.mark.parametrize("kind", ["noise", "instruction"])
def test_scores_are_those_of_two_whole_forwards(llava, inputs, confused, kind, options):
    distorted = noised(inputs) if kind == "noise" else confused
    found = generate(llava, inputs, ContrastiveDecoding(llava, inputs, distorted), **options)
    assert len(found.scores) == STEPS
    check(llava, inputs, distorted, found)


def test_the_contrast_changes_the_answer(llava, inputs):
    plain = generate(llava, inputs).sequences
    pushed = generate(llava, inputs, ContrastiveDecoding(llava, inputs, noised(inputs))).sequences
    assert not torch.equal(plain, pushed)


@pytest.mark.parametrize("options", [{}, SAMPLING, {"num_beams": 3}], ids=str)
def test_strength_zero_is_plain_decoding_bit_for_bit(llava, inputs, options):
    plain = generate(llava, inputs, **options)
    zero = generate(llava, inputs, ContrastiveDecoding(llava, inputs, noised(inputs), strength=0), **options)
    assert torch.equal(plain.sequences, zero.sequences)
    assert all(map(torch.equal, plain.scores, zero.scores))


def test_the_cut_and_the_strength_are_the_ones_that_were_asked_for(llava, inputs):
    distorted = noised(inputs)
    found = generate(llava, inputs, ContrastiveDecoding(llava, inputs, distorted, strength=0.3, cutoff=0.5))
    check(llava, inputs, distorted, found, 0.3, 0.5)
    uncut = generate(llava, inputs, ContrastiveDecoding(llava, inputs, distorted, cutoff=0))
    assert all(scores.isfinite().all() for scores in uncut.scores)
    check(llava, inputs, distorted, uncut, 1.0, 0.0)


def test_a_row_does_not_depend_on_its_batch(llava, inputs):
    together = generate(llava, inputs, ContrastiveDecoding(llava, inputs, noised(inputs)))
    for row in range(2):
        kept = inputs["attention_mask"][row].bool()
        alone = {key: inputs[key][row : row + 1, kept] for key in ("input_ids", "attention_mask")}
        alone["pixel_values"] = inputs["pixel_values"][row : row + 1]
        found = generate(llava, alone, ContrastiveDecoding(llava, alone, noised(alone)))
        for ours, theirs in zip(found.scores, together.scores, strict=True):
            assert_close(ours[0], theirs[row], atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["noise", "instruction"])
def test_beams_carry_their_branch_with_them(llava, inputs, confused, kind):
    distorted = noised(inputs) if kind == "noise" else confused
    processor = ContrastiveDecoding(llava, inputs, distorted)
    calls = []

    def spy(ids, scores):
        calls.append((ids.clone(), scores.clone(), processor(ids, scores)))
        return calls[-1][2]

    generate(llava, inputs, spy, num_beams=3)
    start = inputs["input_ids"].shape[1]
    three = [{key: value.repeat_interleave(3, 0) for key, value in one.items()} for one in (inputs, distorted)]
    moved = any(not torch.equal(old[0], new[0][:, :-1]) for old, new in pairwise(calls))
    assert moved  # otherwise nothing was reordered
    for ids, _, found in calls:
        assert_close(found, by_hand(llava, *three, ids[:, start:], 1.0, 0.1), atol=2e-4, rtol=1e-4)


def test_several_answers_to_one_prompt(llava, inputs):
    distorted = noised(inputs)
    processor = ContrastiveDecoding(llava, inputs, distorted)
    found = generate(llava, inputs, processor, num_return_sequences=2, **SAMPLING)
    two = [{key: value.repeat_interleave(2, 0) for key, value in one.items()} for one in (inputs, distorted)]
    check(llava, *two, found)


def test_a_finished_row_leaves_the_others_alone(llava, inputs):
    distorted = noised(inputs)
    free = generate(llava, inputs, ContrastiveDecoding(llava, inputs, distorted))
    answer = free.sequences[:, inputs["input_ids"].shape[1] :]
    end = next(int(token) for token in answer[0] if token not in answer[1])
    found = generate(llava, inputs, ContrastiveDecoding(llava, inputs, distorted), eos_token_id=end, pad_token_id=PAD)
    assert torch.equal(found.sequences[1], free.sequences[1])
    ended = found.sequences[0, inputs["input_ids"].shape[1] :].tolist()
    place = answer[0].tolist().index(end)
    assert ended == [*answer[0, : place + 1].tolist(), *[PAD] * (len(ended) - place - 1)]


def test_an_end_that_is_forbidden_stays_forbidden(llava, inputs):
    processor = ContrastiveDecoding(llava, inputs, noised(inputs), cutoff=0)
    found = generate(llava, inputs, processor, eos_token_id=END, pad_token_id=PAD, min_new_tokens=STEPS)
    assert all((scores[:, END] == -math.inf).all() for scores in found.scores)


def test_one_processor_serves_several_calls(llava, inputs):
    processor = ContrastiveDecoding(llava, inputs, noised(inputs))
    first, second = (generate(llava, inputs, processor) for _ in range(2))
    assert torch.equal(first.sequences, second.sequences)
    check(llava, inputs, noised(inputs), second)


def test_a_text_only_branch(llava, inputs):
    ids = torch.tensor([[PAD, 1, 5, 6], [1, 7, 9, 10]])
    distorted = {"input_ids": ids, "attention_mask": (ids != PAD).long()}
    check(llava, inputs, distorted, generate(llava, inputs, ContrastiveDecoding(llava, inputs, distorted)))


def test_steering_is_for_the_true_branch_alone(llava, inputs):
    distorted = noised(inputs)
    layer, stack = llava.model.language_model.layers[1], llava.model.language_model
    ticks = []
    push = torch.randn(32, generator=torch.Generator().manual_seed(1))
    with clock(stack, lambda *_: ticks.append(1)), edits({layer: lambda state: state + push}):
        hooks = [*layer._forward_hooks.values()]
        found = generate(llava, inputs, ContrastiveDecoding(llava, inputs, distorted))
        assert [*layer._forward_hooks.values()] == hooks
    assert len(ticks) == STEPS
    answer = found.sequences[:, inputs["input_ids"].shape[1] :]
    for step, scores in enumerate(found.scores):
        other = whole(llava, distorted, answer[:, :step])
        with edits({layer: lambda state: state + push}):
            true = whole(llava, inputs, answer[:, :step])
        expected = 2 * true - other
        expected[true.exp() < 0.1 * true.exp().amax(-1, keepdim=True)] = -math.inf
        assert_close(scores, expected.log_softmax(-1), atol=2e-4, rtol=1e-4)


def test_other_prompts_are_refused(llava, inputs):
    processor = ContrastiveDecoding(llava, inputs, noised(inputs))
    other = {**inputs, "input_ids": inputs["input_ids"].clone()}
    other["input_ids"][0, -1] = 20
    with pytest.raises(AdapterError, match="make one for each batch"):
        generate(llava, other, processor)
    generate(llava, inputs, processor, max_new_tokens=1)
    longer = torch.cat([other["input_ids"], inputs["input_ids"][:, -1:]], dim=1)
    with pytest.raises(AdapterError, match="does not continue"):
        processor(longer, torch.zeros(2, 48))
    with pytest.raises(AdapterError, match="make one for each batch"):
        processor(longer[:1], torch.zeros(1, 48))


def test_nonsense_is_refused(llava, inputs):
    one = {key: value[:1] for key, value in inputs.items()}
    with pytest.raises(AdapterError, match="2 and 1 rows"):
        ContrastiveDecoding(llava, inputs, one)
    for numbers in ({"strength": -1.0}, {"strength": math.nan}, {"cutoff": 1.5}):
        with pytest.raises(AdapterError, match="the strength is 0 or more"):
            ContrastiveDecoding(llava, inputs, inputs, **numbers)


def test_an_encoder_decoder_is_refused(musicgen, inputs):
    with pytest.raises(AdapterError, match="decoder-only"):
        ContrastiveDecoding(musicgen.model, inputs, inputs)
