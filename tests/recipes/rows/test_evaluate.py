"""`mmsteer.evaluate`: the loop of recipes from Python, on a small random model."""

import copy
import json
from dataclasses import replace

import pytest
import torch

import mmsteer
from mmsteer.errors import RecipeError
from mmsteer.recipes.folder import RunFolder
from mmsteer.recipes.scoring import Scored
from mmsteer.report import write_report
from mmsteer.steering import Gate
from mmsteer.types import SiteStats
from mmsteer.versions import versions
from tests.adapters.checkpoints import save
from tests.adapters.test_wrapped import with_lora
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


@pytest.fixture(scope="module")
def pushed(llama):
    two = mmsteer.Attribute(direction(llama), 8.0, gate=Gate(direction(llama, "b", seed=2)))
    return mmsteer.Steering((two, mmsteer.Attribute(direction(llama, "c", seed=4), 8.0)))


@pytest.fixture(scope="module")
def half(tmp_path_factory, llama, rows, pushed):
    """A folder whose run was stopped."""
    folder = tmp_path_factory.mktemp("half") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "finish", lambda _: None)
        patch.setattr("mmsteer.recipes.evaluate._results", lambda _: None)
        mmsteer.evaluate(task(llama, rows), {"c": pushed}, folder=folder, progress=False)
    return folder


def other_norm(steering):
    first, second = steering.attributes
    norms = {site: replace(stats, residual_norm=50.0) for site, stats in first.direction.stats.items()}
    return replace(steering, attributes=(replace(first, direction=replace(first.direction, stats=norms)), second))


def other_gate(steering):
    first, second = steering.attributes
    gate = replace(first.gate, direction=replace(second.direction, name=first.gate.direction.name))
    return replace(steering, attributes=(replace(first, gate=gate), second))


def other_digit(steering):
    first, second = steering.attributes
    return replace(steering, attributes=(replace(first, strength=first.strength + 1e-7), second))


@pytest.mark.parametrize(
    "change",
    [
        lambda steering: replace(steering, budget=0.1),
        lambda steering: replace(steering, compose="gram_schmidt"),
        other_norm,
        other_gate,
        other_digit,
    ],
)
def test_a_folder_of_another_steering_is_refused_and_left_as_it_is(half, llama, rows, pushed, change):
    before = (half / "directions.safetensors").read_bytes()
    with pytest.raises(RecipeError, match="holds another run"):
        mmsteer.evaluate(task(llama, rows), {"c": change(pushed)}, folder=half, progress=False)
    assert (half / "directions.safetensors").read_bytes() == before


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("how", ["adapters", "dtype"])
def test_a_folder_of_a_model_that_makes_other_numbers_is_refused(half, llama, rows, pushed, how):
    model = copy.deepcopy(llama.model)
    other = model.to(torch.bfloat16) if how == "dtype" else with_lora(model)
    adapter = mmsteer.adapt(other, llama.processor)
    assert adapter.fingerprint == llama.fingerprint
    with pytest.raises(RecipeError, match="holds another run"):
        mmsteer.evaluate(task(adapter, rows), {"c": pushed}, folder=half, progress=False)


def test_what_a_run_was_begun_with_stays_written(half, llama, rows, pushed, monkeypatch):
    names = ("environment.json", "directions.safetensors")
    before = [(half / name).read_bytes() for name in names]
    first, second = pushed.attributes
    found = replace(first, direction=replace(first.direction, provenance={"probe": "another"}))
    monkeypatch.setattr("mmsteer.recipes.environment.platform.system", lambda: "Another")
    again = replace(pushed, attributes=(found, second))
    mmsteer.evaluate(task(llama, rows), {"c": again}, folder=half, progress=False)
    assert [(half / name).read_bytes() for name in names] == before


def test_other_libraries_make_another_run(half, llama, rows, pushed, monkeypatch):
    known = versions()
    monkeypatch.setattr("mmsteer.recipes.environment.versions", lambda: known | {"transformers": "99"})
    with pytest.raises(RecipeError, match="holds another run"):
        mmsteer.evaluate(task(llama, rows), {"c": pushed}, folder=half, progress=False)


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
