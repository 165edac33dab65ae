"""The training of the dictionaries of a language model: its corpus, and that what was stopped goes on."""

from argparse import Namespace
from itertools import islice

import pytest
import torch

from mmsteer.errors import DictionaryError
from mmsteer.latents.token_states import token_states
from mmsteer.sae import Shuffled, read_dictionary
from mmsteer.tasks import read_rows
from mmsteer.types import Chat, Positions, Raw, Sample, Sampling, Site
from mmsteer.worlds.training import text_passages, text_states, train_text_dictionaries
from mmsteer.worlds.training.text_passages import Collection, passages
from mmsteer.worlds.training.text_prompts import write_prompts
from mmsteer.worlds.training.text_states import Corpus, LayerStates, learned_and_held, read_layers

SITES = (Site("text", 1), Site("text", 2))
ASKED = Sample("a", "say red cup", output="the cup is red")


def test_prompts_are_varied_and_the_same_again():
    some = write_prompts(64, seed=1, chunk=3)
    asked = [str(one.prompt) for one in some]
    assert len(set(asked)) > 60
    assert asked == [str(one.prompt) for one in write_prompts(64, seed=1, chunk=3)]
    assert asked != [str(one.prompt) for one in write_prompts(64, seed=1, chunk=4)]
    assert 0 < sum(isinstance(one.prompt, Chat) for one in some) < 32


def test_passages_are_docstrings_of_installed_packages_only(monkeypatch, tmp_path):
    words = " ".join(["Words about cups and tables that a reader may want to know."] * 8)
    (tmp_path / "known").mkdir()
    (tmp_path / "known" / "a.py").write_text(f'"""{words}"""\nNUMBERS = "{"0123456789 " * 60}"\nSHORT = "a cup"\n')
    (tmp_path / "known" / "broken.py").write_text("def (")
    monkeypatch.setattr(text_passages.sysconfig, "get_path", lambda name: str(tmp_path))
    # pytest is installed; the other one is not.
    found = passages(0, [Collection("pytest", "MIT", ("known",)), Collection("no-such-package", "MIT", ("known",))])
    assert found == (words,)


def test_long_documents_are_cut_between_paragraphs():
    paragraph = "a cup is on the table and the table is red " * 8
    cut = list(text_passages._cut(iter(["\n\n".join([paragraph.strip()] * 5)])))
    assert all(len(one) <= text_passages.CHARACTERS for one in cut)
    assert sum(one.count("cup") for one in cut) == 5 * 8


def test_layers_are_read_at_once_as_one_by_one(talker):
    other = Sample("b", "say blue table")
    states, first = read_layers(talker, [ASKED, other], SITES, None)
    for site in SITES:
        one, two = (read.states for read in token_states(talker, [ASKED, other], site))
        real = [read.chosen(Positions("all")) for read in token_states(talker, [ASKED, other], site)]
        # "user : say" begins both, so that the second gives what is after it.
        assert torch.equal(states[site], torch.cat([one[real[0]], two[real[1]][3:]]))
    assert len(first) == int(real[0].sum())


def test_sinks_are_left_out(talker):
    module = talker.module(SITES[0])

    def sink(_, __, output):
        state = (output[0] if isinstance(output, tuple) else output).clone()
        state[:, 2] *= 1000
        return (state, *output[1:]) if isinstance(output, tuple) else state

    whole, _ = read_layers(talker, [ASKED], SITES, None)
    handle = module.register_forward_hook(sink, prepend=True)
    try:
        found, _ = read_layers(talker, [ASKED], SITES, None)
    finally:
        handle.remove()
    # It is a sink at one of the layers, and left out at both.
    assert [len(whole[site]) - len(found[site]) for site in SITES] == [1, 1]


def test_rounds_to_judge_by_are_not_learned_from():
    learned, held = learned_and_held(9)
    assert held == (0, 1, 2, 24, 25, 26)
    assert sorted((*learned, *held)) == list(range(27))


@pytest.fixture
def options(monkeypatch, tmp_path):
    """A corpus of a few words and a training of a few steps."""
    for name, value in {"SAMPLES": 4, "AT_ONCE": 2, "ANSWERS": Sampling(tokens=4, temperature=1.0)}.items():
        monkeypatch.setattr(text_states, name, value)
    monkeypatch.setattr(text_states, "passages", lambda seed: ("the cup is red",) * 64)
    monkeypatch.setattr(train_text_dictionaries, "CHECKPOINT_STEPS", 4)
    return Namespace(
        out=tmp_path / "out",
        corpus=tmp_path / "corpus",
        sites="text.1-2",
        rounds=2,
        features=48,
        k=4,
        steps=14,
        batch=16,
        rate=1e-3,
        seed=1,
    )


def test_a_killed_run_goes_on_bit_for_bit(talker, options, monkeypatch, tmp_path):
    whole = Namespace(**{**vars(options), "out": tmp_path / "whole", "corpus": tmp_path / "whole-corpus"})
    train_text_dictionaries.make_all(whole, talker)

    batches, read = Shuffled.batches, Corpus._read

    passes = []

    def killed(source, start):
        passes.append(start)
        if len(passes) == 1:  # mean and scale are measured
            yield from batches(source, start)
        yield from islice(batches(source, start), 10)
        raise KeyboardInterrupt

    def stopped(corpus, chunk):
        if chunk == 4:
            raise KeyboardInterrupt
        return read(corpus, chunk)

    for owner, name, stop in ((Corpus, "_read", stopped), (Shuffled, "batches", killed)):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, stop)
            with pytest.raises(KeyboardInterrupt):
                train_text_dictionaries.make_all(options, talker)
    assert not (options.out / "text.1" / "README.md").exists()
    assert (options.corpus / "training-text.1.safetensors").exists()
    train_text_dictionaries.make_all(options, talker)
    for site in SITES:
        one, other = (read_dictionary(folder / str(site)) for folder in (whole.out, options.out))
        assert torch.equal(one.encoder, other.encoder)
        assert torch.equal(one.threshold, other.threshold)
        assert one.site == site
        assert "loss recovered" in (options.out / str(site) / "README.md").read_text()
    assert all(row.answer for row in read_rows(options.out / "held.jsonl"))


def test_a_corpus_of_another_seed_is_refused(talker, options):
    Corpus(options.corpus, talker, SITES, 1).begin()
    with pytest.raises(DictionaryError, match=r"holds another corpus \(seed\)"):
        Corpus(options.corpus, talker, SITES, 2).begin()


def test_states_are_read_back_layer_by_layer(talker, options):
    corpus = Corpus(options.corpus, talker, SITES, 1)
    corpus.fill(1, lambda line: None)
    files = tuple(corpus.states_file(chunk) for chunk in range(3))
    one, other = (LayerStates(files, site) for site in SITES)
    assert one.rows == other.rows
    assert one.width == 32
    assert one.fingerprint != other.fingerprint
    expected, _ = read_layers(talker, sorted(corpus.samples(1), key=lambda s: len(s.text))[:1], SITES, None)
    assert torch.equal(one[1][: len(expected[SITES[0]])], expected[SITES[0]].half().float())
    assert isinstance(corpus.samples(1)[0].prompt, Raw)
