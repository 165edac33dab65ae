"""Files that are broken on purpose: every reader of a benchmark file gives one error that names the file, quickly."""

import json
import os
import time

import pytest

from mmsteer.errors import EvalError
from mmsteer.eval import amber, hallusion, mmhal
from mmsteer.eval.amber_words import read_vocabulary
from mmsteer.eval.chair_data import image_name, read_captions, read_coco, read_objects
from mmsteer.eval.chair_parser import object_parser
from mmsteer.eval.chair_synonyms import read_synonyms
from mmsteer.eval.mme import score_mme
from mmsteer.eval.pope import read_logits, read_pope_answers, read_questions
from mmsteer.eval.pope_questions import Question, read_object_lists

ASKED = (Question(1, "1", "Is there a dog in the image?", "yes"),)
ITEMS = (amber.Item(1, "1", "relation", ("yes",)),)


def _coco(path):
    path.rename(path.with_name("instances_val2014.json"))
    path.with_name("captions_val2014.json").write_text('{"annotations": [{"image_id": 1, "caption": "a"}]}')
    return read_coco(path.parent, object_parser(), ["1"])


def _mme(path):
    path.rename(path.with_name("existence.txt"))
    return score_mme(path.parent)


def _relation(path):
    path.with_name("safe.txt").write_text("dog")
    return read_vocabulary(path, path.with_name("safe.txt"))


READERS = {
    "questions": read_questions,
    "answers": lambda path: read_pope_answers(path, ASKED),
    "logits": lambda path: read_logits(path, ASKED),
    "captions": read_captions,
    "objects": read_objects,
    "object lists": read_object_lists,
    "coco": _coco,
    "synonyms": read_synonyms,
    "amber items": amber.read_items,
    "amber responses": lambda path: amber.read_responses(path, ITEMS),
    "amber relation": _relation,
    "mmhal": mmhal.read_items,
    "hallusion": hallusion.read_items,
    "mme": _mme,
}
CONTENTS = {
    "digits": '{"id": %s}' % ("9" * 5000),
    "deep": "[" * 100_000,
    "deep object": '{"a":' * 100_000,
    "binary": b"\x00\xff\xfe",
    "cut": '{"id": 1, "answer": "',
    "number": "7",
    "nulls": "[null, null]",
    "nothing": "",
}


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_refuses_what_is_broken(tmp_path, reader, content):
    if (reader, content) in {("synonyms", "number"), ("synonyms", "cut")}:
        pytest.skip("a line of any words is a class")
    path = tmp_path / "a.json"
    data = CONTENTS[content]
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(EvalError) as caught:
        READERS[reader](path)
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize("reader", READERS)
def test_no_reader_waits_for_a_pipe(tmp_path, reader):
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(EvalError, match=r"no regular file|no result file"):
        READERS[reader](tmp_path / "a.json")


RECORDS = {
    "questions": {"question_id": 1, "image": "1", "text": "Is there a dog?", "label": "yes"},
    "answers": {"question_id": 1, "answer": "yes"},
    "logits": {"question_id": 1, "logit": 0.5},
    "captions": {"image_id": 1, "caption": "a dog"},
    "amber items": {"id": 1, "type": "generative", "truth": ["dog"], "hallu": ["cat"]},
    "amber responses": {"id": 1, "response": "Yes"},
    "mmhal": {"question_type": "a", "image_content": ["b"], "question": "c", "gt_answer": "d", "model_answer": "e"},
    "hallusion": {
        **{"category": "VD", "subcategory": "chart", "set_id": "1", "figure_id": "1", "question_id": "1"},
        **{"gt_answer": "1", "model_prediction": "yes"},
    },
}
VALUES = ([["a"]], {"a": [1]}, True, 1.5, None, "x" * 20_000, "9" * 20_000, 10**299, [1], [])


@pytest.mark.parametrize("reader", RECORDS)
def test_a_value_of_another_type_is_read_or_refused_with_its_line(tmp_path, reader):
    good, refused = RECORDS[reader], []
    for key in good:
        for value in VALUES:
            (tmp_path / "a.json").write_text(f"\n{json.dumps(good | {key: value})}")
            try:
                READERS[reader](tmp_path / "a.json")
            except EvalError as error:
                refused.append(str(error))
    assert len(refused) > len(good)
    assert all("a.json:2: " in error and len(error) < 600 for error in refused)


def test_names_of_images_of_any_length_take_no_time():
    start = time.perf_counter()
    assert image_name("0" * 20_000) == "0"
    assert image_name("0" * 20_000 + "x") == "0" * 20_000 + "x"
    assert image_name("/" * 20_000 + "0" * 20_000 + "7.jpg") == "7"
    assert time.perf_counter() - start < 1
