from mmsteer.report.headline import headline
from mmsteer.report.parts import Metric, Row, Scores
from mmsteer.report.run_data import read_run
from mmsteer.report.verdict import verdicts


def interval(value, low, high) -> dict:
    return {"value": value, "low": low, "high": high, "n": 24, "unscored": 0}


def hit(steered, difference, random=(0.05, 0.0, 0.1), unsteered=(0.04, 0.0, 0.1)) -> dict:
    return {
        "steered": interval(*steered),
        "unsteered": unsteered and interval(*unsteered),
        "difference": difference and interval(*difference),
        "random": random and interval(*random),
        "random_difference": None,
        "chance": 1 / 12,
    }


def row(name="C", **metrics) -> Row:
    found = {key.replace("_", "."): Metric(**value) for key, value in metrics.items()}
    return Row(condition=name, conditions=[name], values={}, kl=0.1, ratio=0.05, metrics=found)


def verdict(folder, *rows):
    run = read_run(folder)
    scores = Scores(rows=list(rows), summaries=[])
    return verdicts(type(run)(**(vars(run) | {"scores": scores, "traces": {}})))[0]


STRONG = hit((0.97, 0.94, 0.99), (0.93, 0.9, 0.96))


def test_reached(made):
    found = verdict(made, row(note_hit=STRONG, adherence=hit((0.9, 0.8, 1.0), (-0.01, -0.03, 0.01))))
    assert found.claim == "Steering reaches its target more often than every control"
    assert found.numbers == (
        "note.hit 0.04 → 0.97 [0.94, 0.99] (random direction 0.05, chance 0.08); adherence −0.01 [−0.03, 0.01]"
    )
    assert found.source == "C, 24 clips"


def test_a_gain_that_a_random_direction_may_have_too_is_said_with_its_numbers(made):
    def claim(steered, random):
        return verdict(made, row(note_hit=hit(steered, (0.2, 0.1, 0.3), random=random))).claim

    assert claim((0.3, 0.2, 0.4), (0.3, 0.2, 0.4)) == (
        "Steering moves towards its target, but a random direction does as much (0.30 against 0.30, n = 24 and 24)"
    )
    assert claim((1.0, 0.3, 1.0), (0.0, 0.0, 0.7)) == (
        "Steering moves towards its target, but the difference from a random direction may be luck "
        "(1.00 against 0.00, n = 24 and 24)"
    )
    assert claim((0.3, 0.08, 0.4), (0.0, 0.0, 0.05)) == (
        "Steering moves towards its target, but 24 clips do not show that it is above chance (0.08)"
    )


def test_no_effect(made):
    assert verdict(made, row(note_hit=hit((0.1, 0.0, 0.2), (0.0, -0.1, 0.1)))).claim == "No effect is shown"


def test_one_of_two_targets(made):
    weak = hit((0.1, 0.0, 0.2), (0.0, -0.1, 0.1))
    assert verdict(made, row(note_hit=STRONG, tempo_hit=weak)).claim == "Not every target is reached more often"


def test_without_controls(made):
    found = verdict(made, row(note_hit=hit((0.97, 0.94, 0.99), None, random=None, unsteered=None)))
    assert found.claim == "Nothing unsteered stands beside this"
    assert found.numbers == "note.hit 0.97 [0.94, 0.99] (chance 0.08)"


def test_the_choice_is_said(made):
    weak = hit((0.1, 0.0, 0.2), (0.0, -0.1, 0.1))
    found = verdict(made, row("low", note_hit=weak), row("high", note_hit=STRONG))
    assert found.source == "high, 24 clips, the highest of 2 rows: it was chosen after the fact"


def test_most_targets_first():
    both = row("both", note_hit=hit((0.5, 0.4, 0.6), None), tempo_hit=hit((0.5, 0.4, 0.6), None))
    chosen, among = headline(Scores(rows=[row("one", note_hit=STRONG), both], summaries=[]))
    assert (chosen.condition, among) == ("both", 1)


def test_schedules_and_crossings(made):
    assert [one.claim for one in verdicts(read_run(made))][1:] == ["Schedule and played note", "Cross-fades"]
    assert verdicts(read_run(made))[2].numbers == "largest distance from the scheduled crossing 0.13 s"
