import pytest
import torch

from mmsteer.errors import ProbeError
from mmsteer.probes.targets import encode


def test_classes_are_ordered_by_size_then_name():
    assert encode([10, 9, 100, 9], "multiclass").labels == ("9", "10", "100")
    assert encode(["b", "a", "b"], "multiclass").labels == ("a", "b")
    assert encode(torch.tensor([2, 0, 1]), "multiclass").labels == ("0", "1", "2")


def test_columns():
    assert encode([True, False], "binary").columns.tolist() == [[1.0], [0.0]]
    assert encode(["x", "y", "x"], "multiclass").columns.tolist() == [[1, 0], [0, 1], [1, 0]]
    assert encode([0.5, 2.5], "regression").columns.tolist() == [[0.5], [2.5]]


def test_labels_as_people_write_them():
    assert encode(["yes", "No", "YES"], "binary").columns.tolist() == [[1.0], [0.0], [1.0]]
    assert encode(["0", "1"], "binary").columns.tolist() == [[0.0], [1.0]]
    assert encode(["0.5", "2"], "regression").columns.tolist() == [[0.5], [2.0]]
    with pytest.raises(ProbeError, match="0 and 1, or yes and no, as labels, got 'pirate', 'plain'; fit multiclass"):
        encode(["pirate", "plain"], "binary")


@pytest.mark.parametrize(("y", "task"), [(["a", "a"], "multiclass"), ([1, 1], "binary"), ([2.0, 2.0], "regression")])
def test_labels_that_never_differ(y, task):
    with pytest.raises(ProbeError, match="all 2 labels are"):
        encode(y, task)
