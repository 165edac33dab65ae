"""The laws of steering, in the user's own calls of audiocraft's MusicGen."""

import numpy as np
import pytest
import torch

from mmsteer import hooks
from mmsteer.errors import SteeringError
from mmsteer.schedules import parse_schedule
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.types import Positions, Site
from tests.conftest import planted

PROMPTS = ["a slow piano melody", "a fast flute melody"]
LAST = Site("decoder", 3)
RATE = 50
DELAY = 3


@pytest.fixture
def musicgen(crafted):
    """audiocraft's own model, with its settings as they were afterwards."""
    model = crafted.musicgen
    before = model.duration, model.extend_stride, dict(model.generation_params)
    yield model
    model.duration, model.extend_stride, model.generation_params = before


def states(adapter, run):
    """What the last block returned, forward by forward."""
    seen = []
    with hooks.readings({adapter.module(LAST): lambda state: seen.append(state.clone())}):
        run()
    return seen


def pushes(adapter, steering, run):
    """How far each forward was pushed along a direction at the last block, (rows, tokens), against the plain run.

    Every token is forced, and nothing lies between the last block and the logits, so that nothing else differs.
    """
    direction = steering.attributes[0].direction.vectors[LAST]

    def forced(inner):
        return lambda *args, **kwargs: torch.zeros_like(inner(*args, **kwargs)) + 5

    with hooks.around(adapter.model, "_sample_next_token", forced):
        plain = states(adapter, run)
        with steer(adapter, steering):
            steered = states(adapter, run)
    return [(some - other) @ direction for some, other in zip(steered, plain, strict=True)]


def line(adapter, schedule="constant(1)", **more):
    return Steering((Attribute(planted(adapter, "note:C", [3]), 1.0, schedule=parse_schedule(schedule), **more),))


def ramp(frames):
    """A schedule that is 1 at step 1, and so on: it says the step."""
    return f"points(0steps:0, {frames}steps:{frames})"


def codes(musicgen, prompts=PROMPTS):
    return musicgen.generate(prompts, return_tokens=True)[1]


@pytest.mark.parametrize("two_step", [False, True])
def test_strength_zero_is_the_unsteered_model_bit_for_bit(crafted, musicgen, two_step):
    musicgen.generation_params["two_step_cfg"] = two_step
    plain = states(crafted, lambda: codes(musicgen))
    nothing = Steering((Attribute(planted(crafted, "note:C", [0, 2]), 0.0),))
    with steer(crafted, nothing):
        steered = states(crafted, lambda: codes(musicgen))
    assert len(plain) == len(steered)
    assert all(torch.equal(some, other) for some, other in zip(plain, steered, strict=True))


@pytest.mark.parametrize("two_step", [False, True])
def test_rows_that_are_not_steered_are_the_unsteered_model_bit_for_bit(crafted, musicgen, two_step):
    musicgen.generation_params["two_step_cfg"] = two_step
    plain = codes(musicgen)
    pushed = Steering((Attribute(planted(crafted, "note:C", [0, 2]), 9.0),))
    with steer(crafted, [pushed, Steering()]):
        steered = codes(musicgen)
    assert torch.equal(steered[1], plain[1])
    assert not torch.equal(steered[0], plain[0])
    assert torch.equal(codes(musicgen), plain)  # and nothing is left behind


def test_a_ramp_in_seconds_is_that_of_a_plain_loop(crafted, musicgen):
    """0 at the start and 1 from 0.2 s on, over 0.5 s at 50 frames a second."""
    forwards = pushes(crafted, line(crafted, "fade-in 0..0.2s"), lambda: codes(musicgen))
    expected = [min(step / (0.2 * RATE), 1.0) for step in range(25 + DELAY)]
    assert [tuple(one.shape) for one in forwards] == [(4, 1)] * (25 + DELAY)
    for forward, strength in zip(forwards, expected, strict=True):
        torch.testing.assert_close(forward, torch.full((4, 1), strength), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("branch", "expected"), [("both", (1, 1)), ("conditional", (1, 0)), ("null", (0, 1))])
@pytest.mark.parametrize("two_step", [False, True])
def test_branches_of_guidance(crafted, musicgen, two_step, branch, expected):
    musicgen.generation_params["two_step_cfg"] = two_step
    forwards = pushes(crafted, line(crafted, branch=branch), lambda: codes(musicgen))
    if two_step:  # conditional, null, conditional, ...
        forwards = [torch.cat(pair) for pair in zip(forwards[::2], forwards[1::2], strict=True)]
    assert len(forwards) == 25 + DELAY
    rows = torch.tensor([float(expected[row // 2]) for row in range(4)])[:, None]
    for forward in forwards:
        torch.testing.assert_close(forward, rows, atol=1e-4, rtol=0)


@pytest.mark.parametrize("two_step", [False, True])
def test_the_clock_goes_on_over_windows(crafted, musicgen, two_step):
    """1.5 s in windows of 1 s, each 0.6 s after the one before: steps 0 to 49, then 30 to 74."""
    musicgen.duration, musicgen.generation_params["two_step_cfg"] = 1.5, two_step
    forwards = pushes(crafted, line(crafted, ramp(75)), lambda: codes(musicgen))[:: 1 + two_step]
    assert [forward.shape[1] for forward in forwards] == [1] * (50 + DELAY) + [21] + [1] * (24 + DELAY)
    first = [*range(50 + DELAY)]
    second = [*range(30, 75 + DELAY)]
    measured = torch.cat(forwards, dim=1)
    expected = torch.tensor([float(min(step, 74)) for step in (*first, *second)])
    torch.testing.assert_close(measured[0], expected, atol=1e-3, rtol=0)
    torch.testing.assert_close(measured[1], expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("two_step", [False, True])
def test_a_receipt_counts_every_step_once(crafted, musicgen, two_step):
    musicgen.duration, musicgen.generation_params["two_step_cfg"] = 1.5, two_step
    with steer(crafted, line(crafted)) as session:
        made = codes(musicgen)
    receipt = session.receipt()
    assert made.shape[-1] == 75
    assert (receipt.calls, receipt.rows, receipt.steps, receipt.tokens) == (1, 4, 75, 4 * 75)


def test_a_time_that_only_a_later_window_reaches_is_steered_there_alone(crafted, musicgen):
    musicgen.duration = 1.5
    plain = codes(musicgen)
    late = Steering((Attribute(planted(crafted, "note:C", [0, 2]), 9.0, positions=Positions("1.2..1.5s")),))
    with steer(crafted, late):
        made = codes(musicgen)
    assert torch.equal(made[..., : 60 - DELAY], plain[..., : 60 - DELAY])
    assert not torch.equal(made, plain)


def test_a_continuation_keeps_the_time_of_the_output(crafted, musicgen):
    clip = 0.1 * torch.from_numpy(np.random.default_rng(0).standard_normal((2, 1, 10 * 320)).astype(np.float32))
    run = lambda: musicgen.generate_continuation(clip, 16000, PROMPTS)  # noqa: E731
    forwards = pushes(crafted, line(crafted, ramp(25)), run)
    torch.testing.assert_close(forwards[0][0], torch.arange(11.0), atol=1e-3, rtol=0)
    torch.testing.assert_close(forwards[1][0], torch.tensor([11.0]), atol=1e-3, rtol=0)
    alone = pushes(crafted, line(crafted, positions=Positions("generated | last")), run)
    torch.testing.assert_close(alone[0][0], torch.tensor([0.0] * 10 + [1.0]), atol=1e-4, rtol=0)
    torch.testing.assert_close(alone[1][0], torch.ones(1), atol=1e-4, rtol=0)


def test_a_continuation_over_windows_leaves_its_clip_alone(crafted, musicgen):
    """The second window begins with frames 30 to 49, which were generated, at their own times."""
    musicgen.duration = 1.5
    clip = 0.1 * torch.from_numpy(np.random.default_rng(0).standard_normal((1, 1, 10 * 320)).astype(np.float32))
    run = lambda: musicgen.generate_continuation(clip, 16000, PROMPTS[:1])  # noqa: E731
    steering = line(crafted, ramp(75), positions=Positions("generated"))
    forwards = pushes(crafted, steering, run)
    torch.testing.assert_close(forwards[0][0], torch.zeros(11), atol=1e-4, rtol=0)
    (later,) = [forward for forward in forwards[1:] if forward.shape[1] > 1]
    torch.testing.assert_close(later[0], torch.arange(30.0, 51.0), atol=1e-3, rtol=0)


def test_a_melody_before_the_start_token_is_no_output(sung_crafted):
    musicgen = sung_crafted.musicgen
    time = torch.arange(16000) / 16000
    tune = 0.5 * torch.sin(2 * torch.pi * 262 * time)[None]
    run = lambda: musicgen.generate_with_chroma(PROMPTS[:1], tune[None], 16000)  # noqa: E731
    prefix = 8 + 5  # chroma, words
    for two_step in (False, True):
        musicgen.generation_params["two_step_cfg"] = two_step
        forwards = pushes(sung_crafted, line(sung_crafted, ramp(25), positions=Positions("all")), run)
        torch.testing.assert_close(forwards[0][0], torch.zeros(prefix + 1), atol=1e-4, rtol=0)
        # The null branch alone has no words but the end of text.
        expected = forwards[2 if two_step else 1][0]
        torch.testing.assert_close(expected, torch.tensor([1.0]), atol=1e-4, rtol=0)
        if two_step:
            assert forwards[1].shape[1] == 8 + 1 + 1
            torch.testing.assert_close(forwards[-1][0], torch.tensor([24.0]), atol=1e-3, rtol=0)


def test_the_language_models_own_generate_is_steered(crafted, musicgen):
    attributes, _ = musicgen._prepare_tokens_and_attributes(PROMPTS, None)
    run = lambda: crafted.model.generate(None, attributes, max_gen_len=10, use_sampling=False)  # noqa: E731
    forwards = pushes(crafted, line(crafted, ramp(10), branch="conditional"), run)
    assert [forward[0, 0].round().item() for forward in forwards] == [min(step, 9) for step in range(10 + DELAY)]
    assert all(float(forward[2:].abs().max()) < 1e-4 for forward in forwards)


def test_music_without_a_description_is_steered(crafted, musicgen):
    forwards = pushes(crafted, line(crafted), lambda: musicgen.generate_unconditional(2))
    assert all(torch.allclose(forward, torch.ones(4, 1), atol=1e-4) for forward in forwards)


def test_one_steering_each_needs_as_many_prompts(crafted, musicgen):
    with pytest.raises(SteeringError, match="for 2 samples, generate was given 1"):
        with steer(crafted, [line(crafted), Steering()]):
            musicgen.generate(PROMPTS[:1])


def test_nothing_is_left_on_the_model(crafted, musicgen):
    with steer(crafted, line(crafted)):
        musicgen.generate(PROMPTS)
    assert "_generate_tokens" not in vars(musicgen)
    assert not {"generate", "_sample_next_token"} & vars(crafted.model).keys()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in crafted.model.modules())


def test_own_settings_stay_as_they_are(crafted, musicgen):
    before = musicgen.duration, dict(musicgen.generation_params)
    crafted.generate(PROMPTS, seeds=[1, 2])
    assert (musicgen.duration, musicgen.generation_params) == before
