"""A real language model: prompts that differ in length and steering give in one batch what they give alone."""

from concurrent.futures import ThreadPoolExecutor

from mmsteer import Sampling, steer
from mmsteer.serving.admission import Catalog
from tests.conftest import saying
from tests.serving.conftest import serving

ASKED = (
    ("Who are you?", ""),
    ("Tell me about your day, in a few words, please.", "word:sea 8 on text.14"),
    ("What is an egg?", "word:sea 4 fade-in 0..4steps on text.10-20"),
)


def test_a_real_model_gives_the_same_tokens_in_a_batch(smollm2):
    sea = {"word:sea": saying(smollm2, "sea", "word:sea")}
    alone = []
    for prompt, line in ASKED:
        with steer(smollm2, line, sea):
            alone += smollm2.generate([prompt], Sampling(8, temperature=0.8), [5])
    with serving(smollm2, Catalog("text", sea), batching=(3, 1.0, 8)) as served, ThreadPoolExecutor(3) as pool:
        fields = {"model": "text", "max_tokens": 8, "temperature": 0.8, "seed": 5}
        answers = list(pool.map(lambda one: served.chat(one[0], steer=one[1], **fields), ASKED))
    assert [body["mmsteer"]["receipts"][0]["batch"] for _, _, body in answers] == [3, 3, 3]
    assert len(answers[1][2]["mmsteer"]["receipts"][0]["sites"]) == 1
    said = [body["choices"][0]["message"]["content"] for _, _, body in answers]
    assert said == [one.output for one in alone]
