"""The page of a run of the kind vision: captions with their objects marked, answers that flipped, what was chosen."""

import json
import shutil
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from mmsteer.errors import RecipeError
from mmsteer.report import gallery, write_report
from mmsteer.report.output_parts import Mention
from mmsteer.report.parts import Condition
from mmsteer.report.pushed_words import pushed_words
from mmsteer.report.run_data import read_run
from mmsteer.report.tables import flip_lines
from mmsteer.report.tradeoff import trade_offs
from mmsteer.report.verdict import verdicts
from tests.report.example import HOSTILE, edit, write
from tests.report.html import Page, report
from tests.report.vision_example import make_vision_run


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    return make_vision_run(tmp_path_factory.mktemp("vision") / "run")


@pytest.fixture(scope="module")
def page(seen) -> Page:
    return Page(write_report(seen).read_text())


@pytest.fixture
def folder(seen, tmp_path):
    """A copy of the run to break."""
    return shutil.copytree(seen, tmp_path / "run", ignore=shutil.ignore_patterns("report.html"))


def marks(folder, kind: str) -> list[str]:
    """The titles of all marks of a kind."""
    return [one["title"] for one in report(folder).all("mark") if one["class"] == kind and "title" in one]


def test_sections_in_order(page):
    assert [one["id"] for one in page.all("section")] == [
        "pictures",
        "scores",
        "trade-off",
        "choice",
        "schedules",
        "applied",
        "reproduce",
    ]
    assert "seeing 2 steered conditions on 10 images run abcdef0123 · model tiny · 50 images done" in page.words


def test_texts_of_strangers_stay_texts(page):
    assert f"{HOSTILE} a " in page.text
    assert not page.all("script")


def test_nothing_is_asked_of_the_network(page):
    loaded = [one[key] for _, one in page.tags for key in ("src", "href", "data", "poster", "action") if key in one]
    assert all(url.startswith(("images/", "#", "data:,")) for url in loaded)


def test_every_image_is_there_and_described(page, seen):
    images = page.all("img")
    assert all((seen / unquote(one["src"])).is_file() for one in images)
    assert {one["alt"] for one in images} == {"objects there: cup, laptop"}
    assert {one["loading"] for one in images} == {"lazy"}


def test_bars_under_words_are_as_high_as_their_pushes(page):
    bars = [(one["class"], one["title"]) for one in page.all("span") if "title" in one]
    pushed = [f"pushed by {share}% of its state" for share in ("10.0", "0.0", "5.0", "2.5", "20.0")]
    assert bars[:5] == list(zip(["push p2", "push p0", "push p1", "push p1", "push p4"], pushed, strict=True))
    assert "Bars under words : how far" in page.words


def test_a_word_may_be_in_two_stretches_and_other_texts_have_no_bars():
    def levels(*words):
        return [[part.level for part in parts] for parts in pushed_words(*words)]

    assert levels(["a cup", ". And", " more"], [0.1, 0.4, 0.2, 0.0]) == [[1, 0, 4], [4, 0, 2], [0, 0]]
    assert levels(["a cup", " more"], [0.1, 0.2]) == [[0], [0]]
    assert levels(["a cup"], [0.0, 0.0]) == [[0, 0, 0]]


def test_objects_are_marked_where_they_stand():
    caption = "A chair, a tv & a chair"
    named = [
        Mention(object="chair", start=2, stop=7, hallucinated=True),
        Mention(object="tv", start=11, stop=13, hallucinated=False),
        Mention(object="chair", start=18, stop=23, hallucinated=True),
    ]
    found = [(one.text, one.kind) for one in gallery.marked(caption, named)]
    assert found == [
        ("A ", ""),
        ("chair", "wrong"),
        (", a ", ""),
        ("tv", "right"),
        (" & a ", ""),
        ("chair", "wrong"),
    ]
    assert "".join(text for text, _ in found) == caption


def test_a_span_outside_of_the_caption_marks_nothing():
    lost = Mention(object="chair", start=3, stop=9, hallucinated=True)
    assert [(one.text, one.kind) for one in gallery.marked("A cha", [lost])] == [("A cha", "")]


def test_hallucinated_and_true_objects_are_marked_apart(folder):
    assert set(marks(folder, "wrong")) == {"chair is not in the image"}
    assert set(marks(folder, "right")) == {"laptop is in the image", "cup is in the image"}
    text = report(folder).words
    assert "A ✓laptop and a ✗chair near a second ✗chair ." in text
    assert "not named: cup" in text
    assert "denied when asked: chair (−0.50); not named: " in text


def test_the_most_changed_come_first(seen):
    """Steering changes the first seven: the second loses laptop and chair and gains a cup, the others two of these."""
    [shelf] = [one.shelves[0] for one in gallery.galleries(read_run(seen)) if one.name == "honest at 0.4"]
    assert [card.images for card in shelf.shown[:3]] == [
        ("images/00001.png",),
        ("images/00000.png",),
        ("images/00002.png",),
    ]
    assert shelf.about.startswith(
        "Objects that are not there: fewer than unsteered in 7 images, more in 0, as many in 3. The most changed"
    )
    assert [len(shelf.shown), len(shelf.folded), shelf.left_out] == [6, 4, 0]


def test_what_is_left_out_is_counted(seen, monkeypatch):
    monkeypatch.setattr(gallery, "BROWSED", 1)
    assert "3 more images are not shown here" in report(seen).text


def test_what_was_attributed_is_drawn_in_any_case(folder, monkeypatch):
    """The last image is behind those that are listed, in a condition that is folded."""
    found = {"units": "components", "kind": "components", "technique": "gradient", "whole": -1.0, "nothing": -2.0}
    some = {9: {**found, "names": ["text.1.mlp"], "values": [1.0]}}
    write(folder, "attributions.json", {"unsteered": some, "contrast 1.0": some})
    monkeypatch.setattr(gallery, "BROWSED", 0)
    _, second = gallery.galleries(read_run(folder))
    captions, answers = second.shelves
    (card,) = captions.folded
    assert [one.source.largest for one in card.shown] == ["text.1.mlp +1.00"] * 2
    assert captions.left_out == 3
    assert not [one for one in answers.shown + answers.folded if one.shown]


def test_captions_stand_beside_their_controls(seen):
    first, second = gallery.galleries(read_run(seen))
    assert [one.role for one in first.shelves[0].shown[0].shown] == [
        "unsteered",
        "steered",
        "random direction",
        "wrong images",
    ]
    assert [one.role for one in second.shelves[0].shown[0].shown] == ["unsteered", "steered"]
    assert second.steering == ("decode against text_only, strength 1.0, cutoff 0.1",)


def test_flipped_answers(seen):
    shelf = gallery.galleries(read_run(seen))[0].shelves[1]
    assert shelf.about.startswith("Answers that changed: 7 became right, 0 became wrong, 0 neither, in 7 images.")
    [flip] = shelf.shown[0].flips
    assert (flip.before, flip.after, flip.kind) == ("✗ yes (“Yes.”)", "✓ no (“No.”)", "right")


def test_log_odds_are_shown_where_words_were_weighed(folder):
    def weigh(line):
        answers = [one | {"answer": None, "logit": -0.25} for one in line["answers"]]
        return line | {"answers": answers}

    lines = [weigh(json.loads(line)) for line in (folder / "samples.jsonl").read_text().splitlines()]
    (folder / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "✓ no (log odds −0.25)" in report(folder).text


def test_scores_stand_beside_every_control(page):
    text = page.words
    assert (
        "0.300 [0.260, 0.340] −0.300 [−0.340, −0.260] 0.600 [0.560, 0.640] "
        "0.610 [0.570, 0.650] +0.010 [−0.030, 0.050] 0.580 [0.540, 0.620] −0.020 [−0.060, 0.020]" in text
    )
    assert "share of captions that name an object which is not there; lower is better" in text
    assert "KL 0.08 nats a token · 40 % of the residual norm" in text


def test_flips_by_what_they_mean(seen):
    [line, _] = flip_lines(read_run(seen).scores.rows)
    assert (line.name, line.split) == ("honest at 0.4", "adversarial")
    # fp->tn 7 times, tn->fp twice, 3 + 10 that stay
    assert line.cells == ("7", "2", "7", "2", "0", "0", "13")


def test_verdict(seen):
    first, answers, second, _ = verdicts(read_run(seen))
    shrunk = "captions shrink to 75 % of their length"
    assert first.claim == f"Fewer captions hallucinate, and fewer than with any control; {shrunk}"
    assert first.numbers == (
        "chair_s 0.600 → 0.300 [0.260, 0.340] (random direction 0.610, wrong images 0.580); "
        "recall −0.020 [−0.060, 0.020]; f1 +0.020 [−0.020, 0.060]; length 40.0 → 30.0; empty 0.000 → 0.000"
    )
    assert first.source == "honest at 0.4, 10 images, chosen before the test among 3 conditions"
    assert answers.claim == "F1 of the answers rises (adversarial)"
    assert answers.numbers == "adversarial +0.050 [0.010, 0.090]; unparsed up to 0.500"
    assert second.claim == f"Fewer captions hallucinate; no control stands beside this; {shrunk}"


@pytest.mark.parametrize(
    ("part", "value", "claim"),
    [
        (
            "against_wrong_image",
            -0.01,
            "Fewer captions hallucinate, but the same is not ruled out for controls (wrong images)",
        ),
        ("difference", 0.01, "No effect on hallucination is shown"),
        ("difference", 0.2, "More captions hallucinate than without steering"),
    ],
)
def test_claims_that_the_numbers_do_not_allow(folder, part, value, claim):
    def change(scores):
        scores["rows"][0]["metrics"]["chair_s"][part] |= {"value": value, "low": value - 0.04, "high": value + 0.04}

    edit(folder, "scores.json", change)
    assert verdicts(read_run(folder))[0].claim.startswith(claim)


def test_answers_that_nobody_can_read(folder):
    def lose(scores):
        lost = {"value": None, "low": None, "high": None, "n": 0, "unscored": 10}
        scores["rows"][0]["metrics"]["pope.adversarial.f1"] |= {"steered": lost, "difference": lost}

    edit(folder, "scores.json", lose)
    assert verdicts(read_run(folder))[1].claim == "The answers have no F1"


def test_without_a_choice_the_best_f1_is_said_to_be_chosen_afterwards(folder):
    (folder / "recipe.yaml").write_text("kind: image\nask: {}\n")
    first = verdicts(read_run(folder))[0]
    assert first.source == "honest at 0.4, 10 images, the highest F1 of 2 rows: it was chosen after the fact"


def test_the_choice_is_shown(page):
    text = page.words
    assert (
        "Of the conditions of each entry of the recipe the one with the lowest chair_s among those whose steering "
        "changes recall by at least −0.030 goes on to the test" in text
    )
    assert (
        "honest at 0.4 (chosen) 0.320 [0.280, 0.360] −0.300 [−0.340, −0.260] ✓ −0.020 [−0.060, 0.020] 0.08 40 %" in text
    )
    assert "honest at 0.8 0.120 [0.080, 0.160] −0.500 [−0.540, −0.460] ✗ −0.300" in text
    assert "honest at 0.4: minimise chair_s among 3 conditions, 2 of them within bounds" in text


def test_chair_against_recall(seen):
    """Dots are the validation, diamonds the test; recall lies on an axis from 0.46 to 0.89, chair_s from 0 to 1."""
    [chair, *_] = trade_offs(read_run(seen))
    assert [one.name for one in chair.series] == ["honest at …", "contrast …"]
    picture = ElementTree.fromstring(chair.figures[1].picture)
    dots = [one for one in picture.iter("circle") if one.get("class") == "dot c0"]
    # The lowest end of an interval of recall is 0.52 - 0.04, the highest 0.82 + 0.04; 0.03 are added at both.
    low, high = 0.45, 0.89
    expected = [44 + (recall - low) / (high - low) * 380 for recall in (0.82, 0.80, 0.52)]
    assert [float(one.get("cx")) for one in dots] == pytest.approx(expected, abs=0.01)
    assert [float(one.get("cy")) for one in dots] == pytest.approx(
        [252 - 224 * y for y in (0.52, 0.32, 0.12)], abs=0.01
    )
    assert len([one for one in picture.iter("circle") if one.get("class") == "chosen c0"]) == 1
    classes = [one.get("class") for one in picture.iter("path")]
    assert [classes.count(f"{shape} c0") for shape in ("diamond", "wedge")] == [1, 0]
    assert [classes.count(f"{shape} grey") for shape in ("triangle", "wedge", "hollow")] == [1, 1, 1]


def test_strength_over_tokens(page):
    assert "The scheduled strength at each token of an answer." in page.text
    assert [one["aria-label"] for one in page.all("svg") if "over tokens" in one["aria-label"]] == [
        "honest at 0.4: scheduled strength over tokens. honest:yes"
    ]


def test_a_run_that_was_killed_while_conditions_were_tried(folder):
    write(folder, "run.json", {"id": "0", "name": "seeing", "finished": False})
    for name in ("scores.json", "choice.json", "conditions.json", "samples.jsonl", "receipts.json", "traces.json"):
        (folder / name).unlink()
    (folder / "validation" / "scores.json").unlink()
    text = report(folder).words
    assert "The conditions are still being tried: 12 of" in text
    assert "0 of an unknown number of images are done" in text


def test_a_run_that_was_killed_in_its_test(folder):
    write(folder, "run.json", {"id": "0", "name": "seeing", "finished": False})
    for name in ("scores.json", "receipts.json", "traces.json"):
        (folder / name).unlink()
    lines = (folder / "samples.jsonl").read_text().splitlines(keepends=True)
    (folder / "samples.jsonl").write_text("".join(lines[:12]) + lines[12][:40])
    page = report(folder)
    assert [one["id"] for one in page.all("section")] == ["pictures", "choice", "applied", "reproduce"]
    assert "12 of 50 images are done" in page.text
    assert "Objects that are not there: fewer than unsteered in 2 images" in page.text


def test_missing_image_is_said(folder):
    (folder / "images" / "00001.png").unlink()
    page = report(folder)
    assert "the image file is missing" in page.text
    assert "images/00001.png" not in [one["src"] for one in page.all("img")]


@pytest.mark.parametrize("path", ["../../etc/passwd", "javascript:alert(1)", "images/../../x.png", "audio/1.png"])
def test_images_lie_in_the_folder(folder, path):
    edit(folder, "examples.json", lambda rows: [rows[0] | {"images": [path]}])
    with pytest.raises(RecipeError, match="does not lie in the folder images"):
        write_report(folder)


def test_a_kind_that_no_report_shows(folder):
    (folder / "recipe.yaml").write_text("kind: smell\n")
    with pytest.raises(RecipeError, match="damaged: kind: Input should be 'text', 'image' or 'music'"):
        write_report(folder)


@pytest.mark.parametrize(("image", "words"), [("own", "named: without"), ("next", "named of the next image: without")])
def test_verification_is_said_in_words(image, words):
    decode = {"verify": {"least": -0.5, "image": image, "words": ["Yes", "No"]}}
    one = Condition(name="a", kind="steered", values={}, steering=[], decode=decode, controls=[])
    assert one.applied == [f"asked about each object {words} those with log-odds of yes under -0.5"]
