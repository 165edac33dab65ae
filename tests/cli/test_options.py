"""Options that would do nothing are refused, before anything is loaded."""

import pytest

BUNDLED = "bundled:music"


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        (["sae", "clamp", BUNDLED, "--reward", "note:C", "--answer", "a"], "--answer is about the clip or picture"),
        (["sae", "clamp", BUNDLED, "--data", "{rows}", "--reward", "note:C", "--n", 8], "--n is about the rendered"),
        (
            ["sae", "corrsteer", BUNDLED, "--data", "{rows}", "--reward", "note:C", "--n", 8],
            "--n is about the rendered",
        ),
        (["sae", "saif", BUNDLED, "--data", "{rows}", "--reward", "note:C", "--n", 8], "--n is about the rendered"),
        (["sae", "lf", BUNDLED, "--data", "{rows}", "--reward", "note:C", "--n", 8], "--n is about the rendered"),
        (["sae", "flow", BUNDLED, "--n", 4], "--n is about steering along the feature; give --steer"),
        (["sae", "flow", "a", "b", "--around", 2], "--around is about layers around one dictionary"),
        (["sae", "scores", BUNDLED, 3, "--drawn", 4], "--drawn is about features that are drawn"),
        (["sae", "measure", BUNDLED, "--prompt", "x"], "--prompt is asked about the images of a folder"),
        (["sae", "measure", BUNDLED, "--data", "{rows}", "--seed", 2], "--seed is about the rendered world"),
        (["sae", "browse", BUNDLED, "--out", "{new}", "--prompt", "x"], "--prompt is asked about the images of a"),
        (["sae", "decompose", BUNDLED, "--method", "signed"], "--method is about one direction"),
        (["sae", "detect", BUNDLED, "--scenes", 8], "--scenes does nothing for this model"),
        (["sae", "hallucination", BUNDLED, "--methods", "SSL", "--candidates", 2], "--candidates is about the method"),
        (
            ["sae", "train", "--site", "decoder.3", "--out", "{new}", "--store", "s", "--samples", 9],
            "--samples is about",
        ),
        (
            ["eval", "pope", "--questions", "q", "--logits", "l", "--parser", "lmms"],
            "--parser is about written answers",
        ),
        (
            ["probe", "--contrast", "captions", "--images", "i", "--out", "{new}"],
            "--images is the folder with the images",
        ),
        (
            ["probe", "--contrast", "captions", "--demos", "{rows}", "--images", "i", "--pairs", 9, "--out", "{new}"],
            "--pairs is about pairs of the rendered world",
        ),
        (["probe", "--concept", "note", "--demos", "{rows}", "--out", "{new}"], "--demos belongs to --contrast"),
    ],
)
def test_an_option_that_does_nothing_is_an_error(mmsteer, tmp_path, words, refused):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "a"}\n')
    put = {"{rows}": rows, "{new}": tmp_path / "new"}
    code, _, err = mmsteer(*(put.get(word, word) for word in words))
    assert code == 2
    assert refused in err
    assert err.count("\n") == 1
