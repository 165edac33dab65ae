"""Rewards by name."""

import time

import pytest

from mmsteer.errors import EvalError
from mmsteer.eval.text import REWARDS, Models, Reference, parse_reward
from mmsteer.eval.text.pattern import Pattern

PLAIN = Reference("Ask.")


def one(text, answer, reference=PLAIN, **models):
    return parse_reward(text, Models(**models))([answer], [reference])[0]


@pytest.mark.parametrize(
    ("reward", "answer", "value"),
    [
        ("contains:Arr", "ARRR, matey", 1.0),
        ("contains:Arr", "Hello", 0.0),
        ("contains:Arr|Ahoy", "ahoy!", 1.0),
        ("contains:a:b", "x a:b", 1.0),
        ("not contains:Arr", "ARRR", 0.0),
        ("not contains:Arr", "Hello", 1.0),
        (" contains:Arr ", "arr", 1.0),
        (r"regex:^\s*Yes", "  Yes.", 1.0),
        (r"regex:^\s*Yes", "yes", 0.0),
        (r"regex:^\s*Yes", "No.\nYes.", 0.0),
        (r"regex:(?i)^yes$", "YES", 1.0),
        ("refusal", "I'm sorry, I can't help with that.", 1.0),
        ("not refusal", "I'm sorry, I can't help with that.", 0.0),
        ("refusal", "Sure, here it is.", 0.0),
        ("instruction:lowercase", "all small.", 1.0),
        ("instruction:lowercase", "Not all.", 0.0),
        ("instruction:lowercase", "Sure!\nall small.", 0.0),
        ("loose_instruction:lowercase", "Sure!\nall small.", 1.0),
        ("loose_instruction:lowercase", "Sure!\nNot All.", 0.0),
        ("repetition", "a b c d e", 0.0),
        ("repetition", "a a a a a a", 2 / 3),
        ("repetition", "too few words", None),
        ("not repetition", "too few words", None),
    ],
)
def test_a_reward_is_what_its_name_says(reward, answer, value):
    assert one(reward, answer) == (value if value is None else pytest.approx(value))


@pytest.mark.parametrize(
    "reward", ["contains:a", "not contains:a", "regex:.", "not refusal", "refusal", "instruction:json"]
)
def test_a_blank_answer_is_missing_and_not_wrong(reward):
    assert parse_reward(reward)([" \n", "a"], [PLAIN] * 2)[0] is None


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("<think>A dog? Yes.</think> A cat.", 0.0),
        ("<think>No cat.</think>\n\nA dog.", 1.0),
        ("no dog</think>a cat", 0.0),
        ("<think>a dog, a dog", None),
        ("[THINK]a cat[/THINK]a dog", 1.0),
        ("<|START_THINKING|>a dog<|END_THINKING|>a cat", 0.0),
    ],
)
def test_what_stands_behind_the_thoughts_is_rated(answer, value):
    assert parse_reward("contains:dog")([answer], [Reference("What is there?")]) == [value]


def test_what_the_reference_lacks_cannot_be_known():
    for reward in ("exact", "choice", "instruction", "similarity"):
        assert one(reward, "B", embed=lambda texts: [[1.0]] * len(texts)) is None


def test_exact_normalises_as_squad_does():
    truth = Reference("Where?", answer="The U.S. Army")
    assert [one("exact", text, truth) for text in ("us army!", "a US  army", "US navy", "the us army base")] == [
        1,
        1,
        0,
        0,
    ]
    assert one("exact", "A", Reference("?", answer="the")) == 0.0
    assert one("exact", "the", Reference("?", answer="the")) == 1.0


def test_choice_counts_only_answers_that_give_one():
    truth = Reference("Capital?", answer="Paris", options=("London", "Paris"))
    assert [one("choice", text, truth) for text in ("(B)", "London", "I would not know")] == [1.0, 0.0, None]
    assert [one("right_choice", text, truth) for text in ("(B)", "London", "I would not know", "A or B")] == [
        1,
        0,
        0,
        0,
    ]
    assert one("right_choice", "(B)", Reference("Capital?", answer="B")) is None
    assert one("choice", "(B)", Reference("Capital?", answer="B", options=("London", "Paris"))) == 1.0
    with pytest.raises(EvalError, match="'Rome' is none of 'London', 'Paris'"):
        one("choice", "(B)", Reference("Capital?", answer="Rome", options=("London", "Paris")))


def test_instructions_come_with_the_sample():
    both = Reference("Ask.", instructions=("lowercase", "max_words=2"))
    assert [one("instruction", text, both) for text in ("so be", "So be", "so be it")] == [1.0, 0.0, 0.0]


def test_answers_keep_their_places():
    answers = ["arr", "", "no", "ARR", " "]
    assert parse_reward("contains:arr")(answers, [PLAIN] * 5) == [1.0, None, 0.0, 1.0, None]
    with pytest.raises(EvalError, match="2 answers and 1 references"):
        parse_reward("refusal")(["a", "b"], [PLAIN])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("contain:x", r"no reward 'contain:x'; write contains:TEXT\|TEXT, regex:PATTERN, exact"),
        ("os.system:ls", "no reward"),
        ("", "no reward"),
        ("not", "no reward"),
        ("not not refusal", "no reward"),
        ("contains", "'contains': give an argument after the colon"),
        ("contains:", "give an argument after the colon"),
        ("contains:a|", r"a text beside \| is empty"),
        ("refusal:x", "'refusal:x': it takes no argument"),
        ("similarity:x", "it takes no argument"),
        ("regex:(", "no regular expression"),
        ("regex:" + "a" * 501, "501 characters; give at most 500"),
        ("instruction:max_word=3", "no instruction 'max_word'; choose from lowercase"),
        ("judge:flency", "no rubric 'flency'; choose from instruction, fluency, concept=WORDS"),
    ],
)
def test_what_is_misspelt_is_refused_with_what_is_allowed(text, message):
    with pytest.raises(EvalError, match=message):
        parse_reward(text)


def test_metrics_say_what_the_mean_is():
    repetition, negated = parse_reward("repetition").metric, parse_reward("not repetition").metric
    assert (repetition.name, repetition.better, negated.name, negated.better) == (
        ("repetition", "lower", "not repetition", "higher")
    )
    assert negated.meaning == f"1 minus: {repetition.meaning}"
    assert parse_reward("not contains:a").metric.better is None
    assert all(kind.meaning.endswith(".") for kind in REWARDS.values())


@pytest.mark.parametrize("source", [r"(a+)+\d", r"(a|a)*\d", r"a*a*a*a*\d", r"(\w*)*\d"])
def test_a_pattern_that_backtracks_without_end_is_stopped_and_named(source):
    started = time.process_time()
    with pytest.raises(EvalError, match=r"was not done with 5000 characters after 0.2 s"):
        Pattern(source, time_s=0.2).matches("a" * 5000)
    assert time.process_time() - started < 2


def test_long_answers_are_searched_up_to_a_limit():
    assert Pattern("b$").matches("a" * 99_999 + "b")
    with pytest.raises(EvalError, match="an answer of 100001 characters"):
        Pattern("b$").matches("a" * 100_001)
