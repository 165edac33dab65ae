"""Top activating moments."""

import pytest
import torch

from mmsteer.errors import DictionaryError
from mmsteer.latents.maximal import maximal_moments
from mmsteer.record import record
from mmsteer.types import Positions, Site
from tests.latents.dictionaries import clips, drawn, made, pictures
from tests.steering.seeing import llava

__all__ = ["llava"]


def states(adapter, site, samples):
    return record(adapter, samples, [Site.parse(site)], pool="tokens").values[Site.parse(site)]


def test_a_moment_of_a_clip_is_found_in_seconds(musicgen):
    some = clips()
    h = states(musicgen, "decoder.2", some)
    odd = h[1, 9] - h.mean(dim=(0, 1))
    clip, step = divmod(int((h[:, 1:] @ odd).argmax()), h.shape[1] - 1)
    found = maximal_moments(musicgen, made(musicgen, "decoder.2", odd[None]), some, count=3)[0].moments
    assert (found[0].sample, found[0].step, found[0].seconds) == (f"clip-{clip}", step + 1, (step + 1) / 50)
    assert found[0].activation == pytest.approx(float(h[clip, step + 1] @ odd / odd.norm()), rel=1e-4)
    tokens = musicgen.tokens(musicgen.reading(some))
    assert found[0].tokens == tuple(tokens[clip, step + 1].tolist())
    assert found[0].words == " ".join(map(str, found[0].tokens))
    assert sorted(moment.sample for moment in found) == ["clip-0", "clip-1", "clip-2"]


def test_the_best_of_all_samples_come_first(musicgen):
    some = clips(7)
    dictionary = drawn(musicgen, "decoder.1")
    z = dictionary.encode(states(musicgen, "decoder.1", some))[:, 1:]
    for batch in (1, 3):
        for one in maximal_moments(musicgen, dictionary, some, [4, 2], count=3, batch=batch):
            best, which = z[..., one.feature].amax(dim=1).topk(3)
            assert [moment.sample for moment in one.moments] == [f"clip-{i}" for i in which.tolist()]
            torch.testing.assert_close(torch.tensor([moment.activation for moment in one.moments]), best)


def test_regions_and_words_of_a_picture(llava):
    """Four patches in two rows; a feature that reads the third patch, and one that reads a word of the answer."""
    some = pictures()
    h = states(llava, "text.2", some)
    ids = llava.tokens(llava.reading(some))[0, :, 0].tolist()
    patch = [place for place, token in enumerate(ids) if token == llava.model.config.image_token_id][2]
    word = next(place for place, token in enumerate(ids) if llava.token_name(token) == "table")
    rows = torch.stack([h[0, patch], h[0, word]]) - h.mean(dim=(0, 1))
    seen, said = (one.moments[0] for one in maximal_moments(llava, made(llava, "text.2", rows), some))
    assert (seen.sample, seen.place, seen.region, seen.seconds) == ("picture-0", patch, (0.0, 0.5, 0.5, 1.0), None)
    assert (said.words, said.region) == ("table", None)
    assert said.step == ids.index(ids[word]) - llava.reading(some).call.prompt + 1


def test_patches_of_a_tower_follow_its_class_token(llava):
    some = pictures()
    h = states(llava, "vision.1", some)
    odd = h[2, 4] - h.mean(dim=(0, 1))
    moment = maximal_moments(llava, made(llava, "vision.1", odd[None]), some)[0].moments[0]
    assert (moment.sample, moment.place, moment.region) == ("picture-2", 4, (0.5, 0.5, 1.0, 1.0))
    assert (moment.tokens, moment.words) == ((), "")


def test_the_first_token_counts_only_where_it_is_asked_for(musicgen):
    some = clips()
    start = states(musicgen, "decoder.2", some)[0, 0]
    dictionary = made(musicgen, "decoder.2", start[None])
    assert maximal_moments(musicgen, dictionary, some)[0].moments[0].step > 0
    assert maximal_moments(musicgen, dictionary, some, positions=Positions("all"))[0].moments[0].step == 0


def test_a_silent_feature_has_no_moments(musicgen):
    silent = maximal_moments(musicgen, drawn(musicgen, "decoder.1", bias=-1e6), clips())
    assert [one.moments for one in silent] == [()] * 6


def test_a_dictionary_of_another_model_is_refused(musicgen, llava):
    with pytest.raises(DictionaryError, match="no such site"):
        maximal_moments(musicgen, drawn(llava, "text.1"), clips())
