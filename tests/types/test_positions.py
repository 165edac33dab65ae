"""The language of token positions, against sets written out by hand."""

import pytest
import torch

from mmsteer.errors import PositionsError
from mmsteer.types import Kind, Positions, Tokens

P, G, F, L, T, PICTURE = (Kind.PROMPT, Kind.GENERATED, Kind.FIRST, Kind.LAST, Kind.TEXT, Kind.IMAGE)
# Two padding tokens, a first text token, two image tokens, the last prompt token, four generated ones.
KINDS = [Kind.PADDING, Kind.PADDING, P | F | T, P | PICTURE, P | PICTURE, P | L | T, G | T, G | T, G | T, G | T]
TOKENS = Tokens(torch.tensor([[int(kind) for kind in KINDS]]), torch.arange(-5, 5), rate=2.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", {2, 3, 4, 5, 6, 7, 8, 9}),
        ("prompt", {2, 3, 4, 5}),
        ("image", {3, 4}),
        ("text", {2, 5, 6, 7, 8, 9}),
        ("generated", {6, 7, 8, 9}),
        ("first | last", {2, 5}),
        ("all - first", {3, 4, 5, 6, 7, 8, 9}),
        ("prompt & text", {2, 5}),
        ("prompt | generated & 2..4steps", {2, 3, 4, 5, 7, 8}),
        ("(prompt | generated) & 2..4steps", {7, 8}),
        ("all - prompt - 1..2steps", {7, 8, 9}),
        ("0..1s", {5, 6}),
        ("generated & 0.5..1.5s", {6, 7}),
    ],
)
def test_selections(text, expected):
    selected = Positions(text).mask(TOKENS)
    assert set(selected[0].nonzero().flatten().tolist()) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "end too early"),
        ("imgae", "no term 'imgae'; choose from all, prompt"),
        ("image &", "end too early"),
        ("image text", "nothing is expected at 'text'"),
        ("(image", "not closed"),
        ("3..1s", "is empty"),
        ("1..2..3s", "cannot read|not two numbers"),
        ("image; import os", "cannot read"),
    ],
)
def test_selections_that_cannot_be_read(text, message):
    with pytest.raises(PositionsError, match=message):
        Positions(text)


def test_seconds_need_an_output_with_a_duration():
    with pytest.raises(PositionsError, match="write it in steps"):
        Positions("0..1s").mask(Tokens(TOKENS.kinds, TOKENS.steps))


def test_deep_brackets_are_an_error_and_no_crash():
    with pytest.raises(PositionsError, match="nested"):
        Positions("(" * 5000 + "all" + ")" * 5000)
    with pytest.raises(PositionsError, match="nested"):
        Positions("all" + " | all" * 5000)


def test_positions_say_which_terms_they_name():
    assert Positions("(all - first) & image").names("first")
    assert not Positions("generated | 0..2steps").names("first")


def test_positions_less_others_bind_as_a_whole():
    kinds = torch.tensor([[int(Kind.FIRST | Kind.TEXT), int(Kind.IMAGE), int(Kind.TEXT)]])
    less = Positions("image | text").without("first | image")
    assert less.mask(Tokens(kinds, torch.arange(3))).tolist() == [[False, False, True]]
    assert Positions(str(less)) == less
