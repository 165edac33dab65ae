"""Counts and label spaces are those published for SynTheory; notes are written out by hand."""

from collections import Counter

import pytest

from mmsteer.data.midi import DRUM_CHANNEL
from mmsteer.data.syntheory import CATEGORIES, PROGRAMS, catalogue
from mmsteer.data.syntheory.metronome import METERS, click_step, parse_meter
from mmsteer.data.syntheory.tonal import PROGRESSIONS, place_chord_root, place_tonic, progression_chords
from mmsteer.errors import DataError

SIZES = {
    "notes": 9936,
    "intervals": 39744,
    "scales": 15456,
    "chords": 13248,
    "simple_progressions": 20976,
    "tempos": 4025,
    "time_signatures": 1200,
}
PER_CLASS = {
    ("notes", "root"): (12, 828),
    ("notes", "octave"): (9, 1104),
    ("notes", "register"): (3, 3312),
    ("intervals", "interval"): (12, 3312),
    ("intervals", "root"): (12, 3312),
    ("intervals", "style"): (3, 13248),
    ("scales", "mode"): (7, 2208),
    ("scales", "root"): (12, 1288),
    ("chords", "chord_type"): (4, 3312),
    ("chords", "inversion"): (3, 4416),
    ("chords", "root"): (12, 1104),
    ("simple_progressions", "progression"): (19, 1104),
    ("simple_progressions", "key"): (12, 1748),
    ("tempos", "bpm"): (161, 25),
    ("tempos", "click"): (5, 805),
    ("time_signatures", "time_signature"): (8, 150),
    ("time_signatures", "reverb"): (3, 400),
}


def chords_of(item):
    """Pitches by onset, in the order they are written."""
    onsets = sorted({note.start for note in item.track.notes})
    return [tuple(note.pitch for note in item.track.notes if note.start == onset) for onset in onsets]


def pick(category, **labels):
    return catalogue(category).where(**labels)[0]


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_sizes(name, size):
    assert len(catalogue(name)) == size


def test_seven_categories_and_92_programs():
    assert set(CATEGORIES) == set(SIZES)
    assert len(PROGRAMS) == 92
    assert not set(PROGRAMS) & {8, 9, 14, 21, 23, 47, 86, 22, 31, 55, 77, 78, *range(96, 104), *range(112, 128)}


@pytest.mark.parametrize(("key", "expected"), PER_CLASS.items(), ids=str)
def test_label_spaces_and_class_sizes(key, expected):
    name, label = key
    category = catalogue(name).category
    counts = Counter(category.labels(category.choice(row))[label] for row in range(len(category)))
    assert (len(counts), set(counts.values())) == (expected[0], {expected[1]})


def test_88_silent_notes():
    assert len(catalogue("notes").where(silent=1)) == 88


def test_tonics_lie_around_middle_c():
    assert [place_tonic(tonic) for tonic in range(12)] == [60, 61, 62, 63, 64, 65, 54, 55, 56, 57, 58, 59]


def test_augmented_roots_follow_their_minor_key():
    # Root F sharp: key of E flat minor, tonic 63, third degree 66. Root A: key of F sharp minor, 54, 57.
    assert [place_chord_root(root, "aug") for root in (0, 6, 7, 8, 9)] == [60, 66, 67, 68, 57]


def test_rows_stand_in_the_original_order():
    first, second = catalogue("notes")[:2]
    assert (first.labels["midi"], first.labels["program"], second.labels["program"]) == (0, 0, 1)
    assert catalogue("notes")[92].labels["midi"] == 1
    assert catalogue("chords")[92].labels["inversion"] == "6"
    assert catalogue("time_signatures")[10].labels["click"] == "woodblock_dark"


def test_note_is_struck_four_times_for_two_quarters():
    item = pick("notes", root="A", octave=5)  # octave 5 of the data starts at middle C, MIDI 60
    assert chords_of(item) == [(69,)] * 4
    assert {note.duration for note in item.track.notes} == {960}
    assert item.labels["register"] == 1


@pytest.mark.parametrize(
    ("style", "expected"),
    [("up", [(62,), (69,)] * 4), ("down", [(69,), (62,)] * 4), ("unison", [(62, 69)] * 8)],
)
def test_fifth_on_d(style, expected):
    item = pick("intervals", interval=7, root="D", style=style)
    assert chords_of(item) == expected
    assert {note.duration for note in item.track.notes} == {480}


def test_scale_on_g():
    rising = [55, 57, 58, 60, 62, 64, 65, 67]  # G dorian: G A Bb C D E F G
    up, down = (pick("scales", mode="dorian", root="G", style=style) for style in ("up", "down"))
    assert chords_of(up) == [(pitch,) for pitch in rising]
    assert chords_of(down) == [(pitch,) for pitch in reversed(rising)]


@pytest.mark.parametrize(
    ("chord_type", "steps"),
    [
        ("major", {"5": (4, 3), "6": (3, 5), "64": (5, 4)}),
        ("minor", {"5": (3, 4), "6": (4, 5), "64": (5, 3)}),
        ("aug", {"5": (4, 4), "6": (4, 4), "64": (4, 4)}),
        ("dim", {"5": (3, 3), "6": (3, 6), "64": (6, 3)}),
    ],
)
def test_inversions_have_the_right_steps(chord_type, steps):
    lowest = {"5": 60, "6": 60 + steps["5"][0], "64": 60 + sum(steps["5"])}
    for inversion, (first, second) in steps.items():
        chords = chords_of(pick("chords", chord_type=chord_type, inversion=inversion, root="C"))
        low = lowest[inversion]
        assert chords == [(low, low + first, low + first + second)] * 4


@pytest.mark.parametrize(
    ("key", "progression", "expected"),
    [
        (0, "ionian-1451", [(60, 64, 67), (65, 69, 60), (67, 71, 62), (60, 64, 67)]),
        (0, "ionian-4156", [(65, 69, 60), (60, 64, 67), (67, 71, 62), (69, 60, 64)]),
        (9, "aeolian-7671", [(67, 59, 62), (65, 57, 60), (67, 59, 62), (57, 60, 64)]),
    ],
)
def test_progressions_stay_in_one_octave(key, progression, expected):
    assert list(progression_chords(key, progression)) == expected


def test_progression_clip():
    item = pick("simple_progressions", progression="ionian-1451", key="C")
    assert chords_of(item)[1] == (65, 69, 60)
    assert {note.duration for note in item.track.notes} == {960}
    assert Counter(name.split("-")[0] for name in PROGRESSIONS) == {"ionian": 10, "aeolian": 9}


@pytest.mark.parametrize("name", ["notes", "intervals", "scales", "chords", "simple_progressions"])
def test_tonal_tracks_last_four_seconds(name):
    for item in catalogue(name)[:: len(catalogue(name)) // 20]:
        assert item.track.seconds(item.track.end) == 4.0
        assert (item.track.channel, item.track.bpm, item.start_s) == (2, 120, 0.0)
        assert {note.velocity for note in item.track.notes} == {64}


def test_click_steps():
    steps = {"2/2": 960, "2/4": 480, "3/4": 480, "3/8": 240, "4/4": 480, "6/8": 240, "9/8": 240, "12/8": 240}
    assert {meter: click_step(parse_meter(meter)) for meter in METERS} == steps


def test_waltz_clicks():
    item = pick("time_signatures", time_signature="3/4", click="taiko", reverb=2)
    notes = item.track.notes
    assert [(note.start, note.pitch, note.velocity) for note in notes[:4]] == [
        (0, 52, 100),
        (480, 48, 75),
        (960, 48, 75),
        (1440, 52, 100),
    ]
    assert (item.track.program, item.track.reverb, len(notes)) == (116, 127, 61)


def test_tempo_clicks():
    item = pick("tempos", bpm=90, click="drum_kit")
    assert (item.track.channel, item.track.bpm, len(item.track.notes)) == (DRUM_CHANNEL, 90, 31)
    assert [note.pitch for note in item.track.notes[:5]] == [37, 31, 31, 31, 37]


@pytest.mark.parametrize(("name", "track_s"), [("tempos", 20), ("time_signatures", 30)])
def test_crops_are_drawn_inside_the_track(name, track_s):
    items = list(catalogue(name))
    starts = [item.start_s for item in items]
    assert min(starts) >= 0
    assert max(starts) <= track_s - 4
    assert sum(starts) / len(starts) == pytest.approx((track_s - 4) / 2, rel=0.05)
    assert len(set(starts)) == len(starts)
    assert all(item.track.seconds(item.track.end) >= track_s for item in items[::50])


def test_items_are_values():
    assert catalogue("tempos")[17] == catalogue("tempos")[17]
    assert len({catalogue("tempos")[17], catalogue("tempos")[17], catalogue("tempos")[18]}) == 2
    assert catalogue("tempos")[-1].id == "tempos/04024"


def test_unknown_category_is_refused():
    with pytest.raises(DataError, match="time_signatures"):
        catalogue("rhythms")


def test_end_of_a_catalogue():
    with pytest.raises(IndexError):
        catalogue("notes")[9936]
    assert sum(1 for _ in catalogue("time_signatures")) == 1200
