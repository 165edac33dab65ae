"""AMBER: the questions exactly, the descriptions by association."""

import json
from pathlib import Path

import pytest

from mmsteer.errors import EvalError
from mmsteer.eval.amber import (
    Item,
    amber_json,
    amber_score,
    read_items,
    read_responses,
    score_descriptions,
    score_questions,
)
from mmsteer.eval.amber_words import Vocabulary, plural_forms, read_vocabulary, spacy_similarity

VOCABULARY = Vocabulary.of(
    {
        "person": ["people", "man", "woman"],
        "man": [],
        "dog": [],
        "cat": [],
        "ship": ["boat"],
        "TV": ["screen"],
        "forest": ["leave"],
        "berry": [],
        "orange": [],
    },
    ["orange"],
)


@pytest.fixture(scope="session")
def folder(request):
    found = Path(request.config.getoption("--data-dir")) / "amber"
    if not found.is_dir():
        pytest.skip(f"no AMBER files at {found}; give --data-dir")
    return found


@pytest.fixture(scope="session")
def items(folder):
    return read_items(folder / "annotations.json", folder / "query_all.json")


def describe(text, truth, hallu=(), **options):
    item = Item(1, "1", "generative", tuple(truth), tuple(hallu))
    return score_descriptions([item], {1: text}, VOCABULARY, **options)


def values(score):
    return [score.chair.value, score.cover.value, score.hal.value, score.cog.value]


def test_nouns_are_words_of_the_vocabulary_and_their_plurals():
    text = "People and men saw two ships, a tv, leaves, berries and a catfish by the dog-house."
    assert VOCABULARY.nouns(text) == ["people", "man", "ship", "TV", "leave", "berry", "dog"]


@pytest.mark.parametrize(
    ("word", "plural"),
    [
        ("glass", "glasses"),
        ("bush", "bushes"),
        ("toy", "toys"),
        ("woman", "women"),
        ("shelf", "shelves"),
        ("cup", "cups"),
    ],
)
def test_plurals(word, plural):
    assert plural in plural_forms(word)


def test_a_description_is_scored_by_hand():
    # mentions: dog, dog, cat, boat, orange. dog and boat are true; cat is not, and was tempting; orange is safe.
    score = describe("A dog, a dog, a cat, a boat and an orange.", ["dog", "ship", "TV"], ["cat", "man"])
    assert values(score) == pytest.approx([100 / 5, 100 * 2 / 3, 100, 50])
    assert score.rows == {1: ("cat",)}


def test_a_word_alike_to_the_truth_counts_in_cog_but_not_in_chair():
    score = describe("A cat.", ["dog"], ["cat"], similar=lambda one, other: {one, other} == {"cat", "dog"})
    assert values(score) == [0, 100, 0, 100]


def test_official_lets_a_mention_cover_one_object_and_fixed_all():
    text = "A man on ships."
    assert describe(text, ["person", "man", "ship", "ship"]).cover.value == 100
    assert describe(text, ["person", "man", "ship", "ship"], compat="official").cover.value == 50
    assert describe("An orange.", ["orange"]).cover.value == 100
    assert describe("An orange.", ["orange"], compat="official").cover.value == 0


def test_nothing_said_is_nothing_covered_and_reported_as_empty():
    score = describe(" ", ["dog"])
    assert values(score) == [None, 0, 0, None]
    assert (score.empty, score.length) == (1, 0)


def test_a_missing_response_is_unscored():
    pair = [Item(n, str(n), "generative", ("dog",), ("cat",)) for n in (1, 2)]
    score = score_descriptions(pair, {1: "A dog.", 2: None}, VOCABULARY)
    assert (score.cover.value, score.cover.n, score.unscored) == (100, 1, 1)


def test_an_object_that_the_associations_lack_is_named():
    with pytest.raises(EvalError, match="lack the annotated object 'lion'"):
        describe("A lion.", ["lion"])


def question(n, label, kind="discriminative-hallucination"):
    return Item(n, str(n // 2), kind, (label,))


def test_the_small_terms_of_the_reference_show():
    items = [question(n, "no") for n in range(50)]
    found = score_questions(items, {n: "No" if n < 1 else "Yes" for n in range(50)})
    # P = 100 / 1.001, R = 100 / 50.001, A = the same
    assert (found["existence"].precision, found["existence"].recall, found["existence"].accuracy) == (99.9, 2.0, 2.0)


def test_existence_has_the_larger_term_in_its_f1():
    items = [question(n, "no") for n in range(100)]
    found = score_questions(items, {n: "No" if n < 41 else "Yes" for n in range(100)})
    # P = 100.0, R = 41.0: 0.82 / 1.411 = 58.115 -> 58.1, 0.82 / 1.4101 = 58.152 -> 58.2
    assert (found["existence"].f1, found["all"].f1) == (58.1, 58.2)


def test_exact_mode_takes_the_letter_and_strict_the_meaning():
    items = [question(1, "yes", "relation"), question(2, "no", "relation"), question(3, "no", "relation")]
    said = {1: "Yes.", 2: "no", 3: "maybe"}
    exact, strict = (score_questions(items, said, parser)["relation"] for parser in ("exact", "strict"))
    assert (exact.accuracy, exact.n, exact.unparsed) == (0, 3, 3)
    assert (strict.accuracy, strict.n, strict.unparsed) == (100.0, 2, 1)


def test_dimensions_without_answers_are_none():
    found = score_questions([question(1, "no")], {})
    assert set(found.values()) == {None}
    assert list(found) == ["all", "existence", "attribute", "state", "number", "action", "relation"]


COUNTS = {"all": 14216, "existence": 4924, "attribute": 7628, "state": 4764, "number": 2072, "action": 792}


def test_every_row_is_read(items):
    assert len(items) == 15220
    assert sum(item.kind == "generative" for item in items) == 1004
    assert len({item.image for item in items}) == 1004


def test_perfect_and_constant_answerers_get_what_arithmetic_demands(items):
    asked = [item for item in items if item.kind != "generative"]
    perfect = score_questions(items, {item.id: item.truth[0].title() for item in asked})
    assert {name: score.n for name, score in perfect.items()} == COUNTS | {"relation": 1664}
    for score in perfect.values():
        assert (score.accuracy, score.precision, score.recall, score.f1) == (100, 100, 100, 100)
    # 9427 of 14216 are labelled no, all 4924 of existence, half of each attribute, 689 of 1664 relations.
    deny = score_questions(items, {item.id: "No" for item in asked})
    assert (deny["all"].accuracy, deny["all"].precision, deny["all"].recall) == (66.3, 66.3, 100)
    assert deny["all"].f1 == round(200 * 0.663 / (1.663 + 1e-4), 1) == 79.7
    assert (deny["existence"].accuracy, deny["existence"].recall, deny["existence"].f1) == (100, 100, 100)
    assert (deny["attribute"].accuracy, deny["attribute"].f1) == (50, 66.7)
    assert (deny["relation"].accuracy, deny["relation"].f1) == (41.4, 58.6)
    agree = score_questions(items, {item.id: "Yes" for item in asked})
    assert (agree["all"].accuracy, agree["all"].precision, agree["all"].recall, agree["all"].f1) == (33.7, 0, 0, 0)
    assert agree["existence"].accuracy == 0


def named_by_hallu(item, vocabulary):
    """How many tempting objects a list of them names: not those that the truth excuses, nor safe words."""
    excused = {word for name in item.truth for word in (name, *vocabulary.associations[name])} | vocabulary.safe
    said = set(item.hallu) - excused
    return sum(bool(said & {name, *vocabulary.associations[name]}) for name in item.hallu)


def test_descriptions_of_the_published_items(folder, items):
    vocabulary = read_vocabulary(folder / "relation.json", folder / "safe_words.txt")
    shown = [item for item in items if item.kind == "generative"]
    perfect = score_descriptions(items, {item.id: ", ".join(item.truth) for item in shown}, vocabulary)
    assert values(perfect)[:3] == [0, 100, 0]
    tempted = score_descriptions(items, {item.id: ", ".join(item.hallu) for item in shown}, vocabulary)
    hits = sum(named_by_hallu(item, vocabulary) for item in shown)
    assert tempted.cog.value == pytest.approx(100 * hits / sum(len(item.hallu) for item in shown))
    questions = score_questions(items, {item.id: item.truth[0].title() for item in items if item.kind != "generative"})
    assert amber_score(perfect, questions) == 100
    found = amber_json(perfect, questions)
    json.dumps(found, allow_nan=False)
    assert found["generative"]["intervals"]["cover"][1] == pytest.approx(100)


def test_other_files_are_refused(tmp_path, folder):
    with pytest.raises(EvalError, match=r"json:2: an AMBER annotation has id, type, truth; this record lacks type"):
        read_items(folder / "query_all.json")
    with pytest.raises(EvalError, match="associations of AMBER"):
        read_vocabulary(folder / "annotations.json", folder / "safe_words.txt")
    path = tmp_path / "r.json"
    path.write_text('[{"id": 1, "response": "a"},\n {"id": 1, "response": "b"}]')
    with pytest.raises(EvalError, match=r"r.json:2: id 1 came before, on line 1"):
        read_responses(path, [question(1, "no")])


def test_spacy_is_asked_for_by_name():
    with pytest.raises(EvalError, match="en_none is not installed"):
        spacy_similarity("en_none")
