"""`mmsteer attribute` and its page."""

import re

import pytest
from PIL import Image

from mmsteer.direction_file import save_directions
from mmsteer.report.attribution_pictures import grid_of
from tests.adapters.checkpoints import save
from tests.conftest import saying
from tests.steering.seeing import picture


@pytest.fixture
def run(mmsteer, talker_folder, tmp_path):
    def run(*words):
        code, out, err = mmsteer("attribute", "--model", talker_folder, "--prompt", "red blue", *words)
        return code, out, err

    return run


def test_tokens_become_marked_text(run, tmp_path):
    code, out, err = run("--output", "cup red", "--words", "cup", "--out", tmp_path / "p.html")
    assert code == 0, err
    assert "'red'" in out
    page = (tmp_path / "p.html").read_text()
    assert len(re.findall(r'<span class="(?:more|less)"', page)) == 5
    assert "Log-probability of &#39;cup&#39; in the output" in page
    values = [abs(float(one)) for one in re.findall(r'title="([-+.\d]+)"', page)]
    shades = [float(one) for one in re.findall(r"--by: ([.\d]+)", page)]
    assert max(shades) == 0.8 == shades[values.index(max(values))]


def test_components_become_a_grid(run, tmp_path):
    words = ("--units", "components", "--sites", "text.*.mlp, text.*.attention", "--technique", "occlusion")
    code, _, err = run(*words, "--tokens", 3, "--out", tmp_path / "p.html")
    assert code == 0, err
    assert (tmp_path / "p.html").read_text().count("<rect") == 8


def test_patches_become_a_heat_map(mmsteer, tmp_path):
    llava_folder = save("llava", tmp_path)
    picture().save(tmp_path / "a.png")
    words = ("--prompt", "describe", "--image", tmp_path / "a.png", "--units", "patches", "--output", "red")
    code, out, err = mmsteer("attribute", "--model", llava_folder, *words, "--out", tmp_path / "p.html")
    assert code == 0, err
    assert set(re.findall(r"row \d+, column \d+", out)) == {f"row {r}, column {c}" for r in (1, 2) for c in (1, 2)}
    page = (tmp_path / "p.html").read_text()
    assert page.count("<rect") == 4
    assert "data:image/png;base64," in page


def test_an_image_that_is_not_square_has_no_heat_map(mmsteer, tmp_path):
    picture().resize((64, 32)).save(tmp_path / "a.png")
    words = ("--prompt", "describe", "--image", tmp_path / "a.png", "--units", "patches", "--output", "red")
    code, out, err = mmsteer("attribute", "--model", save("llava", tmp_path), *words, "--out", tmp_path / "p.html")
    assert code == 0, err
    assert sorted(re.findall(r"patch \d+", out)) == [f"patch {at}" for at in range(1, 5)]
    page = (tmp_path / "p.html").read_text()
    assert "no heat map: the image is not square" in page
    assert not re.findall(r'<span class="(?:more|less)"', page)


def test_frames_become_a_shaded_spectrogram(mmsteer, musicgen_folder, tmp_path):
    words = ("--prompt", "tune", "--seconds", 0.4, "--units", "frames", "--technique", "gradient", "--seed", 1)
    code, _, err = mmsteer("attribute", "--model", musicgen_folder, *words, "--out", tmp_path / "p.html")
    assert code == 0, err
    page = (tmp_path / "p.html").read_text()
    drawn = re.findall(r'<rect x="([\d.]+)" y="0" width="([\d.]+)".*?<title>([\d.]+) s: ([-+\d.]+)</title>', page)
    places, widths, starts = ([float(one[at]) for one in drawn] for at in range(3))
    assert len(drawn) > 3
    assert starts[0] == 0.0
    assert places == pytest.approx([start * widths[0] / starts[1] for start in starts], abs=0.1)
    assert "data:image/png;base64," in page
    assert "data:audio/flac;base64," in page


def test_another_sample_is_a_baseline(run):
    words = ("--output", "cup red", "--baseline", "resample", "--other")
    same = run(*words, "red blue")
    differs = run(*words, "red sky")
    assert same[0] == differs[0] == 0, differs[2]
    ends = [re.search(r"with all ([-\d.]+), with none ([-\d.]+)", out).groups() for _, out, _ in (same, differs)]
    assert ends[0][0] == ends[0][1]
    assert ends[1][0] != ends[1][1]


def test_vectors_are_listed(run, talker, tmp_path):
    save_directions(tmp_path / "d.safetensors", [saying(talker, "cup", "word:cup")])
    words = ("--units", "vectors", "--directions", tmp_path / "d.safetensors", "--steer", "word:cup 3 on text.3")
    code, out, err = run(*words, "--output", "cup", "--technique", "exact-shapley")
    assert code == 0, err
    assert "word:cup 3" in out


def test_a_steered_output_is_generated_and_explained(run, talker, tmp_path):
    save_directions(tmp_path / "d.safetensors", [saying(talker, "cup", "word:cup")])
    plain, steered = (
        run("--tokens", 3, "--technique", "gradient", *more, "--out", tmp_path / f"{at}.html")
        for at, more in enumerate(
            [(), ("--directions", tmp_path / "d.safetensors", "--steer", "word:cup 30 on text.3")]
        )
    )
    assert plain[0] == steered[0] == 0, steered[2]
    assert "output: cup cup cup" in steered[1]
    assert "output: cup cup cup" not in plain[1]
    assert float(re.search(r"with all ([-\d.]+)", steered[1])[1]) > -0.5  # as likely as the vector makes it
    assert "Steered: word:cup 30 constant(1) on text.3." in (tmp_path / "1.html").read_text()
    assert "Steered" not in (tmp_path / "0.html").read_text()


def test_a_schedule_in_percent_is_of_the_tokens_that_are_allowed(run, talker, tmp_path):
    save_directions(tmp_path / "d.safetensors", [saying(talker, "cup", "word:cup")])
    half = ("--directions", tmp_path / "d.safetensors", "--steer", "word:cup 30 window(0%..50%) on text.3")
    code, out, err = run("--tokens", 6, "--technique", "gradient", *half)
    assert code == 0, err
    assert "output: cup cup cup" in out
    assert "cup cup cup cup" not in out


def test_saliency_of_directions_is_refused_before_a_model_is_loaded(mmsteer, tmp_path):
    given = ("--model", tmp_path / "nowhere", "--prompt", "red", "--technique", "saliency")
    for units in (("features", "--dictionary", "bundled:text"), ("vectors", "--steer", "a 1")):
        code, _, err = mmsteer("attribute", *given, "--units", *units)
        assert code == 2
        assert "saliency is the gradient in a state" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--units", "components"), "need --sites"),
        (("--sites", "text.*.mlp"), "--sites is for components"),
        (("--units", "patches"), "need --image"),
        (("--output", "cup", "--words", "zebra"), "has no 'zebra'"),
        (("--technique", "magic"), "'magic'"),
        (("--units", "vectors"), "need --steer"),
        (("--steer", "a 1"), "needs --directions"),
        (("--directions", "d.safetensors"), "--directions is what --steer names"),
        (
            (
                "--units",
                "components",
                "--sites",
                "text.*.mlp",
                "--baseline",
                "resample",
                "--other",
                "x",
                "--steer",
                "a 1",
            ),
            "leave out --steer",
        ),
        (("--units", "features", "--dictionary", "bundled:text"), "--feature"),
        (("--feature", 3), "--feature is for features"),
        (("--units", "vectors", "--steer", "a 1", "--baseline", "zero"), "--baseline is for tokens"),
        (("--units", "vectors", "--steer", "a 1", "--baseline", "resample", "--other", "red"), "--baseline is for"),
        (("--baseline", "resample"), "needs another sample: give --other"),
        (("--other", "red"), "--other is for --baseline resample"),
        (("--units", "frames", "--output", "cup"), "no duration"),
    ],
)
def test_what_cannot_work_is_refused(run, words, message):
    code, _, err = run(*words)
    assert code == 2
    assert message in err


def test_the_grid_of_an_image_has_its_shape():
    wide = Image.new("RGB", (64, 32))
    assert grid_of(32, wide.width / wide.height) == (4, 8)
