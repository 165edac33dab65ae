"""JumpReLU and Gated against hand calculation."""

import pytest
import torch
from torch.testing import assert_close

from mmsteer.errors import DictionaryError
from mmsteer.sae import Gated, JumpReLU
from mmsteer.sae.thresholds import jump, step_above, warmth
from mmsteer.sae.weights import Weights


def entries():
    """Two features at threshold 0.5 and 0.2, bandwidth 0.2: near the threshold, far above it, and below it."""
    a = torch.tensor([[0.55, 0.9], [0.45, 0.1], [0.1, 0.25]], requires_grad=True)
    return a, torch.tensor([0.5, 0.2], requires_grad=True)


def test_the_jump_by_hand():
    a, threshold = entries()
    z = jump(a, threshold, 0.2)
    assert_close(z, torch.tensor([[0.55, 0.9], [0.0, 0.0], [0.0, 0.25]]))
    z.backward(torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]))
    assert a.grad.tolist() == [[1, 10], [0, 0], [0, 30]]
    # Within 0.1 of the threshold are 0.55 and 0.45: -(0.5 / 0.2)(1 + 2); and 0.25: -(0.2 / 0.2) 30.
    # 0.1 is 0.1 away from 0.2, which is not within.
    assert_close(threshold.grad, torch.tensor([-7.5, -30.0]))


def test_the_count_by_hand():
    a, threshold = entries()
    counted = step_above(a, threshold, 0.2)
    assert counted.tolist() == [[1, 1], [0, 0], [0, 1]]
    counted.backward(torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]))
    assert a.grad is None
    assert_close(threshold.grad, torch.tensor([-15.0, -150.0]))


def weights() -> Weights:
    made = Weights(torch.tensor([0.5, -0.5]), 3, seed=0)
    with torch.no_grad():
        made.encoder.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
        made.decoder.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
    return made


def test_the_loss_of_jumprelu_by_hand():
    # x - b = (1, 0.25): a = (1, 0.25, -1); at threshold 0.5 z = (1, 0, 0), so 0.25 is missed and L0 is 1 of 2.
    architecture = JumpReLU(2.0, bandwidth=0.1, start_at=0.5, warmup=10)
    made = weights()
    state = architecture.start(made)
    x, dead = torch.tensor([[1.5, -0.25]]), torch.zeros(3, dtype=torch.bool)
    for step, warm in ((0, 0.0), (5, 0.5), (50, 1.0)):
        found = architecture.run(made, state, x, dead, step)
        assert found.loss.item() == pytest.approx(0.25**2 + warm * 0.25)
    assert found.fired.tolist() == [1, 0, 0]
    with torch.no_grad():
        state["threshold"].fill_(-1.0)
    architecture.run(made, state, x, dead, 0)
    assert state["threshold"].min() == 0


def test_the_loss_of_a_gate_by_hand():
    # Gate = (1, 0.25, -1) + 0.1; magnitude = 2 (1, 0.25, -1) - 0.5 where open.
    architecture = Gated(0.5, warmup=0)
    made = weights()
    state = architecture.start(made)
    with torch.no_grad():
        made.encoder_bias.fill_(0.1)
        state["log_scale"].fill_(torch.log(torch.tensor(2.0)))
        state["magnitude_bias"].fill_(-0.5)
    found = architecture.run(made, state, torch.tensor([[1.5, -0.25]]), torch.zeros(3, dtype=torch.bool), 0)
    error = (1 - 1.5) ** 2 + (0.25 - 0.0) ** 2
    alone = (1 - 1.1) ** 2 + (0.25 - 0.35) ** 2
    assert found.loss.item() == pytest.approx(error + 0.5 * (1.1 + 0.35) + alone)
    assert found.fired.tolist() == [1, 0, 0]  # the second gate is open, its magnitude is zero
    found.loss.backward()
    assert made.encoder_bias.grad is not None  # from penalty and auxiliary reconstruction alone
    # The auxiliary path does not move the decoder: its gradient is that of the reconstruction, -2 (x - x̂) z.
    assert_close(made.decoder.grad[0], -2 * torch.tensor([1 - 1.5, 0.25]) * 1.5)


def test_a_penalty_warms_up():
    assert [warmth(step, 4) for step in (0, 1, 4, 9)] == [0.0, 0.25, 1.0, 1.0]
    assert warmth(0, 0) == 1.0


def test_settings_are_checked():
    with pytest.raises(DictionaryError, match="above zero"):
        JumpReLU(0.0)
    with pytest.raises(DictionaryError, match="nothing is sparse"):
        Gated(0.0)
