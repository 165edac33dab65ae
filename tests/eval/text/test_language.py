"""Languages by function words: the figures that the docstring gives."""

from pathlib import Path

from mmsteer.eval.text import find_language, language

ROWS = [line.split("\t") for line in (Path(__file__).parent / "languages.tsv").read_text(encoding="utf-8").splitlines()]


def sentences(code):
    return [text for name, text in ROWS if name == code]


def test_the_error_rates_of_sentences_are_those_of_the_docstring():
    found = [(code, find_language(text)) for code, text in ROWS if code != "-"]
    assert len(found) == 98
    assert sum(code == seen for code, seen in found) == 86
    assert sum(seen is None for _, seen in found) == 11
    assert "86 are found" in " ".join(language.__doc__.split())


def test_three_sentences_are_enough():
    for code in language.LANGUAGES:
        texts = sentences(code)
        assert len(texts) == 14
        for at in range(len(texts)):
            assert find_language(" ".join(texts[(at + step) % 14] for step in range(3))) == code


def test_other_languages_and_no_language_are_seldom_taken_for_a_known_one():
    others = sentences("-")
    assert (len(others), sum(find_language(text) is not None for text in others)) == (14, 3)
    assert find_language("") is None


def test_case_and_apostrophes_do_not_matter():
    for code in language.LANGUAGES:
        for text in sentences(code):
            upper = text.upper().replace("SS", "ss")
            assert find_language(text.replace("'", "’")) == find_language(text)
            assert "ß" in text or find_language(upper) == find_language(text)
