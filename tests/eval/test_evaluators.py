import ast
from pathlib import Path

import numpy as np
import pytest
import yaml

import mmsteer.eval
from mmsteer.errors import EvalError
from mmsteer.eval.chords import read_chord
from mmsteer.eval.intervals import read_interval
from mmsteer.eval.keys import read_key
from mmsteer.eval.notes import read_notes
from mmsteer.eval.onsets import read_onsets
from mmsteer.eval.register import read_register
from mmsteer.eval.tempo import read_tempo
from tests.eval.tones import RATE, tone

READERS = {
    "chords": read_chord,
    "intervals": read_interval,
    "keys": read_key,
    "notes": read_notes,
    "onsets": read_onsets,
    "register": read_register,
    "tempo": read_tempo,
}
SUITES = sorted(Path("eval").glob("*.yaml"))
KEYS = {"judges", "reads", "data", "convention", "metric", "cannot_tell", "accuracy", "differences"}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("clip", [tone(60, 0.2), np.zeros(100)], ids=["short", "silent"])
def test_every_evaluator_reads_every_clip_and_has_a_trace(name, clip):
    assert hasattr(READERS[name](clip, RATE), "trace")


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    ("clip", "message"),
    [(np.array([0.1, np.nan]), "not finite"), (np.zeros(0), "empty"), (np.zeros((100, 2)), "mono")],
    ids=["nan", "empty", "stereo"],
)
def test_every_evaluator_refuses_what_it_cannot_judge(name, clip, message):
    with pytest.raises(EvalError, match=message):
        READERS[name](clip, RATE)


def test_no_evaluator_sees_how_its_clips_are_made():
    """What defines a direction never judges it."""
    for path in Path(mmsteer.eval.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert not str(node.module).startswith(("mmsteer.data", "mmsteer.probes", "mmsteer.bundled"))


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_every_music_suite_says_what_it_judges(path):
    suite = yaml.safe_load(path.read_text())
    if suite.get("modality") == "music":
        assert suite.keys() - {"modality"} == KEYS
        assert set(suite["reads"]) <= READERS.keys()


def test_every_evaluator_has_a_suite():
    suites = [yaml.safe_load(path.read_text()) for path in SUITES]
    read = {name for suite in suites if suite.get("modality") == "music" for name in suite["reads"]}
    assert read == READERS.keys()
