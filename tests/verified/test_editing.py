"""What is left of sentences without what they say of some objects, by hand."""

import pytest

from mmsteer.eval.chair_parser import object_parser
from mmsteer.verified.editing import without

CASES = [
    ("There is a cup on the left.", {"cup"}, ""),
    ("This is a park. There is a cup on the left. A dog is here.", {"cup"}, "This is a park. A dog is here."),
    ("There is a cup on the left and a dog on the right.", {"dog"}, "There is a cup on the left."),
    ("There is a cup on the left and a dog on the right.", {"cup"}, "There is a dog on the right."),
    ("There is a cup on the left and a dog on the right.", {"cup", "dog"}, ""),
    ("A cup and a black dog can be seen.", {"dog"}, "A cup can be seen."),
    ("A black cup and a dog can be seen.", {"cup"}, "A dog can be seen."),
    ("I see a cup, a dog and a cat.", {"dog"}, "I see a cup and a cat."),
    ("I see a cup, a dog and a cat.", {"cat"}, "I see a cup, a dog."),
    ("I see a cup, a dog and a cat.", {"cup"}, "I see a dog and a cat."),
    ("A cup is next to a dog.", {"cup"}, ""),
    ("A cup is next to a dog.", {"dog"}, ""),
    ("Nothing is here! Or is it?", {"dog"}, "Nothing is here! Or is it?"),
    ("A cup. A cup and a dog", {"cup"}, "A dog"),
    ("a cup and a dog, and a cat in the middle.", {"cup"}, "a dog, and a cat in the middle."),
]  # fmt: skip


@pytest.mark.parametrize(("caption", "denied", "left"), CASES)
def test_what_names_a_denied_object_goes_and_the_rest_stays(caption, denied, left):
    assert without(caption, object_parser()(caption), denied) == left


@pytest.mark.parametrize("caption", [case[0] for case in CASES])
def test_nothing_is_changed_where_nothing_is_denied(caption):
    assert without(caption, object_parser()(caption), set()) == caption
