"""POPE: parsers, files, the builder and the scores."""

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mmsteer.errors import EvalError
from mmsteer.eval.odds import LEAST_MASS
from mmsteer.eval.pope import (
    PARSERS,
    Question,
    build_questions,
    count_flips,
    parse_answer,
    question_version,
    read_logits,
    read_outcomes,
    read_pope_answers,
    read_questions,
    score_answers,
    score_logits,
    write_questions,
)
from mmsteer.eval.pope_questions import question_text

# Worked out by hand from the rules of the four scripts (each rule is quoted in the table of the parsers' docstring).
GOLDEN = {
    "Yes.": ("yes", "yes", "yes", None, "yes"),
    "no,": ("no", "no", "no", None, "no"),
    "NO": ("yes", "no", "no", "no", "no"),
    "none": ("yes", "no", "no", None, None),
    "isn't": ("yes", "no", "yes", None, None),
    "": ("yes", "no", "yes", None, None),
    "I know": ("yes", "no", "no", None, None),
    "snow": ("yes", "no", "no", None, None),
    " Yes\n": ("yes", "yes", "yes", "yes", "yes"),
    "Sure. No cat is here": ("yes", "no", "no", None, None),
    "It is not there, yes": ("no", "yes", "no", None, "yes"),
}


@pytest.fixture
def pope(request):
    folder = Path(request.config.getoption("--data-dir")) / "pope"
    if not folder.is_dir():
        pytest.skip(f"no POPE files at {folder}; give --data-dir")
    return folder


@pytest.mark.parametrize(("answer", "expected"), GOLDEN.items())
def test_each_parser_reads_the_golden_answers(answer, expected):
    cases = [("official", None), ("vcd", "yes"), ("vcd", "no"), ("lmms", None), ("strict", None)]
    assert tuple(parse_answer(answer, parser, label) for parser, label in cases) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("**Yes**, there is a cup.", "yes"),
        ("No, there is no cup.", "no"),
        ("The answer is no.", "no"),
        ("Answer: yes", "yes"),
        ("Yes and no.", None),
        ("No... yes, there is one", None),
        ("I have no idea", None),
        ("No idea", None),
        ("A man with no hat.", None),
        ("yesterday", None),
        ("Nothing", None),
    ],
)
def test_strict_takes_a_clear_word_alone(answer, expected):
    assert parse_answer(answer) == expected


def test_parsers_say_what_they_need():
    with pytest.raises(EvalError, match="no parser 'vlm'; choose from strict, official, vcd, lmms"):
        parse_answer("yes", "vlm")
    with pytest.raises(EvalError, match="tell it the label"):
        parse_answer("yes", "vcd")


def four(labels="yes no yes no"):
    return [Question(n, f"{n // 3}.jpg", "?", label) for n, label in enumerate(labels.split(), 1)]


def test_the_scores_are_those_of_the_counts():
    # tp, fp, fn, tn, fn: precision 1/2, recall 1/3, F1 2/(2+1+2) = 0.4, accuracy 2/5, yes 2/5
    score = score_answers(four("yes no yes no yes"), dict(enumerate(["yes", "yes", "no", "no", "no"], 1)))
    assert score.counts == {"tp": 1, "fp": 1, "tn": 1, "fn": 2, "unparsed": 0, "unscored": 0}
    found = score.to_json()
    assert [found[name] for name in ("precision", "recall", "f1", "accuracy", "yes_ratio")] == pytest.approx(
        [1 / 2, 1 / 3, 0.4, 2 / 5, 2 / 5]
    )


def test_what_is_not_understood_or_not_there_is_counted_and_not_guessed():
    answers = {1: "yes", 2: "perhaps", 3: None}
    score = score_answers(four(), answers).to_json()
    assert (score["n"], score["unparsed"], score["unscored"]) == (1, 1, 2)
    assert (score["accuracy"], score["accuracy_floor"]) == (1.0, 0.5)
    # An unparsed answer to a yes question takes nothing from recall.
    assert score_answers(four(), {1: "yes", 3: "hm"}).recall.value == 1.0
    assert score_answers(four(), answers, "lmms").accuracy.value == 0.5
    assert score_answers(four(), answers, "official").counts["fp"] == 1


def test_what_is_undefined_is_null():
    score = score_answers(four(), dict.fromkeys(range(1, 5), "no")).to_json()
    assert (score["precision"], score["recall"], score["f1"], score["yes_ratio"]) == (None, 0, 0, 0)
    assert score_answers(four(), {}).accuracy.value is None
    json.dumps(score, allow_nan=False)


def test_an_answer_without_a_question_is_refused():
    with pytest.raises(EvalError, match="have no question, such as 9"):
        score_answers(four(), {9: "yes"})


def test_only_vcd_looks_at_the_label():
    answers = dict(enumerate(["yes", "I know", "No.", "yes and no"] * 10, 1))
    for parser in PARSERS:
        said = [
            sum(read_outcomes(four(" ".join([label] * 40)), answers, parser)[n] in kinds for n in answers)
            for label, kinds in (("yes", ("tp",)), ("no", ("fp",)))
        ]
        assert (said[0] == said[1]) == (parser != "vcd")


def test_flips_sum_to_all_questions():
    before = read_outcomes(four(), {1: "yes", 2: "yes", 3: "yes", 4: "hm"})
    after = read_outcomes(four(), {1: "no", 2: "no", 3: "yes"})
    flips = count_flips(before, after)
    assert flips == {"tp->fn": 1, "fp->tn": 1, "tp->tp": 1, "unparsed->unscored": 1}
    with pytest.raises(EvalError, match="different questions"):
        count_flips(before, {1: "tp"})


def test_logits_need_no_parser():
    # yes questions at 2 and -1, no questions at 1 and -1: pairs won 1 + 1 + 0 + 0.5 of 4
    score = score_logits(four(), {1: 2.0, 2: 1.0, 3: -1.0, 4: -1.0})
    assert score.auc.value == 2.5 / 4
    assert score.counts["tp"] == score.counts["fp"] == score.counts["fn"] == score.counts["tn"] == 1
    tied = score_logits(four(), {1: 0.0, 2: 1.0})
    assert (tied.counts["unparsed"], tied.counts["unscored"], tied.auc.value) == (1, 2, 0.0)
    assert tied.to_json()["auc"] == 0.0
    assert score_logits(four(), {1: 1.0}).auc.value is None
    with pytest.raises(EvalError, match="its logit is nan"):
        score_logits(four(), {1: math.nan})


def test_words_that_nobody_would_say_are_no_answer():
    # P(yes) + P(no) of .0006 was met in a model that begins to describe the image.
    masses = {1: 0.0006, 2: LEAST_MASS, 3: 0.9}
    score = score_logits(four(), {1: 2.0, 2: 1.0, 3: -1.0, 4: -1.0}, masses)
    assert [score.counts[name] for name in ("tp", "fp", "fn", "tn", "unparsed")] == [0, 1, 1, 1, 1]
    assert score.auc.value == 2.5 / 4


@pytest.mark.parametrize("mass", ["1.5", "-0.1", "null", "true"])
def test_a_mass_is_a_probability(tmp_path, mass):
    path = tmp_path / "l.jsonl"
    path.write_text('{"question_id": 1, "logit": 1, "mass": 0.5}\n{"question_id": 2, "logit": 1}\n')
    assert read_logits(path, four()) == ({1: 1.0, 2: 1.0}, {1: 0.5})
    path.write_text('{"question_id": 1, "logit": 1, "mass": ' + mass + "}")
    with pytest.raises(EvalError, match=r"l.jsonl:1: mass is"):
        read_logits(path, four())


def test_auc_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(0)
    labels = rng.random(60) < 0.5
    logits = np.round(rng.normal(size=60) + labels, 1)
    questions = [Question(n, str(n // 6), "?", "yes" if label else "no") for n, label in enumerate(labels)]
    auc = score_logits(questions, dict(enumerate(logits))).auc
    above = logits[labels][:, None] - logits[~labels]
    assert auc.value == pytest.approx(((above > 0) + (above == 0) / 2).mean())
    assert auc.low < auc.value < auc.high


@pytest.mark.parametrize("logit", ["NaN", '"1"', "true"])
def test_a_broken_logit_has_its_line(tmp_path, logit):
    path = tmp_path / "l.jsonl"
    path.write_text('{"question_id": 1, "logit": 1}\n{"question_id": 2, "logit": ' + logit + "}")
    with pytest.raises(EvalError, match=r"l.jsonl:2: (logit is|NaN is no JSON)"):
        read_logits(path, four())


def test_a_row_that_is_no_question_is_refused(tmp_path):
    path = tmp_path / "q.json"
    path.write_text('{"question_id": 1, "image": "a", "text": "?", "label": "maybe"}')
    with pytest.raises(EvalError, match=r"q.json:1: label is 'maybe'"):
        read_questions(path)


def test_the_older_random_split_is_known():
    old = [Question(n, "a", "?", "yes" if n < 1500 else "no") for n in range(2910)]
    assert "OPERA" in question_version(old)
    assert question_version(old[:2000]) is None


@pytest.mark.parametrize("split", ["random", "popular", "adversarial"])
def test_the_published_files_give_what_arithmetic_demands(pope, split):
    questions = read_questions(pope / f"coco_pope_{split}.json")
    assert (len(questions), len({one.image for one in questions})) == (3000, 500)
    assert "3000 rows" in question_version(questions)
    perfect = score_answers(questions, {one.id: one.label.title() for one in questions}, "official").to_json()
    assert [perfect[name] for name in ("accuracy", "precision", "recall", "f1", "yes_ratio")] == [1, 1, 1, 1, 0.5]
    agree = score_answers(questions, dict.fromkeys(range(1, 3001), "Yes"), "official").to_json()
    assert [agree[name] for name in ("accuracy", "precision", "recall", "f1", "yes_ratio")] == [0.5, 0.5, 1, 2 / 3, 1]
    deny = score_answers(questions, dict.fromkeys(range(1, 3001), "No"), "official").to_json()
    assert [deny[name] for name in ("accuracy", "precision", "recall", "f1", "yes_ratio")] == [0.5, None, 0, 0, 0]


WORLD = {
    "a": ["cup", "table", "chair", "cup", "dog"],
    "b": ["table", "chair", "lamp"],
    "c": ["umbrella", "cup", "lamp"],
    "d": ["lamp", "orange"],
    "e": ["umbrella", "oven", "cat"],
    "f": ["cat", "lamp"],
}


@pytest.mark.parametrize("split", ["random", "popular", "adversarial"])
def test_built_questions_are_true_balanced_and_never_repeat(split):
    questions = build_questions(WORLD, split, seed=4)
    assert [one.label for one in questions] == ["yes", "no"] * 12
    assert list(dict.fromkeys(one.image for one in questions)) == ["a", "b", "c", "e"]
    reordered = build_questions(dict(reversed(WORLD.items())), split, seed=4)
    assert {(one.image, one.text) for one in reordered} == {(one.image, one.text) for one in questions}
    for one in questions:
        name = one.text.removeprefix("Is there a").removeprefix("n").removesuffix(" in the image?").strip()
        assert (name in WORLD[one.image]) == (one.label == "yes")
    assert max(Counter((one.image, one.text) for one in questions).values()) == 1


def asked(split, image, label="no"):
    chosen = [one.text for one in build_questions(WORLD, split) if (one.image, one.label) == (image, label)]
    return [text.split(" in the")[0].split()[-1] for text in chosen]


def test_positives_are_the_first_three_and_the_same_in_every_split():
    assert asked("random", "a", "yes") == asked("adversarial", "a", "yes") == ["cup", "table", "chair"]


def test_popular_negatives_are_the_most_frequent_absent_objects():
    # images: lamp 4, cup 2, table 2, chair 2, umbrella 2, cat 2, dog 1, orange 1, oven 1
    assert asked("popular", "a")[0] == "lamp"
    assert set(asked("popular", "a")) == {"lamp", "umbrella", "cat"}


def test_adversarial_negatives_are_those_seen_with_the_positive():
    # b shows table, chair, lamp. Table is seen with cup and dog (a), and more images show a cup; chair is too, and the
    # cup is taken; lamp is seen with umbrella, cup (c), orange (d), cat (f): umbrella and cat are in two images each.
    assert asked("adversarial", "b")[:2] == ["cup", "dog"]
    assert asked("adversarial", "b")[2] in ("umbrella", "cat")
    # Nothing absent from e is seen with an oven: then the object of most images that is left.
    assert asked("adversarial", "e")[:1] == ["lamp"]


def test_sets_have_no_first_three_so_they_are_drawn():
    world = {str(n): frozenset("abcdefgh") for n in range(50)} | {"x": frozenset("ijk")}
    questions = build_questions(world, "random", seed=1)
    names = Counter(one.text for one in questions if one.label == "yes" and one.image != "x")
    assert len(names) == 8
    assert questions == build_questions(world, "random", seed=1)
    assert questions != build_questions(world, "random", seed=2)


def test_some_images_are_drawn():
    world = {str(n): ["a", "b", "c"] for n in range(20)} | {"x": ["d", "e", "f"]}
    assert len(build_questions(world, "random", seed=1, images=7)) == 42
    with pytest.raises(EvalError, match="21 of 21 images show at least 3"):
        build_questions(world, "random", images=22)


@pytest.mark.parametrize(
    ("world", "message"),
    [
        ({"a": ["x", "y"]}, "0 of 1 images"),
        ({"a": ["x", "y", "z"], "b": ["v", "w"]}, "image a shows 3 of 5 kinds"),
        ({"a": "cup"}, "give a list"),
    ],
)
def test_annotations_that_make_no_questions_are_refused(world, message):
    with pytest.raises(EvalError, match=message):
        build_questions(world, "random")


@pytest.mark.parametrize(
    ("name", "article"),
    [("apple", "an"), ("umbrella", "an"), ("hourglass", "an"), ("uniform", "a"), ("image", "an"), ("cup", "a")],
)
def test_articles_go_by_sound(name, article):
    assert question_text(name) == f"Is there {article} {name} in the image?"


def test_written_questions_are_read_again_and_never_overwritten(tmp_path):
    questions = build_questions(WORLD, "popular")
    write_questions(tmp_path / "q.json", questions)
    assert read_questions(tmp_path / "q.json") == questions
    with pytest.raises(EvalError, match="not overwritten"):
        write_questions(tmp_path / "q.json", questions)


def test_answers_are_joined_by_id(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"question_id": "2", "answer": "No"}\n{"question_id": 1, "answer": "Yes"}')
    assert score_answers(four(), read_pope_answers(path, four())).counts["tn"] == 1
