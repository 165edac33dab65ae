"""What the studio makes, finds, reads and writes, without its page."""

import json
import threading

import pytest

from mmsteer.direction_file import save_directions
from mmsteer.errors import MmsteerError, StudioError
from mmsteer.recipes.checks import check_recipe
from mmsteer.studio.curves import schedule_of
from mmsteer.studio.outputs import side_by_side
from mmsteer.studio.recipe import save_recipe
from mmsteer.studio.workshop import Asked, Compared, Workshop
from tests.conftest import planted, saying

LINE = "word:cup 3 points(0steps:0, 6steps:1) on text.2-3"


def asked(*lines, length=12, temperature=1.5, prompt="say the cup"):
    return Asked(prompt, None, length, temperature, 7, lines)


@pytest.fixture
def workshop(talker_folder, tmp_path):
    made = Workshop(tmp_path, (str(talker_folder),))
    made.load(str(talker_folder))
    save_directions(tmp_path / "words.safetensors", [saying(made.model, "cup", "word:cup")])
    return made


def test_both_outputs_are_those_of_the_command_line(workshop, mmsteer, talker_folder, tmp_path):
    assert workshop.read("words.safetensors") == ("word:cup",)
    far = []
    made = workshop.compare(asked(LINE), lambda share, what: far.append((round(share, 2), what)))
    words = ["generate", "--model", talker_folder, "--prompt", "say the cup", "--tokens", 12, "--temperature", 1.5]
    words += ["--seed", 7]
    steered = ["--directions", tmp_path / "words.safetensors", "--steer", LINE]
    assert mmsteer(*words)[1].strip() == made.before
    assert mmsteer(*words, *steered)[1].startswith(f"steered:   {made.after}\n")
    assert made.before != made.after
    assert made.receipt.startswith(LINE)
    assert (far[0], far[12], far[-1]) == ((0.04, "unsteered"), (0.54, "steered"), (1.0, "steered"))


def test_work_is_stopped_between_two_tokens(workshop):
    workshop.read("words.safetensors")
    begun, errors = threading.Event(), []

    def work():
        with pytest.raises(StudioError, match="stopped"):
            workshop.compare(asked(LINE, length=240), lambda *_: begun.set())
        errors.append("stopped")

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(30)
    workshop.stop()
    thread.join(30)
    assert errors == ["stopped"]
    assert workshop.compare(asked(LINE), lambda *_: None).after


def test_directions_are_found_in_rows(workshop, tmp_path):
    rows = [
        {"prompt": "say the cup", "answer": f"the {word} is here {at}", "label": word, "group": str(at)}
        for at in range(8)
        for word in ("red", "blue")
    ]
    (tmp_path / "colour.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert workshop.find("colour.jsonl", "mean-difference") == ("colour:blue", "colour:red")
    assert workshop.compare(asked("colour:red 0.5"), lambda *_: None).receipt.startswith("colour:red 0.5")


@pytest.mark.parametrize("name", ["../words.safetensors", "/etc/passwd", "", "  ", "nowhere"])
def test_no_file_outside_the_folder_is_read(workshop, tmp_path, name):
    with pytest.raises(StudioError, match="put it there, or start with --folder"):
        workshop.read(name)


@pytest.mark.parametrize("name", ["/etc", "user/model", "../other", "bundled:nothing", ""])
def test_no_model_is_loaded_but_those_of_the_command_line(workshop, monkeypatch, name):
    monkeypatch.setattr("mmsteer.studio.workshop.load", lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(StudioError, match="cannot be chosen here; start the studio with --model"):
        workshop.load(name)


def test_files_are_read_one_piece_of_work_at_a_time(workshop, monkeypatch):
    monkeypatch.setattr("mmsteer.studio.workshop.load_directions", lambda _: held.append(workshop._lock.locked()) or {})
    held = []
    workshop.read("words.safetensors")
    assert held == [True]


def test_a_recipe_that_cannot_be_run_leaves_no_files(workshop, tmp_path):
    workshop.read("words.safetensors")
    before = sorted(tmp_path.iterdir())
    for line in (LINE, "word:cup 3 window(400steps..500steps)"):
        with pytest.raises(MmsteerError):
            save_recipe(workshop, asked(line, length=0 if line == LINE else 12, prompt=""), "tried")
        assert sorted(tmp_path.iterdir()) == before


def test_a_link_out_of_the_folder_is_outside(workshop, tmp_path):
    (tmp_path / "link").symlink_to("/etc/hostname")
    with pytest.raises(StudioError, match="there is no 'link'"):
        workshop.read("link")


def test_directions_of_another_model_are_refused(workshop, musicgen, tmp_path):
    save_directions(tmp_path / "music.safetensors", [planted(musicgen, "note:C", [1])])
    with pytest.raises(MmsteerError, match="decoder"):
        workshop.read("music.safetensors")
    assert not workshop.directions


def test_a_recipe_of_what_was_tried_can_be_run(workshop, tmp_path, mmsteer):
    workshop.read("words.safetensors")
    path = save_recipe(workshop, asked(LINE), "tried")
    assert [one.name for one in check_recipe(path).conditions] == ["steered"]
    code, _, err = mmsteer("run", path, "--out", tmp_path / "run", "--quiet")
    assert code == 0, err
    with pytest.raises(StudioError, match=r"tried.yaml is in .* already"):
        save_recipe(workshop, asked(LINE), "tried")
    with pytest.raises(StudioError, match="is no name of a recipe"):
        save_recipe(workshop, asked(LINE), "../tried")


@pytest.mark.parametrize(
    ("drawn", "kind", "schedule"),
    [
        ("", "text", ""),
        ("[]", "audio", ""),
        ("[[2, 1], [0, 0.25]]", "audio", "points(0s:0.25, 2s:1)"),
        ("[[3, 0.5]]", "text", "points(3steps:0.5)"),
    ],
)
def test_a_drawn_curve_is_a_schedule(drawn, kind, schedule):
    assert schedule_of(drawn, kind) == schedule


@pytest.mark.parametrize(
    "drawn", ["{}", "[1]", '[["a", 1]]', "[[1]]", "[[-1, 1]]", "[[true, 1]]", str([[0, 1]] * 101), "["]
)
def test_other_curves_are_refused(drawn):
    with pytest.raises(StudioError):
        schedule_of(drawn, "text")


def test_changed_words_are_marked_and_escaped(workshop):
    page = side_by_side(workshop.model, Compared("the red <b>cup</b>", "the blue <b>cup</b>", ""))
    assert '<mark class="removed">red</mark>' in page
    assert '<mark class="added">blue</mark>' in page
    assert "<b>" not in page
    assert "&lt;b&gt;cup&lt;/b&gt;" in page


def test_nothing_to_steer_and_no_model_are_errors(workshop, tmp_path):
    with pytest.raises(StudioError, match="nothing is steered"):
        workshop.compare(asked(), lambda *_: None)
    with pytest.raises(StudioError, match="no model is loaded"):
        Workshop(tmp_path).read("words.safetensors")
