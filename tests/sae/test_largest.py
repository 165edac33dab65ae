"""TopK, BatchTopK and Matryoshka against hand calculation."""

import pytest
import torch
from torch.testing import assert_close

from mmsteer.errors import DictionaryError
from mmsteer.sae import BatchTopK, TopK, matryoshka
from mmsteer.sae.largest import revival_loss
from mmsteer.sae.weights import Weights

ALIVE = torch.zeros(3, dtype=torch.bool)


def weights() -> Weights:
    """Features x, y and -x around a bias of zero."""
    made = Weights(torch.zeros(2), 3, seed=0)
    with torch.no_grad():
        for matrix in (made.encoder, made.decoder):
            matrix.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
    return made


def test_topk_by_hand():
    x = torch.tensor([[3.0, 1.0], [-2.0, 0.5]])
    found = TopK(1).run(weights(), {}, x, ALIVE, 0)
    assert found.reconstruction.tolist() == [[3.0, 0.0], [-2.0, 0.0]]
    assert found.loss.item() == pytest.approx((1.0 + 0.25) / 2)
    assert found.fired.tolist() == [1, 0, 1]


def test_batchtopk_by_hand():
    # Activations 3, 1 | 0.5, 0.2: the two largest of the batch are both of the first hidden state.
    x = torch.tensor([[3.0, 1.0], [0.5, 0.2]])
    architecture = BatchTopK(1, memory=0.9, threshold_start=5)
    made = weights()
    state = architecture.start(made)
    found = architecture.run(made, state, x, ALIVE, 0)
    assert found.reconstruction.tolist() == [[3.0, 1.0], [0.0, 0.0]]
    assert float(state["threshold"]) == 0
    architecture.run(made, state, x, ALIVE, 5)
    assert float(state["threshold"]) == 1.0
    architecture.run(made, state, 2 * x, ALIVE, 6)
    assert float(state["threshold"]) == pytest.approx(0.9 * 1 + 0.1 * 2)
    frozen = architecture.freeze(made, state, scale=0.5)
    assert_close(frozen.threshold, torch.full((3,), 2.2))
    assert frozen.k is None


def test_prefixes_by_hand():
    # The first third sees (3, 0), all see (3, 1): errors 1 and 0.
    x = torch.tensor([[3.0, 1.0]])
    made = weights()
    architecture = BatchTopK(2, prefixes=(1 / 3,), threshold_start=0)
    found = architecture.run(made, architecture.start(made), x, ALIVE, 0)
    assert found.loss.item() == pytest.approx(1.0 + 0.0)
    assert found.reconstruction.tolist() == [[3.0, 1.0]]
    assert matryoshka(8).prefixes == (1 / 16, 1 / 8, 1 / 4, 1 / 2)


def test_revival_by_hand():
    # Only y is dead; of what is missing, (0, 1) and (0, -1), it explains the first wholly and the second not at all.
    made = weights()
    x, reconstruction = torch.tensor([[3.0, 1.0], [2.0, -1.0]]), torch.tensor([[3.0, 0.0], [2.0, 0.0]])
    dead = torch.tensor([False, True, False])
    loss = revival_loss(made, made.bias(), x, reconstruction, dead)
    assert loss.item() == pytest.approx(((0 + 1) / 2) / ((1 + 1) / 2))
    loss.backward()
    assert made.encoder.grad[0].tolist() == [0.0, 0.0]
    assert made.decoder.grad[2].tolist() == [0.0, 0.0]
    assert revival_loss(made, made.bias(), x, reconstruction, ALIVE).item() == 0.0


def test_settings_are_checked():
    with pytest.raises(DictionaryError, match="k is 0"):
        TopK(0)
    with pytest.raises(DictionaryError, match="more than the 3 features"):
        TopK(4).start(weights())
    with pytest.raises(DictionaryError, match="growing shares"):
        BatchTopK(2, prefixes=(0.5, 0.25))
