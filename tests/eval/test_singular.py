import pytest

from mmsteer.eval.singular import noun_forms, pattern_singular, wordnet_singular


@pytest.mark.parametrize(
    ("word", "singular"),
    [
        # What pattern.en gives (measured on a vendored copy): the first five are its slips.
        *[("bus", "bu"), ("ties", "ty"), ("glass", "glas"), ("dress", "dres"), ("canoes", "cano")],
        *[("buses", "bus"), ("glasses", "glass"), ("women", "woman"), ("grandchildren", "grandchild")],
        *[("people", "person"), ("geese", "goose"), ("mice", "mouse"), ("oxen", "ox"), ("knives", "knife")],
        *[("calves", "calf"), ("puppies", "puppy"), ("trolleys", "trolley"), ("benches", "bench"), ("skis", "ski")],
        *[("scissors", "scissors"), ("toothbrushes", "toothbrush"), ("stoves", "stove"), ("collies", "collies")],
    ],
)
def test_pattern(word, singular):
    assert pattern_singular(word) == singular


@pytest.mark.parametrize(
    ("word", "singular"),
    [
        # WordNet 3.1: "men" and "vas" are nouns in its index, "bu" is not; the shortest known form wins (nltk #2567).
        *[("men", "men"), ("vases", "vas"), ("bus", "bus"), ("buses", "bus"), ("women", "woman"), ("geese", "goose")],
        *[("ties", "tie"), ("glass", "glass"), ("knives", "knife"), ("benches", "bench"), ("puppies", "puppy")],
        *[("smartwatches", "smartwatches")],
    ],
)
def test_wordnet(word, singular):
    nouns = {"man", "vase", "bus", "woman", "goose", "tie", "glass", "knife", "bench", "puppy"}
    assert wordnet_singular(nouns)(word) == singular


@pytest.mark.parametrize(
    ("noun", "plural"),
    [
        *[("policeman", "policemen"), ("child", "children"), ("fire hydrant", "fire hydrants"), ("lady", "ladies")],
        *[("trolley", "trolleys"), ("wine glass", "wine glasses"), ("buffalo", "buffaloes"), ("bronco", "broncos")],
        *[("pocketknife", "pocketknives"), ("calf", "calves"), ("bench", "benches"), ("thief", "thieves")],
    ],
)
def test_plurals(noun, plural):
    assert noun_forms(noun)[0] == noun
    assert plural in noun_forms(noun)
