"""Sites."""

import pytest

from mmsteer.errors import SiteError
from mmsteer.types import Site, select_sites

AVAILABLE = [
    Site(stack, layer, point) for stack in ("text", "vision") for layer in range(6) for point in ("block", "mlp")
]
# Layers 1, 3 and 5 are recurrent: they have no heads.
HEADS = [*AVAILABLE, *(Site("text", layer, "head", head) for layer in (0, 2, 4) for head in range(3))]


@pytest.mark.parametrize(
    "text", ["decoder.12", "text.0.mlp", "vision.3.attention", "text.12.head.5", "text.0.mlp_input"]
)
def test_sites_print_and_parse(text):
    assert str(Site.parse(text)) == text


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("text.2", ["text.2"]),
        ("text.1-3", ["text.1", "text.2", "text.3"]),
        ("vision.*.mlp", [f"vision.{layer}.mlp" for layer in range(6)]),
        ("vision.0, text.5,text.5", ["text.5", "vision.0"]),
    ],
)
def test_patterns_select_in_the_models_order(pattern, expected):
    assert list(map(str, select_sites(pattern, AVAILABLE))) == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("text.2.head.1", ["text.2.head.1"]),
        ("text.*.head.2", ["text.0.head.2", "text.2.head.2", "text.4.head.2"]),
        ("text.4.head.1-2", ["text.4.head.1", "text.4.head.2"]),
        ("text.0.head.*, text.2", ["text.2", "text.0.head.0", "text.0.head.1", "text.0.head.2"]),
    ],
)
def test_patterns_select_heads(pattern, expected):
    assert list(map(str, select_sites(pattern, HEADS))) == expected


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("text.2.head.3", "it has layers 0, 2, 4 there, and heads 0-2"),
        ("text.2.head.1-3", "it has layers 0, 2, 4 there, and heads 0-2"),
        ("text.0-2.head.*", "it has layers 0, 2, 4 there"),
        ("vision.0.head.*", "head is the output of one attention head"),
    ],
)
def test_patterns_that_name_no_head(pattern, message):
    with pytest.raises(SiteError, match=message):
        select_sites(pattern, HEADS)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("text", "cannot read site 'text'"),
        ("", "cannot read site ''"),
        ("text.x", "cannot read"),
        ("text.2.head", "points: embedding, head, attention"),
        ("text.2.mlp.1", "cannot read"),
        ("text.2.mid", "mid is the residual stream that the MLP and its norm are given"),
        ("text.6", "no such site; it has layers 0-5"),
        ("text.4-9", "it has layers 0-5"),
        ("decoder.*", r"it has text.\* \(block\)"),
        ("text.3-1", "no such site"),
    ],
)
def test_patterns_that_name_nothing(pattern, message):
    with pytest.raises(SiteError, match=message):
        select_sites(pattern, AVAILABLE)


def test_one_site_is_one_site():
    with pytest.raises(SiteError, match="several sites"):
        Site.parse("text.1-3")
    with pytest.raises(SiteError, match="several sites"):
        Site.parse("text.1.head.*")


def test_a_site_where_a_direction_was_not_found_is_not_called_missing_from_the_model():
    with pytest.raises(
        SiteError, match=r"'vision\.\*': 'col:blue' was not found there; it has text\.\* \(block\)"
    ) as found:
        select_sites("vision.*", [Site("text", 1)], "col:blue")
    assert "model" not in str(found.value)
