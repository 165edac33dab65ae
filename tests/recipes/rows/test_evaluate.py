"""`mmsteer.evaluate`: the loop of recipes from Python, on a small random model."""

import json
from dataclasses import replace

import pytest
import torch

import mmsteer
from mmsteer.errors import RecipeError
from mmsteer.recipes.scoring import Scored
from mmsteer.report import write_report
from mmsteer.types import SiteStats
from tests.adapters.checkpoints import save
from tests.recipes.rows.recipe import PROMPTS

SITE = mmsteer.Site.parse("text.1")


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return mmsteer.load(save("llama", tmp_path_factory.mktemp("llama")))


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    file.write_text("".join(json.dumps({"prompt": text, "answer": "yes"}) + "\n" for text in PROMPTS))
    return mmsteer.read_rows(file)


def direction(adapter, name="style:cups", seed=1):
    noise = torch.randn(adapter.widths[SITE], generator=torch.Generator().manual_seed(seed))
    vector = torch.nn.functional.normalize(noise, dim=0)
    return mmsteer.Direction(name, {SITE: vector}, {SITE: SiteStats(1.0, 0.0, 1.0, 1.0)}, adapter.fingerprint, {})


def letters(answer):
    return None if not answer else float(len(answer))


def task(adapter, rows, **changed):
    given = {"score": {"letters": letters, "length": "length"}, "sampling": mmsteer.Sampling(4, temperature=0.0)}
    return mmsteer.RowsTask(adapter, rows, **given | changed)


def evaluate(adapter, rows, folder, *, lines=None, **options):
    known = {"style:cups": direction(adapter)}
    lines = lines or {"strong": "style:cups 80", "none": "style:cups 0"}
    return mmsteer.evaluate(task(adapter, rows), lines, known, folder=folder, progress=False, **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, llama, rows):
    others = {"shuffled": {"style:cups": direction(llama, seed=2)}}
    return evaluate(llama, rows, tmp_path_factory.mktemp("run") / "run", random=2, controls=others)


def test_every_condition_stands_beside_the_unsteered_model_and_its_controls(finished):
    assert finished.scores.keys() == {"strong", "none"}
    found = finished.scores["strong"]["letters"]
    mine = [letters(line["text"]) for line in finished.samples["strong"]]
    scored = [value for value in mine if value is not None]
    assert found["steered"]["value"] == (pytest.approx(sum(scored) / len(scored)) if scored else None)
    assert (found["steered"]["n"], found["steered"]["unscored"]) == (len(scored), len(mine) - len(scored))
    length = finished.scores["strong"]["length"]
    assert all(length[arm]["value"] is not None for arm in ("unsteered", "random", "shuffled", "against_random"))
    assert {name for name in finished.samples if name.startswith("random")} == {
        f"random {draw} as {name}" for draw in (1, 2) for name in ("strong", "none")
    }


def test_strength_zero_gives_the_unsteered_answers_and_a_large_one_others(finished):
    texts = {name: [line["text"] for line in lines] for name, lines in finished.samples.items()}
    assert texts["none"] == texts["unsteered"]
    assert texts["strong"] != texts["unsteered"]


def test_the_answers_are_those_of_a_plain_steered_call(finished, llama, rows):
    with mmsteer.steer(llama, "style:cups 80", {"style:cups": direction(llama)}):
        made = llama.generate([row.prompt for row in rows], mmsteer.Sampling(4, temperature=0.0))
    assert [line["text"] for line in finished.samples["strong"]] == [one.output for one in made]


def test_a_finished_evaluation_is_read_and_not_made_again(finished, llama, rows, monkeypatch):
    monkeypatch.setattr(type(llama), "generate", lambda *_, **__: pytest.fail("generated again"))
    others = {"shuffled": {"style:cups": direction(llama, seed=2)}}
    again = evaluate(llama, rows, finished.path, random=2, controls=others)
    assert again.scores == finished.scores


@pytest.mark.parametrize("changed", ["direction", "rows", "random"])
def test_a_folder_of_another_evaluation_is_refused(finished, llama, rows, changed):
    known = {"style:cups": direction(llama, seed=3 if changed == "direction" else 1)}
    some = rows[:-1] if changed == "rows" else rows
    others = {"shuffled": {"style:cups": direction(llama, seed=2)}}
    with pytest.raises(RecipeError, match="holds another run"):
        mmsteer.evaluate(
            task(llama, some),
            {"strong": "style:cups 80", "none": "style:cups 0"},
            known,
            folder=finished.path,
            random=1 if changed == "random" else 2,
            controls=others,
            progress=False,
        )


def test_the_folder_has_a_report(finished):
    page = write_report(finished.path).read_text()
    assert "letters" in page
    assert "style:cups 80" in page


def test_results_print_as_a_table(finished):
    lines = str(finished).splitlines()
    assert lines[0].split() == ["condition", "metric", "steered", "unsteered", "random"]
    assert len(lines) == 5


def test_strengths_are_calibrated_to_a_divergence(tmp_path, llama, rows):
    lines = {"weak": "style:cups 0.1", "strong": "style:cups 10"}
    found = evaluate(llama, rows, tmp_path / "run", lines=lines, kl=0.01)
    doses = json.loads((found.path / "doses.json").read_text())
    assert doses["weak"]["factor"] == pytest.approx(100 * doses["strong"]["factor"], rel=0.05)
    assert 0 < doses["weak"]["kl"] < 0.01


def test_all_problems_are_said_at_once_and_nothing_is_written(tmp_path, llama, rows):
    other = direction(llama)
    wrong = mmsteer.Direction(other.name, other.vectors, other.stats, "another model", {})
    wanted = {"unsteered": "style:cups 1", "late": "style:cups 1 window(50steps..60steps)"}
    with pytest.raises(RecipeError) as raised:
        mmsteer.evaluate(
            task(llama, [], score={"cups": "contain:cup"}),
            wanted,
            {other.name: wrong},
            folder=tmp_path / "run",
            progress=False,
        )
    text = str(raised.value)
    for part in ("no rows", "contain:cup", "'unsteered' is the name of a control", "late: ", "another model"):
        assert part in text
    assert not (tmp_path / "run").exists()


def test_clips_are_scored_by_name_and_by_any_function(tmp_path):
    adapter = mmsteer.load("bundled:music")
    site = mmsteer.Site.parse("decoder.2")
    vector = torch.nn.functional.one_hot(torch.tensor(3), adapter.widths[site]).float()
    known = {
        "a:b": mmsteer.Direction("a:b", {site: vector}, {site: SiteStats(1.0, 0.0, 1.0, 1.0)}, adapter.fingerprint, {})
    }
    file = tmp_path / "rows.jsonl"
    file.write_text('{"prompt": "a slow organ"}\n')
    given = mmsteer.RowsTask(
        adapter,
        mmsteer.read_rows(file),
        {"c": "note:C", "loud": lambda audio: float(abs(audio.samples).max())},
        mmsteer.Sampling(seconds=0.5),
    )
    found = mmsteer.evaluate(given, {"pushed": "a:b 0.1"}, known, folder=tmp_path / "run", random=0, progress=False)
    assert 0 < found.scores["pushed"]["loud"]["steered"]["value"] <= 1
    assert len(list((tmp_path / "run" / "audio").rglob("*.flac"))) == 2


def test_intervals_are_over_groups_of_rows(llama, rows):
    """Rows of one group stand and fall together: as many groups as values say as much as that many rows."""
    values = [0.1, 0.4, 0.2, 0.9]

    def found(each, group):
        given = [replace(rows[0], id=str(at), prompt=f"p{at}", group=group(at)) for at in range(len(values) * each)]
        scored = [{"example": at, "scores": {"letters": [values[at // each], 1.0]}} for at in range(len(given))]
        shown = Scored("x", {}, {}, None, scored, None, {}, None, None)
        return task(llama, given, score={"letters": letters}).scores([shown])["metrics"]["letters"]["steered"]

    pooled, alone = found(3, lambda at: str(at // 3)), found(1, lambda at: None)
    assert (pooled["low"], pooled["high"]) == pytest.approx((alone["low"], alone["high"]))
    assert found(3, lambda at: None)["low"] > pooled["low"]
