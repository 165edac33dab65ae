"""Input and output scores."""

import pytest
import torch

from mmsteer import hooks
from mmsteer.calibrate import divergence
from mmsteer.errors import DictionaryError
from mmsteer.latents.maximal import Maximal, Moment
from mmsteer.latents.scores import FeatureScore, dosed_effect, input_scores, output_scores, steerable
from mmsteer.latents.vocabulary import top_tokens
from mmsteer.steering import Attribute, Steering
from mmsteer.types import Site
from tests.conftest import planted
from tests.latents.dictionaries import clips, drawn, made, pictures
from tests.steering.seeing import llava

__all__ = ["llava"]


def moment(*tokens):
    return Moment("s", 0, 1.0, tokens, "", 0, None, None)


def by_hand(adapter, dictionary, feature, context, place, count):
    """S_out, token by token: one feature, one forward, the push written out."""
    states, site = [], dictionary.site
    with hooks.readings({adapter.module(site): states.append}):
        adapter.read(adapter.reading([context]))
    push = 10 * dictionary.encode(states[0][0, place]).max() * dictionary.decoder[feature]

    def edit(h):
        h = h.clone()
        h[:, place] += push
        return h

    with hooks.edits({adapter.module(site): edit}):
        p = adapter.read(adapter.reading([context]))[0, place].softmax(dim=-1)
    scores = []
    for head, tokens in enumerate(top_tokens(adapter, dictionary, [feature], count=count)[0].tolist()):
        order = p[head].argsort(descending=True).tolist()
        rank = min(order.index(token) for token in tokens)
        scores.append((1 - rank / len(order)) * max(float(p[head, token]) for token in tokens))
    return scores


@pytest.mark.parametrize("batch", [1, 2, 32])
def test_the_output_score_of_every_codebook(musicgen, batch):
    """A clip of 20 frames breaks off at step 19: the start token, and 19 columns of codes."""
    dictionary = drawn(musicgen, "decoder.2")
    context = clips(1)[0]
    scores = output_scores(musicgen, dictionary, [3, 0, 5], [context], count=2, batch=batch)
    for score, feature in zip(scores, [3, 0, 5], strict=True):
        assert score.heads == pytest.approx(by_hand(musicgen, dictionary, feature, context, 19, 2), rel=1e-3)
        assert (score.maximum, score.mean) == (max(score.heads), pytest.approx(sum(score.heads) / 4))


def test_the_output_score_of_a_word(llava):
    """The last word of the answer in one context, the end of the prompt in the other; the score is the mean."""
    dictionary = drawn(llava, "text.1")
    contexts = [*pictures(1), *pictures(1, answer=None)]
    ends = [llava.reading([context]).arguments["input_ids"].shape[1] - 1 for context in contexts]
    hands = [by_hand(llava, dictionary, 2, one, end, 3)[0] for one, end in zip(contexts, ends, strict=True)]
    found = output_scores(llava, dictionary, [2], contexts, count=3)[0]
    assert found.heads == pytest.approx([sum(hands) / 2], rel=1e-3)
    assert found.n == 2


def test_a_feature_that_says_its_tokens_stands_out(llava):
    """At the last block a row of the head brings up its token; a feature whose push the norm swallows does not."""
    head = llava.model.lm_head.weight.detach()
    row = head[7] - head.mean(dim=0)
    dictionary = made(llava, "text.2", torch.stack([row, -row]))
    dictionary.decoder[1] *= 1e-6
    says, silent = output_scores(llava, dictionary, [0, 1], pictures(1), count=1)
    assert says.maximum > silent.maximum
    assert top_tokens(llava, dictionary, [0], count=1).item() == 7


def test_nothing_active_is_no_scale(llava):
    with pytest.raises(DictionaryError, match="no feature is active"):
        output_scores(llava, drawn(llava, "text.1", bias=-1e6), [0], pictures(1))
    with pytest.raises(DictionaryError, match="no context"):
        output_scores(llava, drawn(llava, "text.1"), [0], [])


def test_the_input_score_counts_peaks_on_promoted_tokens(musicgen):
    """Of four excerpts two peak on a promoted code of the first codebook, three of the third, none of the others."""
    dictionary = drawn(musicgen, "decoder.1")
    promoted = top_tokens(musicgen, dictionary, [4], count=3)[0].tolist()
    other = [next(code for code in range(32) if code not in tokens) for tokens in promoted]
    found = [moment(*other) for _ in range(4)]
    found[0] = found[3] = moment(*other[:2], promoted[2][0], other[3])
    found[1] = moment(promoted[0][2], *other[1:])
    found[2] = moment(promoted[0][0], other[1], promoted[2][1], other[3])
    score = input_scores(musicgen, dictionary, [Maximal(4, tuple(found))], count=3, least=4)[0]
    assert (score.heads, score.n) == ((0.5, 0.0, 0.75, 0.0), 4)
    assert (score.maximum, score.mean) == (0.75, 0.3125)


def test_too_few_excerpts_are_no_score(musicgen):
    dictionary = drawn(musicgen, "decoder.1")
    few = Maximal(4, (moment(1, 2, 3, 4),) * 9)
    for one in (few, Maximal(4, ())):
        score = input_scores(musicgen, dictionary, [one])[0]
        assert (score.heads, score.maximum, score.mean, score.n) == ((), None, None, len(one.moments))


def test_a_patch_is_no_token_of_the_vocabulary(llava):
    dictionary = drawn(llava, "text.1")
    token = int(top_tokens(llava, dictionary, [0], count=1))
    words, patches = moment(token), moment(llava.model.config.image_token_id)
    assert input_scores(llava, dictionary, [Maximal(0, (words, patches))], count=1, least=2)[0].heads == (0.5,)


def test_features_that_are_worth_steering():
    scores = [
        FeatureScore(1, (0.0, 0.02), 1),
        FeatureScore(2, (0.009,), 1),
        FeatureScore(3, (), 0),
        FeatureScore(4, (0.3,), 1),
    ]
    assert steerable(scores) == [4, 1]


def test_the_effect_at_a_fixed_dose(musicgen):
    """The evaluator hears the strength itself, and cannot tell in one of three outputs."""
    contexts = clips(2)
    push = Steering((Attribute(planted(musicgen, "c", [2]), 1.0),))

    def judged(steering):
        heard = sum(item.strength for item in steering.attributes)
        return [heard + 1, heard + 2, None]

    factor, change = dosed_effect(musicgen, push, contexts, judged, kl=0.01)
    assert float(divergence(musicgen, push.scaled(factor), contexts).median()) == pytest.approx(0.01, rel=0.06)
    assert (change.value, change.n, change.unscored) == (pytest.approx(factor), 2, 1)


def test_a_dictionary_at_another_site_is_refused(musicgen):
    far = drawn(musicgen, "decoder.1").at(Site("decoder", 99))
    with pytest.raises(DictionaryError, match="no such site"):
        output_scores(musicgen, far, [0], clips(1))
