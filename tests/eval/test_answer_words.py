"""Yes and no as models of today write them."""

import itertools

import pytest

from mmsteer.eval.answer_words import WORDS
from mmsteer.eval.pope_parsers import parse_answer

YES = [
    *(
        "**Yes**",
        "YES!",
        "no doubt, yes",
        "<think>No dog here? I see one, so no.</think>\nYes.",
        "<answer>Yes</answer>",
    ),
    *("Yes, there are no visible cracks", "There is no cat. The answer is yes.", "thinking</think>Yes", "`yes`"),
    *("**Answer:** Yes", r"\boxed{Yes}", r"\boxed{\text{Yes}}", "<answer>yes", "yeah, it is", "Yep.", "Yes no cracks"),
    *("<answer>No</answer> wait <answer>Yes</answer>", "Yes, no doubt.", '"Yes."', "- Yes", "yes"),
    *(
        "Ja, auf dem Bild.",
        "Oui, il y a un chien.",
        "Sí, hay un perro.",
        "¡Sí!",
        "« Oui »",
        "sim",
        "Да.",
        "是的，图中有一只狗。",
        "はい、あります。",
    ),
    *("네, 있습니다.", "نعم، يوجد كلب", "हाँ, है", "Evet.", "Tak, jest.", "Si\u0301."),
]
NO = [
    *(
        "**No**",
        "NO!",
        "<think>yes or no, yes</think>No",
        "<answer>no.</answer>",
        "No, there is not",
        "No dog is there.",
    ),
    *(
        "Nein, keiner.",
        "Non.",
        "não, nada",
        "Нет, не вижу.",
        "没有。",
        "不，没有狗",
        "いいえ、ありません",
        "아니요.",
        "لا، لا يوجد",
    ),
    *("नहीं।", "Hayır.", "Nie, nie ma.", "nope", "No, hay un gato."),
]
NEITHER = [
    *("Yes and no.", "No. Yes.", "Yes or no?", "yes, no", "no, wait, yes", "<think>yes, it must be", "I see yes signs"),
    *(
        "nonetheless",
        "Non-existent",
        "no-one? maybe yes",
        "是否有狗不清楚",
        "不清楚。",
        "لا أعرف",
        "Si hay un perro, ladra",
        "",
    ),
    *("No idea", "Know", "Ja und nein", "yesterday", "Yes. No."),
]


@pytest.mark.parametrize(
    ("text", "said"),
    [*((text, "yes") for text in YES), *((text, "no") for text in NO), *((text, None) for text in NEITHER)],
)
def test_strict_reads_what_an_answer_says(text, said):
    assert parse_answer(text, "strict") == said


def test_no_word_is_yes_in_one_language_and_no_in_another():
    yes = set(itertools.chain.from_iterable(words for words, _ in WORDS.values()))
    no = set(itertools.chain.from_iterable(words for _, words in WORDS.values()))
    assert not yes & no


def test_an_answer_of_any_length_takes_linear_time():
    for text in ("<think>" * 50_000, "<answer>" * 50_000, "yes " * 50_000, " " * 200_000, "no\n\n" * 50_000):
        parse_answer(text, "strict")
