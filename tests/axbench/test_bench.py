"""The benchmark: factors are chosen on one half, told on the other; what is done is kept."""

import json
from dataclasses import replace

import pytest
import torch

from mmsteer.adapters import load
from mmsteer.axbench import METHODS, EndpointRater, OfflineRater, Rating, Reader, Settings, run, summarise
from mmsteer.axbench.answers import unsteered
from mmsteer.axbench.bench import Bench, _best
from mmsteer.axbench.results import agreement, paper_order
from mmsteer.bundled.packaged import Packaged
from mmsteer.errors import DataError, EvalError
from mmsteer.eval.judge import EndpointJudge
from mmsteer.report.axbench_page import axbench_page
from mmsteer.types import Sample
from tests.axbench.conftest import WORDS
from tests.eval.test_mmhal import endpoint  # noqa: F401

TEXTS = [" ".join(WORDS[at : at + 3]) for at in range(6)]
INSTRUCTIONS = [Sample(str(at), text) for at, text in enumerate(TEXTS)]
SETTINGS = Settings(
    "text.2", tuple(name for name in METHODS if name != "sae-a"), (0.5, 2.0), 4, 3, examples=8, steps=3, train_batch=3
)


class Words:
    """Rates by the word itself: 2 where the concept is said, and keeps what it was asked."""

    name = "words"

    def __init__(self):
        self.asked = []

    def rate(self, concept, asked):
        self.asked.append((concept.id, [(one.text, str(one.output)) for one in asked]))
        return [Rating(2.0 * (concept.text in str(one.output)), 1.0, 2.0) for one in asked]


def bench(talker, folder, rater=None, **more):
    return Bench(talker, INSTRUCTIONS, replace(SETTINGS, **more), rater or Words(), folder)


def test_every_method_detects_and_steers(talker, concepts, tmp_path):
    (one, _) = records = run(bench(talker, tmp_path), concepts, {})
    assert list(one["methods"]) == list(SETTINGS.methods)
    for name, method in one["methods"].items():
        assert len(method["answers"]) == 2
        assert (method["detection"] is None) == (name in ("prompt", "lora"))
        assert method["factor"] in (0.5, 2.0, 1.0)
    found = summarise(records)
    assert (found.concepts, found.seeds, len(found.rows)) == (2, 1, len(SETTINGS.methods))
    page = axbench_page("run", "words", found)
    assert "pairs stand the same way round" in page
    assert page.count("<tr>") == len(SETTINGS.methods) + 1


def test_the_factor_is_chosen_on_the_other_half(talker, concepts, tmp_path):
    rater = Words()
    (one,) = run(bench(talker, tmp_path, rater, methods=("diff-mean",)), concepts[:1], {})
    (_, chosen), (_, told) = rater.asked
    assert {text for text, _ in chosen}.isdisjoint({text for text, _ in told})
    assert [(line["prompt"], line["answer"]) for line in one["methods"]["diff-mean"]["answers"]] == told


def test_where_no_answer_has_everything_the_mean_ratings_choose():
    sample = Sample("a", "red")
    silent, mixed = Rating(0.0, 2.0, 2.0), [Rating(2.0, 0.0, 2.0), Rating(0.0, 2.0, 2.0)]
    weak, strong = [(sample, silent)] * 2, [(sample, one) for one in mixed]
    assert _best({0.5: weak, 1.0: strong, 2.0: strong}) == 1.0
    assert _best({0.5: weak, 1.0: weak}) == 0.5
    assert _best({1.0: strong, 2.0: [*weak, (sample, Rating(1.0, 1.0, 1.0))]}) == 2.0
    assert _best({1.0: [(sample, Rating(None, None, None))]}) == 1.0


def test_a_stopped_run_goes_on(talker, concepts, tmp_path):
    class Halting(Words):
        def rate(self, concept, asked):
            if concept.id == 1 and self.halts:
                raise KeyboardInterrupt
            return super().rate(concept, asked)

    some = {"methods": ("diff-mean", "ssv", "prompt")}
    whole = run(bench(talker, tmp_path / "whole", **some), concepts, {})
    rater = Halting()
    rater.halts = True
    with pytest.raises(KeyboardInterrupt):
        run(bench(talker, tmp_path / "part", rater, **some), concepts, {})
    kept = (tmp_path / "part" / "results.jsonl").read_bytes()
    with (tmp_path / "part" / "results.jsonl").open("ab") as file:
        file.write(b'{"concept": 1, "se')  # as a crash leaves it
    rater.halts, rater.asked = False, []
    again = run(bench(talker, tmp_path / "part", rater, **some), concepts, {})
    assert {concept for concept, _ in rater.asked} == {1}
    assert (tmp_path / "part" / "results.jsonl").read_bytes().startswith(kept)
    assert _without_times(again) == _without_times(whole)
    with pytest.raises(DataError, match="another run of AxBench, which differs in tokens"):
        run(bench(talker, tmp_path / "part", tokens=2, **some), concepts, {})


def _without_times(records):
    text = json.dumps([one["methods"] for one in records])
    return [{name: {**one, "seconds": None} for name, one in record.items()} for record in json.loads(text)]


def test_prompting_is_asked_with_the_order_and_judged_without(talker, concepts, tmp_path):
    rater = Words()
    run(bench(talker, tmp_path, rater, methods=("prompt",)), concepts[:1], {})
    assert {text for _, some in rater.asked for text, _ in some} <= set(TEXTS)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"methods": ("magic",)}, "no method 'magic'"),
        ({"prompts": 3}, "3 prompts: give an even number"),
        ({"methods": ("sae-a",)}, "sae-a needs a dictionary"),
    ],
)
def test_settings_that_make_no_sense_are_refused(more, message):
    with pytest.raises(DataError, match=message):
        replace(SETTINGS, **more)


def test_too_few_instructions_are_refused(talker, concepts, tmp_path):
    with pytest.raises(EvalError, match="6 instructions; a concept takes 8"):
        run(bench(talker, tmp_path, prompts=8), concepts, {})


def test_an_endpoint_is_asked_three_questions(endpoint, concepts):  # noqa: F811
    """The fake endpoint rates by what stands behind a marker, which it finds in no rubric: nothing is rated."""
    endpoint.body = json.dumps({"choices": [{"message": {"content": "Fine.\nRating: 1"}}]}).encode()
    rater = EndpointRater(EndpointJudge(endpoint.url, "judge"))
    asked = [Sample("a", "Say a word.", output="cup"), Sample("b", "Say a word.", output=" ")]
    assert rater.rate(concepts[0], asked) == [Rating(1.0, 1.0, 1.0), Rating(0.0, 0.0, 0.0)]
    questions = [request["messages"][0]["content"] for _, request in endpoint.asked]
    assert len(questions) == 3
    assert "express this concept: cup" in questions[0]
    assert rater.name == "endpoint judge"
    endpoint.body = json.dumps({"choices": [{"message": {"content": "I cannot say."}}]}).encode()
    (one,) = rater.rate(concepts[0], asked[:1])
    assert one.overall is None


def test_the_offline_judge_tells_concepts_and_loops(talker, concepts):
    plain = unsteered(talker, INSTRUCTIONS, SETTINGS.sampling, SETTINGS.batch)
    rater = OfflineRater(talker, plain)
    assert rater.certainty(concepts[0]) > 0.8
    told = [Sample("a", TEXTS[0], output=text) for text in ("cup here cup", "table red", "", "cup " * 12)]
    ratings = rater.rate(concepts[0], told)
    assert ratings[0].concept == 2.0
    assert ratings[1].concept == 0.0
    assert ratings[2] == Rating(0.0, 0.0, 0.0)
    assert ratings[3].fluency == 0.0
    elsewhere = rater.rate(concepts[0], [Sample(one.id, TEXTS[-1], output=one.output) for one in told])
    assert [one.fluency for one in elsewhere] == [one.fluency for one in ratings]
    usual = rater.rate(concepts[0], plain)
    assert sum(one.fluency for one in usual) / len(usual) > 1.3


@pytest.fixture(scope="module")
def contrary(talker_folder):
    """A model that likes to say what the talker does not."""
    made = load(talker_folder)
    with torch.no_grad():
        made.model.lm_head.weight.neg_()
    return made


def test_fluency_is_read_by_another_model(talker, contrary, concepts):
    plain, strange = (unsteered(one, INSTRUCTIONS, SETTINGS.sampling, SETTINGS.batch) for one in (talker, contrary))
    own = OfflineRater(talker, plain).rate(concepts[0], strange)
    rater = OfflineRater(talker, plain, reader=Reader("bundled:contrary", contrary))
    read = rater.rate(concepts[0], strange)
    assert rater.name == "offline (TF-IDF, fluency under contrary)"
    assert sum(one.fluency for one in own) < 3
    assert [one.fluency for one in read] == [2.0] * len(strange)
    assert [(one.concept, one.instruction) for one in own] == [(one.concept, one.instruction) for one in read]


def test_fluency_is_read_by_a_language_model(musicgen):
    with pytest.raises(EvalError, match="bundled:music makes audio; fluency is read by a language model"):
        Reader("bundled:music", musicgen)


def test_orders_are_compared_pair_by_pair():
    assert paper_order("overall", ["probe", "reft-r1", "random", "prompt"]) == ["prompt", "reft-r1", "probe"]
    assert paper_order("auroc", ["loreft", "pca", "diff-mean"]) == ["diff-mean", "pca"]
    assert agreement(["a", "b", "c"], ["c", "b", "a"]) == (0, 3)


@pytest.fixture
def recipe(talker_folder, folder, tmp_path):
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps({"input": text}) + "\n" for text in TEXTS))
    path = tmp_path / "small.yaml"
    path.write_text(
        f"kind: axbench\nname: small\nabout: a test\nmodel: {{load: {talker_folder}, device: cpu, dtype: float32}}\n"
        f"data: {folder}\ninstructions: asked.jsonl\nsite: text.2\nmethods: [diff-mean, prompt]\nfactors: [1.0]\n"
        # Named, or else it is whatever this machine has.
        f"prompts: 2\ntokens: 3\njudge: offline\nfluency: {talker_folder}\nexamples: 4\n"
    )
    return path


def test_a_recipe_runs_from_the_command_line(mmsteer, recipe, tmp_path):
    code, out, err = mmsteer("recipes", "check", recipe)
    assert (code, out) == (0, "ok: small, 2 concepts, 2 methods\n"), err
    code, out, err = mmsteer("run", recipe, "concepts=1", "--out", tmp_path / "run", "--quiet")
    assert code == 0, err
    assert "diff-mean" in out
    assert (tmp_path / "run" / "index.html").read_text().count("<tr>") == 3
    assert mmsteer("run", recipe, "--out", tmp_path / "alone", "--quiet")[0] == 0
    code, _, err = mmsteer("run", recipe, "--out", tmp_path / "shared", "--workers", "2", "--quiet")
    assert code == 0, err
    files = [tmp_path / one / "results.jsonl" for one in ("alone", "shared")]
    kept = [[json.loads(line) for line in file.read_text().splitlines()] for file in files]
    assert [len(one) for one in kept] == [2, 2]
    assert _without_times(kept[0]) == _without_times(kept[1])
    assert (tmp_path / "alone" / "axbench.json").read_bytes() == (tmp_path / "shared" / "axbench.json").read_bytes()
    code, _, err = mmsteer("run", recipe, "model.dtype=bfloat16", "--out", tmp_path / "alone", "--quiet")
    assert (code, "another run of AxBench, which differs in model;" in err) == (2, True)
    code, _, err = mmsteer("run", recipe, "factors=[]", "--out", tmp_path / "other")
    assert (code, "factors" in err) == (2, True)


def judge_of(folder):
    return json.loads((folder / "axbench.json").read_text())["judge"]


ONE = ("concepts=1", "methods=[prompt]", "--quiet")


def test_a_recipe_names_who_reads_for_fluency(mmsteer, recipe, talker_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(Packaged, "installed", False)
    code, _, err = mmsteer("run", recipe, *ONE, "--out", tmp_path / "read")
    assert code == 0, err
    assert judge_of(tmp_path / "read").endswith(f", fluency under {talker_folder.name})")
    assert str(talker_folder) not in (tmp_path / "read" / "index.html").read_text()
    code, _, err = mmsteer("run", recipe, *ONE, "fluency=null", "--out", tmp_path / "read")
    assert (code, "differs in judge, reader" in err) == (2, True)


def test_gemma_reads_where_it_is_installed(mmsteer, recipe, talker, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(Packaged, "installed", True)
    monkeypatch.setattr("mmsteer.recipes.axbench.load", lambda name, **_: asked.append(name) or talker)
    code, _, err = mmsteer("run", recipe, *ONE, "fluency=null", "--out", tmp_path / "run")
    assert code == 0, err
    assert asked == ["bundled:gemma3-270m"]
    assert judge_of(tmp_path / "run").endswith(", fluency under gemma3-270m)")


def test_no_model_reads_for_an_endpoint_or_a_world(mmsteer, recipe):
    code, _, err = mmsteer("recipes", "check", recipe, "fluency=bundled:text", "judge=endpoint")
    assert (code, "here an endpoint judges; leave it out" in err) == (2, True)
    code, _, err = mmsteer("recipes", "check", "axbench-music", "fluency=bundled:text")
    assert (code, "here a world's truth judges; leave it out" in err) == (2, True)
