"""What the two sides of each contrast share, and in what they differ."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from mmsteer.data.contrasts import (
    Contrast,
    Demo,
    captions,
    image_samples,
    language_prior,
    masked,
    no_image,
    read_demos,
    wrong_image,
)
from mmsteer.data.contrasts.endings import end_alike
from mmsteer.errors import DataError
from mmsteer.probes import VTI, MeanDifference
from mmsteer.types import Sample
from mmsteer.worlds.scenes import CAPTION_PROMPT, render_scene, split_scenes
from mmsteer.worlds.scenes.contrasts import DECISIONS, answers, counterfactual, mentions, scene_demos

SCENES = split_scenes("demos", 24, 0)
BUILDERS = {
    "captions": lambda: captions(scene_demos(SCENES, 0)),
    "mean": lambda: captions(scene_demos(SCENES, 0), read="mean"),
    "written": lambda: captions(scene_demos(SCENES, 0, matched=False), ending="written"),
    "go on": lambda: counterfactual(SCENES, 0),
    "object": lambda: counterfactual(SCENES, 0, decision="object"),
    "answer": lambda: counterfactual(SCENES, 0, decision="answer"),
    "mentions": lambda: mentions(SCENES, 0),
    "answers": lambda: answers(SCENES, 0),
    "no image": lambda: no_image(image_samples(scene_demos(SCENES, 0))),
}


def pixels(sample):
    return np.asarray(sample.images[0], dtype=np.int64)


def pairs_of(contrast):
    """Samples of label 1 and 0, group by group."""
    rows = list(zip(contrast.groups, contrast.labels, contrast.samples, strict=True))
    assert [label for _, label, _ in rows] == [1, 0] * (len(rows) // 2)
    return [(yes[2], no[2]) for yes, no in zip(rows[::2], rows[1::2], strict=True) if yes[0] == no[0]]


@pytest.mark.parametrize("name", BUILDERS)
def test_every_contrast_is_paired_and_drawn_from_its_seed(name):
    one, two = BUILDERS[name](), BUILDERS[name]()
    assert len(pairs_of(one)) == 24
    for left, right in zip(one.samples, two.samples, strict=True):
        assert (left.id, left.text, left.output) == (right.id, right.text, right.output)
        for seen, again in zip(left.images, right.images, strict=True):
            assert np.array_equal(np.asarray(seen), np.asarray(again))
    assert (one.pool, str(one.positions)) == (("mean", "generated") if name == "mean" else ("last", "all"))


def test_captions_of_one_image_end_alike_and_are_as_long():
    gaps = []
    for careful, loose in pairs_of(BUILDERS["captions"]()):
        assert careful.images[0] is loose.images[0]
        assert careful.text == loose.text == CAPTION_PROMPT
        assert careful.output.split(". ")[-1] == loose.output.split(". ")[-1]
        assert careful.output != loose.output
        gaps.append(len(careful.output.split()) - len(loose.output.split()))
    assert abs(np.mean(gaps)) < 0.5
    written = [len(no.output.split()) - len(yes.output.split()) for yes, no in pairs_of(BUILDERS["written"]())]
    assert np.mean(written) > 5  # as written, who hallucinates says more


@pytest.mark.parametrize(
    ("careful", "loose", "wanted"),
    [
        # A sentence that both have goes last, wherever it stood.
        ("A. B b. C c. D d.", "A. B b. X x. D e.", ("A. C c. D d. B b.", "A. X x. D e. B b.")),
        # None in common: the careful one's last.
        ("A. B b. C c.", "A. X x. Y y.", ("A. B b. C c.", "A. X x. C c.")),
        # The longer one loses sentences while that brings the two closer.
        ("A. B b. Z z.", "A. X x. Y y y y. W w w. Z z.", ("A. B b. Z z.", "A. X x. Z z.")),
        ("A. B b. Z z.", "A. X x x. Z z.", ("A. B b. Z z.", "A. X x x. Z z.")),
    ],
)
def test_how_two_captions_come_to_end_alike(careful, loose, wanted):
    assert end_alike(careful, loose) == wanted


@pytest.mark.parametrize(("careful", "loose"), [("A cup.", "A dog."), ("A. B b. C c.", "A. B b. X x.")])
def test_captions_that_cannot_end_alike(careful, loose):
    demo = Demo("7", Image.new("RGB", (8, 8)), "What?", careful, loose)
    if careful == "A cup.":
        with pytest.raises(DataError, match=r"demo 7: .* do not differ before a shared last sentence"):
            captions([demo])
    else:
        assert captions([demo]).samples[0].output == "A. C c. B b."


@pytest.mark.parametrize("decision", DECISIONS)
def test_counterfactual_images_differ_in_one_object_and_the_words_in_nothing(decision):
    for without, with_it in pairs_of(BUILDERS[decision]()):
        assert (without.text, without.output) == (with_it.text, with_it.output)
        changed = (pixels(without) != pixels(with_it)).any(axis=2)
        assert 0 < changed.mean() < 0.6
        if decision == "answer":
            assert without.output is None
            assert without.text.startswith("Is there a")
        if decision == "go on":
            assert without.output.endswith(".")
        if decision == "object":
            assert without.output.split()[-1].lower() in ("a", "an")


def test_counterfactual_sides_are_the_scene_without_and_with():
    for scene, (without, _) in zip(SCENES, pairs_of(BUILDERS["go on"]()), strict=True):
        assert np.array_equal(pixels(without), np.asarray(render_scene(scene)))


def test_mentions_end_with_what_is_there_and_what_is_not():
    for scene, (grounded, hallucinated) in zip(SCENES, pairs_of(BUILDERS["mentions"]()), strict=True):
        assert any(grounded.output.endswith(name) for name in scene.objects)
        assert not any(hallucinated.output.endswith(f" {name}") for name in scene.objects)
        assert grounded.output.count(".") == hallucinated.output.count(".")


def test_answers_about_what_is_absent_and_balanced():
    assert [(yes.output, no.output) for yes, no in pairs_of(BUILDERS["answers"]())] == [("No", "Yes")] * 24
    both = [(yes.output, no.output) for yes, no in pairs_of(answers(SCENES, 0, balanced=True))]
    assert both == [("No", "Yes"), ("Yes", "No")] * 12


def test_no_image_is_the_same_prompt_blind():
    samples = [
        Sample("a", "What?", (Image.new("RGB", (8, 8)),), "A cup."),
        Sample("b", "What?", (Image.new("RGB", (8, 8)),)),
    ]
    for seeing, blind in pairs_of(no_image(samples)):
        assert (seeing.text, seeing.output) == (blind.text, blind.output)
        assert seeing.images
        assert not blind.images
    with pytest.raises(DataError, match="c: expected one PIL image, got none"):
        no_image([Sample("c", "What?")])


def test_the_language_prior_is_blind():
    for loose, refusal in pairs_of(language_prior(scene_demos(SCENES[:3], 0), "I see nothing.")):
        assert loose.images == refusal.images == ()
        assert refusal.output == "I see nothing."


def test_masked_copies_hide_whole_patches():
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    contrast = masked([Sample("a", "What?", (Image.fromarray(noise),))], 0, side=32, patch=8, copies=3, ratio=0.9)
    assert contrast.labels == (0, 1, 1, 1)
    assert (contrast.pool, str(contrast.positions)) == ("tokens", "all")
    whole, *copies = (np.asarray(sample.images[0]) for sample in contrast.samples)
    assert whole.shape == (32, 32, 3)
    mean = whole.reshape(-1, 3).mean(axis=0).round()
    masks = []
    for copy in copies:
        patches = (copy == mean).all(axis=2).reshape(4, 8, 4, 8).all(axis=(1, 3))
        kept = np.repeat(np.repeat(~patches, 8, axis=0), 8, axis=1)
        assert patches.sum() == 14  # int(.9 * 16)
        assert np.array_equal(copy[kept], whole[kept])
        masks.append(patches.tobytes())
    assert len(set(masks)) > 1


@pytest.mark.parametrize("change", [{"patch": 0}, {"patch": 64}, {"copies": 0}, {"ratio": 1.0}, {"ratio": 0.01}])
def test_numbers_that_make_no_mask(change):
    options = {"side": 32, "patch": 8, "copies": 2, "ratio": 0.5} | change
    with pytest.raises(DataError, match="mask some patches and not all"):
        masked([Sample("a", "What?", (Image.new("RGB", (32, 32)),))], 0, **options)


@pytest.mark.parametrize("name", BUILDERS)
def test_the_wrong_image_leaves_the_words_and_no_group_its_image(name):
    contrast = BUILDERS[name]()
    wrong = wrong_image(contrast, 0)
    assert (wrong.labels, wrong.groups) == (contrast.labels, contrast.groups)
    for right, other in zip(contrast.samples, wrong.samples, strict=True):
        assert (right.id, right.text, right.output) == (other.id, other.text, other.output)
        assert bool(right.images) == bool(other.images)
        assert not right.images or right.images[0] is not other.images[0]
    mine = [id(sample.images[0] if sample.images else None) for sample in contrast.samples]
    assert sorted(mine) == sorted(id(sample.images[0] if sample.images else None) for sample in wrong.samples)


def test_the_wrong_image_needs_another():
    with pytest.raises(DataError, match="1 groups with images"):
        wrong_image(counterfactual(SCENES[:1], 0), 0)
    with pytest.raises(DataError, match="0 groups with images"):
        wrong_image(language_prior(scene_demos(SCENES[:3], 0), "No."), 0)


@pytest.mark.parametrize("probe", [MeanDifference(), VTI("paper"), VTI("code")])
def test_the_wrong_image_destroys_a_direction_that_depends_on_the_image(probe):
    """A stand-in model whose state says whether the words are true of the image, and in which style they are."""
    g = torch.Generator().manual_seed(0)
    truth, style = torch.linalg.qr(torch.randn(32, 2, generator=g)).Q.T
    # Thirty kinds of picture, and words that are true of one kind.
    samples, labels, groups = [], [], []
    for group in range(120):
        kind = group % 30
        for label in (1, 0):
            said = kind if label else (kind + 1 + group % 7) % 30
            samples.append(Sample(f"{group}/{label}", "What?", (Image.new("RGB", (1, 1), (kind, 0, 0)),), f"{said}"))
            labels.append(label)
            groups.append(f"{group}")
    contrast = Contrast("kinds", tuple(samples), tuple(labels), tuple(groups))

    def states(contrast):
        agrees = [float(sample.images[0].getpixel((0, 0))[0] == int(sample.output)) for sample in contrast.samples]
        noise = 2 * torch.randn(len(agrees), 32, generator=torch.Generator().manual_seed(1))
        return noise + 30 * torch.tensor(agrees)[:, None] * truth + 12 * torch.tensor(contrast.labels)[:, None] * style

    right, wrong = (
        probe.fit(states(one), list(one.labels), task="binary", groups=one.groups).directions["yes"]
        for one in (contrast, wrong_image(contrast, 0))
    )
    assert right @ truth > 0.85
    assert abs(wrong @ truth) < 0.4
    assert wrong @ style > 0.9


def test_parts_keep_groups_whole():
    contrast = BUILDERS["go on"]()
    parts = list(contrast.parts(7))
    assert [len(part.samples) for part in parts] == [14, 14, 14, 6]
    assert sum((part.samples for part in parts), ()) == contrast.samples
    assert sum((part.groups for part in parts), ()) == contrast.groups


@pytest.mark.parametrize(
    ("labels", "groups", "names", "message"),
    [
        ((1, 1), ("a", "a"), ("x", "y"), r"labels \[1\]; a contrast needs samples of 0 and of 1"),
        ((1, 0), ("a",), ("x", "y"), "2 samples, 2 labels and 1 groups"),
        ((1, 0), ("a", "a"), ("x", "x"), "the name 'x' occurs twice"),
    ],
)
def test_samples_that_make_no_contrast(labels, groups, names, message):
    with pytest.raises(DataError, match=message):
        Contrast("broken", tuple(Sample(name, "What?") for name in names), labels, groups)


def test_unknown_choices_are_named():
    with pytest.raises(DataError, match="no decision 'stop'; choose from go on, object, answer"):
        counterfactual(SCENES[:2], 0, decision="stop")
    with pytest.raises(DataError, match="choose from"):
        captions(scene_demos(SCENES[:2], 0), ending="none")


@pytest.fixture
def vti_file(tmp_path):
    for number in range(2):
        Image.new("RGB", (20, 10), (number, 0, 0)).save(tmp_path / f"{number}.jpg")
    rows = [
        {
            "id": f"{number}",
            "image": f"{number}.jpg",
            "value": "A man sits on a bench. The sky is blue. Trees are green.",
            "h_value": "A man sits on a bench. A dog plays. Trees are green.",
            "co_objects": ["dog"],
            "uncertain_objects": [],
            "question": "Describe this image in detail.",
        }
        for number in range(2)
    ]
    file = tmp_path / "demos.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return file, rows


def test_files_of_strangers(vti_file):
    file, _ = vti_file
    demos = read_demos(file, file.parent)
    assert [demo.id for demo in demos] == ["0", "1"]
    (careful, loose), _ = pairs_of(captions(demos, ending="written"))
    assert careful.output == "A man sits on a bench. The sky is blue. Trees are green."
    assert careful.images[0].size == (20, 10)
    assert careful.text == "Describe this image in detail."
    assert loose.output.split(". ")[1] == "A dog plays"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"h_value": ""}, r"demos.jsonl:2: h_value must be words"),
        ({"image": "9.jpg"}, r"demos.jsonl:2: .*9.jpg: cannot be read"),
        ({"image": "demos.jsonl"}, r"demos.jsonl:2: cannot read the image .*demos.jsonl"),
        ({"id": "0"}, "the name '0/careful' occurs twice"),
    ],
)
def test_broken_demonstrations_are_named(vti_file, change, message):
    file, rows = vti_file
    file.write_text("\n".join(map(json.dumps, [rows[0], rows[1] | change])))
    with pytest.raises(DataError, match=message):
        captions(read_demos(file, file.parent), ending="written")


def test_a_truncated_image_and_a_file_that_is_no_jsonl(vti_file):
    file, _ = vti_file
    whole = (file.parent / "1.jpg").read_bytes()
    (file.parent / "1.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"demos.jsonl:2: .*1.jpg"):
        read_demos(file, file.parent)
    file.write_text("[]\n")
    with pytest.raises(DataError, match=r"demos.jsonl:1: a record is a JSON object"):
        read_demos(file, file.parent)
    file.write_text("{")
    with pytest.raises(DataError, match=r"demos.jsonl:1: not JSON"):
        read_demos(file, file.parent)
    file.write_text("\n")
    with pytest.raises(DataError, match="no demonstrations"):
        read_demos(file, file.parent)
    with pytest.raises(DataError, match="cannot be read"):
        read_demos(file.parent / "none.jsonl", file.parent)


def test_demonstrations_are_lines_at_line_feeds_alone_and_their_images_have_limits(vti_file):
    file, rows = vti_file
    rows[0]["value"] += "\u2028and more"
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    assert read_demos(file, file.parent)[0].careful.endswith("\u2028and more")
    Image.new("1", (13_000, 13_000)).save(file.parent / rows[0]["image"], format="PNG")
    with pytest.raises(DataError, match=r":1: .*13000x13000 pixels; at most 64 million"):
        read_demos(file, file.parent)
    file.write_text("[" * 100_000)
    with pytest.raises(DataError, match=r"demos.jsonl:1: more than 100"):
        read_demos(file, file.parent)
