"""What the outputs of a run come from: computed once, in the steered model, and drawn beside them."""

import json
import os
from dataclasses import replace
from functools import partial

import pytest
from PIL import Image

from mmsteer.adapters import load
from mmsteer.api import parse_steering
from mmsteer.direction_file import load_directions
from mmsteer.errors import RecipeError, SteeringError
from mmsteer.likelihood import output_likelihood
from mmsteer.recipes.attributing import outputs
from mmsteer.recipes.attributing.outputs import ATTRIBUTIONS
from mmsteer.recipes.experiment import held_by_worker, prepare
from mmsteer.recipes.folder import SAMPLES
from mmsteer.recipes.run import run
from mmsteer.report import gallery, write_report
from mmsteer.report.run_data import read_run
from mmsteer.workers import opened
from tests.adapters.checkpoints import save
from tests.recipes.recipe import write_recipe as write_music
from tests.recipes.rows.recipe import write_recipe, write_rows
from tests.recipes.vision.recipe import write_recipe as write_vision
from tests.report.html import Page

GENERATE = "tokens: 8, temperature: 1.0"
TOKENS = "{units: tokens, technique: gradient, samples: 2}"


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return save("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    return save("llava", tmp_path_factory.mktemp("llava"))


def attributed(path, how):
    path.write_text(f"{path.read_text().strip()}\nattribution: {how}\n")
    return path


def stretched(file):
    """The image made twice as wide."""
    with Image.open(file) as image:
        image.resize((2 * image.width, image.height)).save(file)


def texts(place, llama, how=TOKENS, **replaced):
    write_rows(place)
    score = "{cups: 'contains:cup', length: length}"
    return attributed(write_recipe(place, llama, score=score, **replaced), how)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, llama):
    place = tmp_path_factory.mktemp("texts")
    return run(prepare(texts(place, llama)), place / "run", progress=False)


def said(folder):
    return {(line["condition"], line["example"]): line for line in folder.lines(SAMPLES)}


def test_the_number_is_of_the_model_that_made_the_output(finished, llama):
    """By hand: how likely each output is in the model that it is of, steered as the plan says."""
    found, adapter = finished.read(ATTRIBUTIONS), load(llama)
    steered = next(one for one in finished.read("conditions.json") if one["kind"] == "steered")
    (name,) = (one for one in found if one != "unsteered")
    assert name == steered["name"]
    directions = load_directions(finished.path / "directions.safetensors")
    for condition, lines in (("unsteered", []), (name, steered["steering"])):
        steering = parse_steering(";".join(lines), directions)
        spoken = [at for (one, at), line in said(finished).items() if one == name and line["text"]]
        assert list(map(int, found[condition])) == [at for at in spoken[:2] if said(finished)[condition, at]["text"]]
        for at, one in found[condition].items():
            line = said(finished)[condition, int(at)]
            row = prepare(finished.path.parent / "tiny.yaml").task.items[int(at)].row
            sample = replace(row.sample(adapter), output=line["text"])
            whole = float(output_likelihood(adapter, [sample], steering)[0, 0])
            assert one["whole"] == pytest.approx(whole, abs=1e-3)
            plain = float(output_likelihood(adapter, [sample])[0, 0])
            assert (one["whole"] == pytest.approx(plain, abs=1e-3)) == (condition == "unsteered")
            assert len(one["names"]) == len(one["values"]) > 1


def test_what_is_attributed_is_not_attributed_again(finished, llama, tmp_path, monkeypatch):
    done, attribute = [], outputs.attribute

    def twice(*given):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(given)
        return attribute(*given)

    experiment = prepare(texts(tmp_path, llama))
    monkeypatch.setattr(outputs, "attribute", twice)
    with pytest.raises(KeyboardInterrupt):
        run(experiment, tmp_path / "run", progress=False)
    monkeypatch.setattr(outputs, "attribute", lambda *given: done.append(given) or attribute(*given))
    folder = run(experiment, tmp_path / "run", progress=False)
    assert len(done) == 4
    assert (folder.path / ATTRIBUTIONS).read_bytes() == (finished.path / ATTRIBUTIONS).read_bytes()


def test_workers_attribute_the_same(finished, tmp_path):
    recipe = str(finished.path.parent / "tiny.yaml")
    experiment = prepare(recipe, (), "cpu")
    with opened("2", partial(held_by_worker, recipe, (), os.getcwd(), experiment.id)) as workers:
        made = run(experiment, tmp_path / "run", workers=workers, progress=False)
    assert (made.path / ATTRIBUTIONS).read_bytes() == (finished.path / ATTRIBUTIONS).read_bytes()


def test_tokens_are_marked_under_the_outputs_that_they_are_of(finished):
    page = Page(write_report(finished.path).read_text())
    found = finished.read(ATTRIBUTIONS)
    shown = [one for one in page.all("span") if (one.get("class") or "") in ("more", "less")]
    assert len(shown) == sum(len(one["names"]) for some in found.values() for one in some.values())
    assert {one["title"] for one in shown} == {
        f"{value:+.3f}" for some in found.values() for one in some.values() for value in one["values"]
    }
    assert page.words.count("what it comes from: tokens by gradient; log-probability") == 4
    assert "Blue raises the number, red lowers it" in page.words


def test_attributed_rows_are_drawn_behind_those_that_are_listed(finished, monkeypatch):
    monkeypatch.setattr(gallery, "LISTED", 0)
    found = read_run(finished.path)
    for one in gallery.galleries(found):
        (shelf,) = one.shelves
        sources = [said.source for card in shelf.shown + shelf.folded for said in card.shown if said.source]
        assert len(sources) == 2 * len(found.attributions[one.name]) > 0


def test_only_outputs_with_the_words_are_attributed(finished, llama, tmp_path):
    word = next(line["text"] for line in said(finished).values() if line["text"]).split()[0]
    folder = run(prepare(texts(tmp_path, llama, f"{TOKENS[:-1]}, words: {word}}}")), tmp_path / "run", progress=False)
    found = folder.read(ATTRIBUTIONS)
    asked = [(condition, int(at)) for condition, some in found.items() for at in some]
    lines = said(folder)
    assert asked
    assert all(word in lines[one]["text"] for one in asked)
    assert f"what “{word}” comes from" in Page(write_report(folder.path).read_text()).words


def test_sizes_have_no_sign_and_do_not_add_up(llama, tmp_path):
    how = "{units: tokens, technique: saliency, samples: 1}"
    folder = run(prepare(texts(tmp_path, llama, how)), tmp_path / "run", progress=False)
    words = Page(write_report(folder.path).read_text()).words
    assert "The darker, the larger" in words
    assert "tokens by saliency; log-probability" in words
    assert "Blue raises" not in words
    assert "unexplained" not in words


def test_an_output_without_such_units_says_why(llama, tmp_path):
    how = "{units: tokens, technique: gradient, at: image}"
    folder = run(prepare(texts(tmp_path, llama, how)), tmp_path / "run", progress=False)
    assert all(
        "select no token" in one["refused"] for some in folder.read(ATTRIBUTIONS).values() for one in some.values()
    )
    assert "select no token of this sample" in Page(write_report(folder.path).read_text()).words


@pytest.mark.parametrize("window", ["window(0%..50%)", "window(2steps..6steps)"])
def test_schedules_of_text_are_those_of_the_run(llama, tmp_path, window):
    """In percent, and longer than an output that ended early: doses, options, pushes of words and attributions."""
    write_rows(tmp_path)
    replaced = {'yes {strength}"': f'yes {{strength}} {window}"', "generate": GENERATE}
    recipe = attributed(write_recipe(tmp_path, llama, **replaced), TOKENS)
    folder = run(prepare(recipe), tmp_path / "run", progress=False)
    found, traces = folder.read(ATTRIBUTIONS), folder.read("traces.json")
    assert all("whole" in one for some in found.values() for one in some.values())
    assert any(one["words"] for one in traces.values())


def test_an_output_that_cannot_be_attributed_ends_no_run(llama, tmp_path, monkeypatch):
    def fails(*given):
        raise SteeringError("not today")

    monkeypatch.setattr(outputs, "attribute", fails)
    folder = run(prepare(texts(tmp_path, llama)), tmp_path / "run", progress=False)
    found = folder.read(ATTRIBUTIONS)
    assert {one["refused"] for some in found.values() for one in some.values()} == {"not today"}
    assert "not today" in Page(write_report(folder.path).read_text()).words


def test_components_and_vectors(llama, tmp_path):
    for units in ("components, sites: text.*.mlp", "vectors"):
        how = f"{{units: {units}, technique: exact-shapley, samples: 1}}"
        place = tmp_path / units[:7]
        place.mkdir()
        folder = run(prepare(texts(place, llama, how)), place / "run", progress=False)
        found = folder.read(ATTRIBUTIONS)
        assert ("unsteered" in found) == (units != "vectors")
        (one,) = found[max(found, key=lambda name: name != "unsteered")].values()
        assert sum(one["values"]) == pytest.approx(one["whole"] - one["nothing"], abs=1e-3)
        assert one["names"][0] in Page(write_report(folder.path).read_text()).words.replace("‘", "'")


def test_patches_lie_over_the_image(llava, tmp_path):
    how = "{units: patches, technique: gradient, samples: 1, mentions: right}"
    recipe = attributed(write_vision(tmp_path, llava), how)
    folder = run(prepare(recipe), tmp_path / "run", progress=False)
    found, lines = folder.read(ATTRIBUTIONS), said(folder)
    assert found
    for condition, some in found.items():
        for at, one in some.items():
            mentions = lines[condition, int(at)]["mentions"]
            first = next(one for one in mentions if not one["hallucinated"])
            assert one["words"] == lines[condition, int(at)]["caption"][first["start"] : first["stop"]]
            assert len(one["values"]) == 4
    page = Page(write_report(folder.path).read_text())
    assert {one["href"] for one in page.all("image")} <= {one["src"] for one in page.all("img")}
    assert len([one for one in page.all("rect") if one.get("class") in ("more", "less")]) >= 4
    with Image.open(folder.path / "images" / "00000-0.png") as image:
        assert image.width == image.height


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda file: file.unlink(), "the image file is missing"),
        (lambda file: file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n"), "cannot read the image"),
        (stretched, "the image is not square"),
    ],
)
def test_where_no_map_can_be_drawn_the_report_says_why(llava, tmp_path, damage, why):
    how = "{units: patches, technique: gradient, samples: 1}"
    folder = run(prepare(attributed(write_vision(tmp_path, llava), how)), tmp_path / "run", progress=False)
    for file in (folder.path / "images").iterdir():
        damage(file)
    page = Page(write_report(folder.path).read_text())
    assert f"no heat map: {why}" in page.words
    assert "<image>" not in page.words
    assert not page.all("image")


def test_components_of_a_model_that_sees_are_a_grid(llava, tmp_path):
    how = "{units: components, sites: text.*.mlp, technique: gradient, samples: 1}"
    folder = run(prepare(attributed(write_vision(tmp_path, llava), how)), tmp_path / "run", progress=False)
    page = Page(write_report(folder.path).read_text())
    assert not page.all("image")
    assert [one for one in page.all("svg") if "components" in (one.get("class") or "")]


def test_frames_lie_over_the_spectrogram(musicgen_folder, tmp_path):
    recipe = attributed(write_music(tmp_path, musicgen_folder), "{units: frames, technique: gradient, samples: 1}")
    folder = run(prepare(recipe), tmp_path / "run", progress=False)
    found = folder.read(ATTRIBUTIONS)
    assert list(found) == ["unsteered", "C at 0.5", "F# at 0.5"]
    page = Page(write_report(folder.path).read_text())
    assert len(page.all("image")) == 4  # the unsteered clip stands beside each condition
    assert all(one["href"].startswith("data:image/png;base64,") for one in page.all("image"))
    assert "Largest: 0." in page.words


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("{units: frames}", "units: frames are of clips, which kind: music alone makes; take tokens"),
        ("{units: patches}", "units: patches are of images, which kind: image alone sees; take tokens"),
        ("{units: tokens, technique: magic}", "attribution.technique: Input should be 'occlusion'"),
        ("{units: tokens, technique: influence}", "attribution.technique: Input should be 'occlusion'"),
        ("{units: tokens, technique: exact-shapley}", "technique: all subsets of units that are as many as a sample"),
        ("{units: tokens, mentions: right}", "mentions: objects are named in captions alone"),
        ("{units: tokens, mentions: right, words: dog}", "words or of mentions; give one of the two"),
        ("{units: tokens, at: nowhere}", r"attribution\.at: "),
        ("{units: tokens, sites: text.*.mlp}", "components need them, and other units have none"),
        ("{units: components}", "components need them"),
        ("{units: components, sites: text.1}", "attribution: text.1 is the residual stream"),
        (
            "{units: vectors, technique: saliency}",
            "technique: saliency is the gradient in a state, and a feature or a vector is",
        ),
        ("{units: vectors, at: all}", "leave out baseline and at"),
        ("{units: tokens, samples: 9}", "less than or equal to 4"),
    ],
)
def test_what_cannot_be_attributed_is_refused_before_any_compute(llama, tmp_path, how, message):
    with pytest.raises(RecipeError, match=message) as caught:
        prepare(texts(tmp_path, llama, how))
    assert len(str(caught.value).splitlines()) == 1


def test_steering_that_is_no_plain_addition_has_no_vectors(llama, tmp_path):
    with pytest.raises(RecipeError, match=r"attribution: said:yes .* attributed are additions"):
        prepare(texts(tmp_path, llama, "{units: vectors}", **{"{strength}": "{strength}token"}))


@pytest.mark.parametrize(
    ("how", "message"), [("tokens", "take frames"), ("frames, words: dog", "a clip has no words; leave them out")]
)
def test_clips_have_no_words(musicgen_folder, tmp_path, how, message):
    with pytest.raises(RecipeError, match=message):
        prepare(attributed(write_music(tmp_path, musicgen_folder), f"{{units: {how}}}"))


def test_answers_and_decoding_are_not_attributed(llava, tmp_path):
    path = write_vision(tmp_path, llava)
    captions = next(line for line in path.read_text().splitlines() if "caption:" in line)
    bare = attributed(write_vision(tmp_path, llava, **{f"{captions}\n": ""}), "{units: patches}")
    with pytest.raises(RecipeError, match="answers to questions are not; ask for captions"):
        prepare(bare)
    decode = {'steer: ["honest:yes {strength} at all - first"]': 'decode: {verify: {least: "{strength}"}}'}
    with pytest.raises(RecipeError, match="no condition steers all images alike"):
        prepare(attributed(write_vision(tmp_path, llava, **decode), "{units: patches}"))


def test_captum_is_asked_for_before_any_compute(llama, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "captum", None)
    with pytest.raises(RecipeError, match="pip install 'mmsteer\\[attribution\\]'"):
        prepare(texts(tmp_path, llama))
    assert prepare(texts(tmp_path, llama, "{units: tokens, technique: lime}"))


def test_a_damaged_file_is_named(finished, tmp_path):
    before = (finished.path / ATTRIBUTIONS).read_bytes()
    try:
        for broken, message in (({"values": []}, "units and values are not as many"), ({"technique": "x"}, "'x'")):
            found = finished.read(ATTRIBUTIONS)
            next(iter(found["unsteered"].values())).update(broken)
            (finished.path / ATTRIBUTIONS).write_text(json.dumps(found))
            with pytest.raises(RecipeError, match=message):
                read_run(finished.path)
    finally:
        (finished.path / ATTRIBUTIONS).write_bytes(before)
