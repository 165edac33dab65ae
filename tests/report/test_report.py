"""The page as a whole: what it holds, what it refuses, what it asks the browser for."""

import json
import time
from urllib.parse import unquote

import pytest

from mmsteer.errors import MmsteerError, RecipeError
from mmsteer.report import write_report
from mmsteer.report.run_data import read_run
from tests.report.example import HOSTILE, edit, make_run, write
from tests.report.html import Page, report


@pytest.fixture(scope="module")
def page(made) -> Page:
    return Page(write_report(made).read_text())


def test_sections_in_order(page):
    sections = [one["id"] for one in page.all("section")]
    assert sections == ["listening", "scores", "trade-off", "schedules", "applied", "reproduce"]


def test_same_run_same_page(folder):
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first
    assert not list(folder.glob(".report*"))


def test_texts_of_strangers_stay_texts(page):
    assert HOSTILE in page.text
    assert len(page.all("script")) == 1


def test_names_of_strangers_stay_names(folder):
    evil = "<img src=x onerror=alert(1)>"
    for name in ("conditions.json", "scores.json", "traces.json", "samples.jsonl", "receipts.json", "probe.json"):
        text = (folder / name).read_text()
        for word in (" C at", "note:C", "decoder.2", '"D#"', "C to G"):
            text = text.replace(word, word[:-1] + evil + word[-1])
        (folder / name).write_text(text)
    page = report(folder)
    assert page.text.count(evil) > 20
    assert not page.all("img")


def test_nothing_is_asked_of_the_network(page):
    """Whatever a browser would load lies in the folder."""
    loaded = [one[key] for _, one in page.tags for key in ("src", "href", "data", "poster", "action") if key in one]
    assert loaded
    assert all(url.startswith(("audio/", "#", "data:,")) for url in loaded)
    assert "url(" not in "".join(one.get("style") or "" for _, one in page.tags)


def test_players_play_what_is_there(page, made):
    players = page.all("audio")
    assert len(players) == 21 * 4 * 3 - 3 * 4  # 21 conditions, 4 prompts, 3 clips; three have no random control
    assert all((made / unquote(one["src"])).is_file() for one in players)
    assert all(one["preload"] == "none" for one in players)


def test_the_other_prompts_are_links(page, made):
    links = [one["href"] for one in page.all("a") if one["href"].startswith("audio/")]
    assert len(links) == 21 * 2 * 3 - 3 * 2
    assert all((made / link).is_file() for link in links)


def test_every_picture_says_what_it_shows(page):
    assert all(one["aria-label"] and one["role"] == "img" for one in page.all("svg"))


def test_missing_audio_is_said(folder):
    (folder / "audio" / "unsteered" / "00.flac").unlink()
    page = report(folder)
    assert "the audio file is missing" in page.text
    assert "audio/unsteered/00.flac" not in [one["src"] for one in page.all("audio")]


@pytest.mark.parametrize("name", ["traces.json", "probe.json", "receipts.json", "doses.json", "directions.safetensors"])
def test_pieces_may_be_missing(folder, name):
    (folder / name).unlink()
    sections = [one["id"] for one in report(folder).all("section")]
    assert ("schedules" in sections) == (name != "traces.json")


def test_cells_name_their_column_where_a_narrow_page_folds_the_head_away(page):
    columns = [one["data-column"] for one in page.all("td") if "data-column" in one]
    scored = ["steered", "change", "unsteered", "random direction", "chance", "n"]
    assert columns[:6] == scored
    assert columns[-10:-7] == ["sites", "calls", "rows"]
    assert columns[-2:] == ["calibrated ×", "KL (nats)"]
    assert columns.count("n") == columns.count("steered")


def test_receipts_state_ratios_gates_sums_and_warnings(page):
    assert "10 % (8 % to 15 %)" in page.text
    assert "1,206 of 4,824" in page.text
    assert "the pushes at 6 sites add up to 40 % at decoder.5" in page.text
    assert "Warning: half of the steered tokens were moved" in page.text


def test_receipts_of_earlier_versions_are_shown(folder):
    receipts = json.loads((folder / "receipts.json").read_text())
    new = {"low", "median", "high", "sampled", "gates", "totals", "warnings"}
    older = {name: {key: value for key, value in one.items() if key not in new} for name, one in receipts.items()}
    (folder / "receipts.json").write_text(json.dumps(older))
    assert "Warning: half" not in report(folder).text


def test_unscored_clips_are_counted(folder, page):
    assert "unscored" not in page.text

    def lose(scores):
        scores["summaries"][0]["metrics"]["note.hit"]["steered"]["unscored"] = 3

    edit(folder, "scores.json", lose)
    assert "+ 3 unscored" in report(folder).text


def test_rows_that_no_summary_pools_stand_beside_the_summaries(made):
    main = [row.condition for row in read_run(made).scores.main]
    assert main[0] == "3 targets, note, 0.05"
    assert main[6:] == ["C, linear(0s..4s)", "C, sine(4s)", "C to G"]


def test_nothing_scored_at_all(folder):
    """No clip of any condition could be told: every number is a dash, and nothing breaks."""
    lost = {"value": None, "low": None, "high": None, "n": 0, "unscored": 18}

    def lose(scores):
        for row in scores["rows"] + scores["summaries"]:
            row["metrics"] = {
                name: metric | {"steered": lost, "difference": lost} for name, metric in row["metrics"].items()
            }

    edit(folder, "scores.json", lose)
    assert "+ 18 unscored" in report(folder).text


def test_an_unfinished_run_says_how_far_it_is(folder):
    write(folder, "run.json", {"id": "1a2b3c4d5e", "name": "example", "finished": False})
    for name in ("scores.json", "traces.json", "receipts.json"):
        (folder / name).unlink()
    lines = (folder / "samples.jsonl").read_text().splitlines(keepends=True)
    (folder / "samples.jsonl").write_text("".join(lines[:10]) + lines[10][:40])
    page = report(folder)
    assert "10 of 150 clips" in page.text
    assert "no clip is finished" in page.text
    assert [one["id"] for one in page.all("section")] == ["listening", "applied", "reproduce"]


def test_a_run_that_has_just_begun(tmp_path):
    write(tmp_path, "run.json", {"id": "0", "name": "new", "finished": False})
    assert "0 of an unknown number of outputs" in report(tmp_path).text


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(RecipeError, match=r"holds no run: it has no run\.json"):
        write_report(tmp_path)
    with pytest.raises(RecipeError, match="holds no run"):
        write_report(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("scores.json", '{"rows": [', r"scores\.json is damaged"),
        (
            "scores.json",
            '{"rows": [{"condition": 3}], "summaries": []}',
            r"scores\.json is damaged: rows\.0\.condition",
        ),
        ("run.json", "[]", r"run\.json is damaged"),
        ("samples.jsonl", "{}\n", r"samples\.jsonl:1 is damaged: condition: Field required"),
        ("doses.json", '{"C": {"factor": NaN, "kl": 0}}', r"doses\.json is damaged"),
        ("recipe.yaml", "about: [", r"recipe\.yaml is damaged"),
        ("recipe.yaml", "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", r"recipe\.yaml:1: anchors and aliases"),
        ("recipe.yaml", "a: &a [*a]", r"recipe\.yaml:1: anchors and aliases"),
        ("recipe.yaml", "? [1]\n: 2", r"recipe\.yaml:1: a key must be a word"),
        ("directions.safetensors", "\x80\x02", "pickle"),
    ],
)
def test_damage_is_one_clear_error(folder, name, content, complaint):
    (folder / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(MmsteerError, match=complaint):
        write_report(folder)
    assert not (folder / "report.html").exists()


def test_a_finished_run_is_whole(folder):
    (folder / "scores.json").unlink()
    with pytest.raises(RecipeError, match=r"scores\.json is missing"):
        write_report(folder)


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "javascript:alert(1)", "audio/../../x.flac"])
def test_audio_lies_in_the_folder(folder, path):
    line = json.loads((folder / "samples.jsonl").read_text().splitlines()[0]) | {"audio": path}
    (folder / "samples.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(RecipeError, match="does not lie in the folder audio"):
        write_report(folder)


def test_many_clips_are_fast(tmp_path):
    make_run(tmp_path, prompts=21, audio=False)  # 525 clips
    start = time.process_time()
    write_report(tmp_path)
    assert time.process_time() - start < 5
