import json
import math
from pathlib import Path

import pytest

from mmsteer.errors import EvalError
from mmsteer.eval.chair import Chair
from mmsteer.eval.chair_data import read_captions, read_objects
from mmsteer.eval.chair_synonyms import coco_synonyms, read_synonyms

TRUTH = {"1": ["dog", "person"], "2": ["cat"], "3": [], "4": ["bus"]}
CAPTIONS = {"1": "A dog, a dog and a cat.", "2": "A cat.", "3": "Nothing but grass here."}


def test_scores_by_hand():
    """Mentions: dog, dog, cat* | cat | none. Classes there: 2 + 1 + 0; named: 2 + 1 + 0; right: 1 + 1."""
    score = Chair(TRUTH).score(CAPTIONS)
    assert score.chair_s.value == pytest.approx(1 / 3)
    assert score.chair_i.value == pytest.approx(1 / 4), "repeats count"
    assert score.recall.value == pytest.approx(2 / 3)
    assert score.precision.value == pytest.approx(2 / 3)
    assert score.f1.value == pytest.approx(2 / 3)
    assert score.length.value == pytest.approx((7 + 2 + 4) / 3)
    assert score.distinct.value == pytest.approx(1)
    assert score.no_objects.value == pytest.approx(1 / 3)
    assert score.empty.value == 0
    assert score.n == 3


def test_every_interval_holds_its_value():
    captions = {str(n): text for n, text in enumerate([*CAPTIONS.values()] * 10)}
    truth = {image: TRUTH[str(int(image) % 3 + 1)] for image in captions}
    for name, one in Chair(truth).score(captions).scores.items():
        assert one.low <= one.value <= one.high, name
        assert (one.low, one.high) != (None, None)


def test_rows_mark_the_hallucinated_words():
    row = Chair(TRUTH).score(CAPTIONS).rows[0]
    assert [row.caption[one.start : one.stop] for one in row.hallucinated] == ["cat"]
    assert row.objects == {"dog", "cat"}
    plain = row.to_json()
    assert plain["mentions"][2] == {"object": "cat", "words": "cat", "start": 19, "stop": 22, "hallucinated": True}
    assert plain["missed"] == ["person"]


def test_an_empty_caption_is_reported_as_empty_not_as_perfect():
    score = Chair(TRUTH).score({"1": "A cat.", "2": " \n"})
    assert score.chair_s.value == 1
    assert (score.chair_s.n, score.chair_s.unscored) == (1, 1)
    assert score.empty.value == 0.5
    assert score.recall.value == 0, "what it does not say is missed"


def test_the_reference_scores_an_empty_caption():
    assert Chair(TRUTH, "pattern").score({"1": "A cat.", "2": ""}).chair_s.value == 0.5


def test_captions_without_objects_have_defined_values():
    score = Chair(TRUTH).score({"3": "Grass.", "1": "Only grass."})
    assert score.chair_i.value is score.precision.value is None
    assert score.chair_s.value == score.recall.value == score.f1.value == 0
    assert score.no_objects.value == 1
    text = json.dumps(score.to_json(), allow_nan=False)
    assert json.loads(text)["chair_i"] is None


def test_no_captions_at_all():
    score = Chair(TRUTH).score({})
    assert score.n == 0
    assert all(one.value is None for one in score.scores.values())


def test_what_the_truth_must_be():
    with pytest.raises(EvalError, match="'dogg', which is none of the 80 classes; did you mean 'dog'"):
        Chair({"1": ["dogg"]})
    with pytest.raises(EvalError, match="no objects are known of image '9'"):
        Chair(TRUTH).score({"9": "A cat."})


@pytest.fixture(scope="module")
def data(pytestconfig):
    folder = Path(pytestconfig.rootpath, pytestconfig.getoption("--data-dir"))
    if not (folder / "captions").exists():
        pytest.skip(f"no public benchmark files in {folder}; give --data-dir")
    return folder


# From the reference script on the same captions (README of the data; the first is also in POPE's paper).
REFERENCE = {"llava": (0.6270, 0.1876, 0.7668, 91.15), "instructblip": (0.0335, 0.0249, 0.4087, 7.47)}


@pytest.mark.parametrize("model", REFERENCE)
def test_pattern_mode_gives_the_numbers_of_the_reference(data, model):
    chair = Chair(read_objects(data / "coco" / "objects_val2014.json"), "pattern")
    score = chair.score({one.image: one.text for one in read_captions(data / "captions" / f"{model}.jsonl")})
    found = (score.chair_s, score.chair_i, score.recall, score.length)
    assert score.n == 2000
    for one, (value, digits) in zip(found, zip(REFERENCE[model], (4, 4, 4, 2), strict=True), strict=True):
        assert math.isclose(one.value, value, abs_tol=0.501 * 10**-digits)


def test_the_shipped_list_is_the_published_one(data):
    published = read_synonyms(data / "chair" / "synonyms.txt")
    shipped = coco_synonyms()
    assert list(shipped) == list(published)
    for name, words in published.items():
        assert {name, *words} == {name, *shipped[name]}
