"""Drawings by their numbers: where points lie, what is left out, what is said."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from mmsteer.report.output_parts import Notes
from mmsteer.report.run_data import read_run
from mmsteer.report.schedules import schedule_charts, varies
from mmsteer.report.strips import heat_strip, interval_picture, note_strip
from mmsteer.report.svg import Axis, drawing, element, line
from mmsteer.report.sweeps import grouped, swept
from mmsteer.report.tradeoff import trade_offs


@pytest.fixture(scope="module")
def run(made):
    return read_run(made)


def notes(classes: list[int], share=None) -> Notes:
    return Notes(main_note="C", voiced=1.0, share=share, trace={"hop_s": 0.032, "classes": classes})


def test_axis():
    axis = Axis(0.0, 2.0, 10, 110)
    assert axis(0.5) == 35
    assert axis.ticks() == [0, 0.5, 1, 1.5, 2]
    assert Axis(3.0, 3.0, 0, 10)(3.0) == 0


def test_a_straight_line_is_two_points():
    unit = Axis(0.0, 1.0, 0, 1)
    assert line(unit, unit, [(i, i / 10) for i in range(200)], "x").get("d") == "M0 0L199 19.9"


def test_a_corner_is_kept_and_a_gap_breaks():
    unit = Axis(0.0, 1.0, 0, 1)
    points = [(0, 0.0), (1, 1.0), (2, 0.0), (3, None), (4, 1.0), (5, 1.0)]
    assert line(unit, unit, points, "x").get("d") == "M0 0L1 1L2 0M4 1L5 1"


def test_text_is_escaped():
    svg = drawing(1, 1, '"<b>"', [element("text", text="<script>")], "chart")
    assert "<b>" not in svg
    assert "<script>" not in svg


def test_note_strip_lies_where_the_notes_are():
    strip = ElementTree.fromstring(note_strip(notes([0, 0, -1, 11]), ["C"]))
    assert strip.get("viewBox") == "0 0 4 12"
    paths = {path.get("class"): path.get("d") for path in strip.findall("path")}
    assert paths == {"c0": "M0 11h2v1h-2z", "other": "M3 0h1v1h-1z"}


def test_note_strip_of_silence():
    assert "none is heard" in note_strip(notes([]), ["C"])


def test_interval_picture(run):
    metric = run.scores.summaries[-1].metrics["note.hit"]
    picture = ElementTree.fromstring(interval_picture("note.hit", metric))
    dot = next(one for one in picture.iter("circle") if "dot" in one.get("class"))
    assert float(dot.get("cx")) == pytest.approx(6 + 148 * metric.steered.value, abs=0.01)


def test_heat_strip_says_each_score(run):
    titles = [one.text for one in ElementTree.fromstring(heat_strip(run.probes[0])).iter("title")]
    assert len(titles) == 6 * 12
    assert "D at decoder.0: 0.66" in titles
    assert "D at decoder.2: –" in titles


def scored(run, **parts):
    """The run with other scores."""
    return replace(run, scores=run.scores.model_copy(update=parts))


def captions(trade_off) -> list[str]:
    return [one.caption for one in trade_off.figures]


def test_sweep_is_found(run):
    assert swept(run.scores.summaries) == ("strength",)
    series = grouped(run.scores.summaries, [], ["strength"], {"note.hit"})
    assert [(one.letter, one.name) for one in series] == [("A", "note"), ("B", "note-rfm")]
    assert [spot.at for spot in series[0].tried] == [0.05, 0.1, 0.15]


def test_entries_of_the_same_variables_are_told_apart_by_their_names(run):
    rows = [
        run.scores.rows[0].model_copy(update={"condition": f"{name} at {at}", "values": {"strength": at}})
        for name in ("honest", "contrast")
        for at in (0.5, 1.0)
    ]
    assert [one.name for one in grouped(rows, [], ["strength"], {"note.hit"})] == ["honest at …", "contrast at …"]


def test_each_entry_may_call_its_strength_otherwise(run):
    named = [("text 0.4", {"beta": 0.4}), ("text 0.9", {"beta": 0.9})]
    named += [(f"vision {at} and text {at}", {"alpha": at}) for at in (0.04, 0.4, 0.9)]
    rows = [run.scores.rows[0].model_copy(update={"condition": name, "values": values}) for name, values in named]
    assert swept(rows) == ("alpha", "beta")
    series = grouped(rows, [], swept(rows), {"note.hit"})
    assert [(one.name, [spot.at for spot in one.tried]) for one in series] == [
        ("text …", [0.4, 0.9]),
        ("vision … and text …", [0.04, 0.4, 0.9]),
    ]


def test_trade_off_only_where_there_are_two_rows(run):
    [found] = trade_offs(run)
    assert found.metric == "note.hit"
    against = "up is more of the target, right is truer to the prompt; numbers are strength"
    assert captions(found) == [
        "note.hit (filled) and adherence (open, dashed) over strength",
        f"The same rows against each other: {against}",
        "note.hit (filled) and adherence (open, dashed) over KL from the unsteered model (nats a token)",
    ]
    assert trade_offs(scored(run, rows=[], summaries=run.scores.summaries[:1])) == []


def test_unsteered_is_drawn_at_strength_zero(run):
    [found] = trade_offs(run)
    picture = ElementTree.fromstring(found.figures[0].picture)
    rings = [one for one in picture.iter("circle") if "grey" in one.get("class")]
    level = run.scores.summaries[0].metrics["note.hit"].unsteered.value
    assert {one.get("cx") for one in rings} == {"44"}
    assert [float(one.get("cy")) for one in rings] == pytest.approx([252 - 224 * level] * 2, abs=0.01)


def test_dose_is_an_axis(run):
    """The dots of the first family lie at the divergences that their rows state, on an axis from 0 to the largest."""
    [found] = trade_offs(run)
    picture = ElementTree.fromstring(found.figures[2].picture)
    dots = [one for one in picture.iter("circle") if one.get("class") == "dot c0"]
    doses = [row.kl for row in run.scores.summaries[:3]]
    start, stop = 44, 424  # pixels; a dot of the first of two families is 2.5 to the left
    places = [start - 2.5 + dose / (1.06 * max(doses)) * (stop - start) for dose in doses]
    assert [float(one.get("cx")) for one in dots] == pytest.approx(places, abs=0.01)


def test_unknown_dose_is_no_axis(run):
    rows = [row.model_copy(update={"kl": None}) for row in run.scores.summaries]
    [found] = trade_offs(scored(run, rows=[], summaries=rows))
    assert len(found.figures) == 2


def test_trade_off_without_adherence(run):
    rows = [row.model_copy(update={"metrics": {"note.hit": row.metrics["note.hit"]}}) for row in run.scores.summaries]
    [found] = trade_offs(scored(run, rows=[], summaries=rows))
    assert not any("against" in text for text in captions(found))


def test_schedules_are_those_that_vary(run):
    charts = schedule_charts(run.traces)
    assert [one.condition for one in charts] == ["C, linear(0s..4s)", "C, sine(4s)", "C to G"]
    assert "correlation 0.97" in charts[0].captions[0][1]
    assert charts[2].crossing == "Crossing: scheduled at 2.00 s, played at 2.13 s."
    assert not varies(run.traces["note C at 0.1"].attributes[0])


def test_crossing_is_marked_where_it_is(run):
    svg = ElementTree.fromstring(schedule_charts(run.traces)[2].chart)
    marks = {one.get("class"): one.find("title").text for one in svg.iter("path") if "crossing" in one.get("class", "")}
    assert marks == {"crossing dashed": "scheduled crossing at 2.00 s", "crossing": "played crossing at 2.13 s"}
