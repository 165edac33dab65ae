"""Instructions that a program can verify: each check beside what it must refuse."""

import random
import re

import pytest

from mmsteer.errors import EvalError
from mmsteer.eval.text import counting, from_ifeval, parse_instruction
from mmsteer.eval.text.counting import count_tokens, split_paragraphs, split_sentences
from mmsteer.eval.text.instruction import relaxed
from mmsteer.eval.text.instruction_checks import CHECKS, count_placeholders, has_title

GOLDEN = {
    "lowercase": (["all small, 3 of them."], ["One Capital", "123"]),
    "uppercase": (["LOUD 3!"], ["LOUd", "123"]),
    "title_case": (["The Lord of the Rings", "War and Peace\n\nA Tale", "3 Blind Mice"], ["The lord", "of Mice", "42"]),
    "no_comma": (["one; two"], ["one, two"]),
    "json": (['{"a": [1]}', '```json\n{"a": 1}\n```', "```\n[1]\n```", "42"], ["{'a': 1}", 'So: {"a": 1}', "[1"]),
    "quoted": (['"all of it"', ' "so"\n'], ['"half', "“curly”", '"', 'He said "no"']),
    "title": (["<<Ode>>\ntext", "text <<a b>> text"], ["<Ode>", "<< >>", "<<Ode\n>>", "<<>>"]),
    "two_responses": (
        ["yes ****** no", "******\nyes\n******\nno\n******"],
        ["yes *** no", "a ****** a", "a******b******c"],
    ),
    "min_words=3": (["one two three", "don't go"], ["one two"]),
    "max_words=3": (["one two three"], ["don't go now"]),
    "min_sentences=2": (["One. Two!", "One\nTwo"], ["Dr. Who came", "It is 3.5 m."]),
    "max_sentences=1": (["Mr. A. B. Smith is here."], ["He is. She is."]),
    "min_paragraphs=2": (["a\n\nb", "a\n \n\nb"], ["a\nb", "\n\na\n\n"]),
    "max_paragraphs=1": (["a\nb"], ["a\n\nb"]),
    "divided_paragraphs=2": (["a\n***\nb", "***\na\n***\nb\n***"], ["a\n\nb", "a***b***c", "a***\n***b"]),
    "paragraph_begins=2,then,2": (
        ["a\n\nThen b", 'a\n\n"then" b', "a\n\nThen, b"],
        ["a\n\nb", "Then\n\na", "a\n\nthen\n\nc"],
    ),
    "bullets=2": (["* a\n* b", "- a\n  - b", "so:\n* a\n- b"], ["* a", "**a**\n**b**", "1. a\n2. b", "* a\n* b\n* c"]),
    "min_highlights=2": (["*a* and *b*", "**a** and *b*"], ["*a* b", "** ** *a*", "*a\nb* *c*", "**a**"]),
    "min_placeholders=2": (["Dear [name], at [place]"], ["Dear [name]", "[na\nme] [x]"]),
    "min_capital_words=2": (["THE END", "It is NASA and EU-US"], ["THE end", "THE-END", "1 2 3"]),
    "max_capital_words=0": (["No capitals"], ["I am"]),
    "min_sections=Section,2": (
        ["Section 1 a Section 2 b", "Section1\nSection  x\nSection 2"],
        ["Section one", "section 1 section 2"],
    ),
    "min_keyword=sea,2": (["The sea, the season", "SEA sea"], ["The sea"]),
    "max_keyword=sea,1": (["The sea", "none"], ["The sea, the season"]),
    "min_keyword=a,b,1": (["so a,b c"], ["so a b"]),
    "min_letter=e,2": (["Ee", "the sea"], ["the"]),
    "max_letter=e,1": (["the"], ["The sEa"]),
    "keywords=sea|storm": (["The STORM at sea", "seastorm"], ["the sea", "none"]),
    "forbidden=sea|storm": (["The season", "stormy"], ["The Sea!", "a storm"]),
    "forbidden=C++": (["C and C+"], ["I like C++."]),
    "one_of=yes.|no.": (["My answer is no."], ["No", "maybe."]),
    "starts_with=Dear all": (["Dear all, hi", "  dear ALL"], ["Oh dear all", "Dear"]),
    "ends_with=The end.": (["so. THE END. ", '"The end."'], ["The end. Or not", "The end"]),
    "postscript=P.S.": (["Hi\n\nP.S. more", "p. s. more"], ["PS more", "P.P.S more"]),
    "postscript=P.P.S": (["P.P.S more", "p. p.s"], ["P.S. more"]),
    "language=de": (["Das ist der Hund von meiner Tante."], ["This is the dog of my aunt.", "42"]),
}


@pytest.mark.parametrize("instruction", GOLDEN)
def test_a_check_passes_what_follows_and_nothing_else(instruction):
    follow, break_it = GOLDEN[instruction]
    test = parse_instruction(instruction)
    assert [text for text in follow if not test.follows(text)] == []
    assert [text for text in break_it if test.follows(text)] == []


def test_every_check_is_tested():
    assert {name.partition("=")[0] for name in GOLDEN} == set(CHECKS)


@pytest.mark.parametrize("instruction", GOLDEN)
def test_a_blank_answer_follows_nothing(instruction):
    assert not any(
        parse_instruction(instruction).follows(text, loose=loose) for text in ("", " \n ") for loose in (0, 1)
    )


@pytest.mark.parametrize("instruction", GOLDEN)
def test_loose_is_never_stricter(instruction):
    test = parse_instruction(instruction)
    answers = [text for case in GOLDEN.values() for part in case for text in part]
    assert not [text for text in answers if test.follows(text) and not test.follows(text, loose=True)]


@pytest.mark.parametrize(
    ("instruction", "answer"),
    [
        ("lowercase", "Sure! Here:\nall small"),
        ("lowercase", "all small\nHope This Helps"),
        ("lowercase", "Sure\nall small\nBye"),
        ("json", 'Sure:\n{"a": 1}'),
        ("ends_with=The end.", "*The end.*"),
        ("quoted", '*"so"*'),
        ("max_words=2", "Of course\n*two words*\nBye"),
    ],
)
def test_loose_forgives_a_first_line_a_last_line_and_asterisks(instruction, answer):
    test = parse_instruction(instruction)
    assert test.follows(answer, loose=True)
    assert not test.follows(answer)


def test_loose_does_not_forgive_two_first_lines():
    assert not parse_instruction("lowercase").follows("Sure!\nHere:\nall small", loose=True)


def test_the_eight_forms_of_loose_accuracy():
    forms = relaxed("A\n*b*\nC")
    assert set(forms) == {"A\n*b*\nC", "*b*\nC", "A\n*b*", "*b*", "A\nb\nC", "b\nC", "A\nb", "b"}
    assert len(forms) == 8


@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        ("max_word=3", "no instruction 'max_word'; choose from lowercase, uppercase"),
        ("max_words", "instruction 'max_words': '' after =; give a whole number"),
        ("max_words=-1", "give a whole number"),
        ("max_words=²", "give a whole number"),
        ("lowercase=yes", "it takes no argument"),
        ("keywords=", "give a text after ="),
        ("keywords=a||b", r"one between two \|"),
        ("min_keyword=sea", "give a text, a comma and a whole number"),
        ("min_keyword=sea,x", "give a whole number"),
        ("min_letter=ee,3", "give one letter"),
        ("paragraph_begins=then,3", "give a whole number"),
        ("language=xx", "'xx' after =; choose from en, de, fr, es, it, pt, nl"),
    ],
)
def test_what_cannot_be_read_is_refused(instruction, message):
    with pytest.raises(EvalError, match=message):
        parse_instruction(instruction)


IFEVAL = [
    ("keywords:existence", {"keywords": ["a", "b"]}, "keywords=a|b"),
    ("keywords:frequency", {"keyword": "sea", "frequency": 3, "relation": "less than"}, "max_keyword=sea,2"),
    ("keywords:forbidden_words", {"forbidden_words": ["a"]}, "forbidden=a"),
    ("keywords:letter_frequency", {"letter": "e", "let_frequency": 4, "let_relation": "at least"}, "min_letter=e,4"),
    ("language:response_language", {"language": "de"}, "language=de"),
    ("length_constraints:number_sentences", {"num_sentences": 5, "relation": "at least"}, "min_sentences=5"),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 3}, "divided_paragraphs=3"),
    ("length_constraints:number_words", {"num_words": 50, "relation": "less than"}, "max_words=49"),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 3, "nth_paragraph": 2, "first_word": "then"},
        "paragraph_begins=2,then,3",
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "min_placeholders=2"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "postscript=P.S."),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "bullets=2"),
    ("detectable_format:constrained_response", {}, "one_of=My answer is yes.|My answer is no.|My answer is maybe."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "min_highlights=2"),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "Section", "num_sections": 2},
        "min_sections=Section,2",
    ),
    ("detectable_format:json_format", {}, "json"),
    ("detectable_format:title", {}, "title"),
    ("combination:two_responses", {}, "two_responses"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Write, then stop."}, "starts_with=Write, then stop."),
    ("startend:end_checker", {"end_phrase": "Bye."}, "ends_with=Bye."),
    ("startend:quotation", {}, "quoted"),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "less than"},
        "max_capital_words=1",
    ),
    ("change_case:english_capital", {}, "uppercase"),
    ("change_case:english_lowercase", {}, "lowercase"),
    ("punctuation:no_comma", {}, "no_comma"),
]


@pytest.mark.parametrize(("name", "arguments", "instruction"), IFEVAL)
def test_instructions_of_ifeval_are_read(name, arguments, instruction):
    assert from_ifeval(name, arguments) == instruction
    parse_instruction(instruction)


def test_all_25_instructions_of_ifeval_are_there():
    with pytest.raises(EvalError, match="no instruction 'x:y' of IFEval; choose from") as error:
        from_ifeval("x:y", {})
    listed = str(error.value).partition("choose from ")[2].split(", ")
    assert sorted(listed) == sorted(name for name, _, _ in IFEVAL)
    assert len(listed) == 25


@pytest.mark.parametrize(
    "arguments", [{}, {"num_words": None, "relation": "less than"}, {"num_words": 3, "relation": "about"}]
)
def test_arguments_of_another_entry_are_refused(arguments):
    with pytest.raises(EvalError, match=r"do not fit|the relation 'about'"):
        from_ifeval("length_constraints:number_words", arguments)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two? Three!", 3),
        ("Dr. Lee met Mrs. Day at 5 p.m. on Monday.", 1),
        ("We met at 5 p.m. She left.", 2),
        ("No. So do I. See No. 5.", 3),
        ("It is good. ", 1),
        ("He paid 3.50. She left.", 2),
        ('"Go!" he said. "Now."', 3),
        ("Well... I see.", 2),
        ("1. Work\n2. Tea", 2),
        ("See e.g. Smith vs. Jones, No. 5.", 1),
        ("Title\n\nText without stop", 2),
        ("---\n***", 0),
        ("", 0),
    ],
)
def test_sentences_are_counted(text, sentences):
    assert len(split_sentences(text)) == sentences


def test_counts_add_up_over_paragraphs():
    parts = ["One, two. Three!", "Dr. Who?\nFour five.", "* six\n* seven"]
    text = "\n\n".join(parts)
    assert split_paragraphs(text) == parts
    assert count_tokens(text) == sum(map(count_tokens, parts)) == 9
    assert len(split_sentences(text)) == sum(len(split_sentences(part)) for part in parts)


def sentences_by_pieces(text):
    """Each piece between two gaps looked at whole, which takes the square of the length."""
    found, start = [], 0
    for gap in [*re.finditer(r"(?<=[.!?…])[\"'”’)\]*]*\s+|\n+", text), None]:
        end = len(text) if gap is None else gap.end()
        piece, following = text[start:end].strip(), text[end : end + 1]
        maybe = counting._MAYBE.search(piece) and (following.islower() or following.isdigit())
        marker = re.match(r"(?:[-*•#>]+|\(?\d{1,3}[.)])$", piece)
        if gap is None or "\n" in gap[0] or not (counting._ABBREVIATION.search(piece) or maybe or marker):
            found, start = [*found, piece], end
    return [piece for piece in found if re.search(r"\w", piece)]


def test_linear_patterns_find_what_plain_ones_do():
    rng = random.Random(0)
    pieces = ["Mr.", "a.m.", "p.p.s.", "approx.", "x", "1.", "(3.", "12)", "- ", "*", '"', ")", "…", "?", "No.", "5"]
    for _ in range(3000):
        text = "".join(rng.choices([*pieces, "\n", " ", "  ", "\t", "\u2028", "word", "A."], k=rng.randint(0, 14)))
        assert split_sentences(text) == sentences_by_pieces(text)
        text = "".join(rng.choices("<<<>>>[[]] a\n\r", k=rng.randint(0, 12)))
        assert has_title(text) == any(one.strip("<>").strip() for one in re.findall(r"<<[^\n]+>>", text)), text
        assert count_placeholders(text) == len(re.findall(r"\[.*?\]", text)), text
