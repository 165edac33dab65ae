"""What the server answers: the tokens of `mmsteer generate`, alone and in batches of different steerings."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from mmsteer import Sample, Sampling
from mmsteer.types import Raw
from tests.serving.conftest import serving

STEER = ("", "word:cup 3 on text.2-3", "word:blue 2", "word:red 4 fade-in 0..50%", "word:table 1.5 at generated")


@pytest.fixture
def generated(mmsteer, talker_folder, words_file):
    """What the command line makes of the same request."""

    def run(steer="", *, tokens=6, seed=None, **options):
        words = ["generate", "--model", talker_folder, "--prompt", "say the cup", "--tokens", tokens]
        words += ["--directions", words_file, "--steer", steer] if steer else []
        for name, value in options.items():
            words += [f"--{name.replace('_', '-')}", value]
        words += ["--seed", seed] if seed is not None else []
        code, out, _ = mmsteer(*words)
        assert code == 0
        return out.split("applied:")[0].removeprefix("steered:").strip()

    return run


def text(answer):
    status, _, body = answer
    assert status == 200, body
    return body["choices"][0]["message"]["content"]


@pytest.mark.parametrize("steer", STEER)
def test_a_request_alone_is_what_the_command_line_makes(client, generated, steer):
    assert text(client.chat(steer=steer)) == generated(steer)
    drawn = {"temperature": 1.5, "seed": 3}
    assert text(client.chat(steer=steer, max_tokens=12, **drawn)) == generated(steer, tokens=12, **drawn)


@pytest.mark.parametrize("drawn", [{}, {"temperature": 1.5, "top_p": 0.9}, {"temperature": 1.5, "top_k": 5}])
def test_requests_of_one_batch_have_a_steering_a_seed_and_a_length_each(own_talker, catalog, generated, drawn):
    asked = [(steer, 20 + seed, 4 + 3 * seed) for seed, steer in enumerate(STEER)]

    # Four fill a batch, so that a busy machine has seconds to bring them together and an idle one waits for none.
    with serving(own_talker, catalog, batching=(4, 3.0, 64)) as client, ThreadPoolExecutor(len(asked)) as pool:

        def ask(one):
            steer, seed, tokens = one
            return client.chat(steer=steer, seed=seed, max_tokens=tokens, **drawn)

        answers = list(pool.map(ask, asked))
    batches = [body["mmsteer"]["receipts"][0]["batch"] for _, _, body in answers]
    assert sorted(batches) == [1, 4, 4, 4, 4]  # the schedule in fractions of the output runs alone
    for (steer, seed, tokens), answer in zip(asked, answers, strict=True):
        seeds = {"seed": seed} if drawn else {}
        assert text(answer) == generated(steer, tokens=tokens, **seeds, **drawn)
        assert answer[2]["usage"]["completion_tokens"] == tokens
    assert len({text(answer) for answer in answers}) == len(answers)


def test_a_receipt_is_of_the_request_alone(client):
    alone = client.chat(steer=STEER[1], max_tokens=4)[2]["mmsteer"]["receipts"][0]
    with ThreadPoolExecutor(3) as pool:
        answers = pool.map(lambda one: client.chat(steer=one, max_tokens=4 + len(one)), STEER[:3])
    plain, beside, _ = (body["mmsteer"]["receipts"][0] for _, _, body in answers)
    assert (alone["batch"], beside["batch"]) == (1, 3)
    assert beside["attributes"] == alone["attributes"] == ["word:cup 3 constant(1) on text.2-3"]
    assert beside["ratio"] > 0
    assert (plain["attributes"], plain["tokens"], plain["sites"]) == ([], 0, {})


def test_presets_and_the_usual_steering(client, own_talker):
    cups = "cup cup cup cup cup cup"
    assert text(client.chat(steer="cups")) == cups
    assert text(client.chat(model="talker+cups")) == cups
    assert text(client.chat(model="talker+cups", steer="")) == text(client.chat())
    assert text(client.chat()) != cups


def test_texts_are_gone_on_with_as_they_are(client, own_talker):
    prompts = ["say the cup", "the table is"]
    status, _, body = client.complete(prompts, n=2, temperature=1.5, seed=7)
    assert (status, body["object"]) == (200, "text_completion")
    assert body["usage"]["prompt_tokens"] == 6
    samples = [Sample("a", Raw(one)) for one in prompts for _ in range(2)]
    alone = own_talker.generate(samples, Sampling(6, temperature=1.5), [7, 8, 7, 8])
    assert [one["text"] for one in body["choices"]] == [one.output for one in alone]
    assert [one["seed"] for one in body["mmsteer"]["receipts"]] == [7, 8, 7, 8]


def test_a_stop_text_ends_an_answer_and_is_no_part_of_it(client):
    whole = text(client.chat(max_tokens=12))
    last = whole.split()[4]
    status, _, body = client.chat(max_tokens=12, stop=[last, "nowhere"])
    choice = body["choices"][0]
    assert (status, choice["finish_reason"]) == (200, "stop")
    assert choice["message"]["content"] == whole[: whole.index(last)]
    assert body["usage"]["completion_tokens"] < 12
    assert client.chat(max_tokens=12)[2]["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("stop", [None, "table is", "cup"])
def test_a_stream_is_the_same_answer_in_pieces(client, stop):
    asked = {"max_tokens": 12, "steer": "word:blue 1"} | ({"stop": stop} if stop else {})
    whole = client.chat(**asked)[2]
    events = client.events(**asked, stream_options={"include_usage": True})
    assert events.pop() == "[DONE]"
    assert events.pop()["usage"] == whole["usage"]
    choices = [event["choices"][0] for event in events]
    assert choices[0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(one["delta"].get("content", "") for one in choices) == whole["choices"][0]["message"]["content"]
    assert choices[-1]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert events[-1]["mmsteer"]["receipts"][0]["attributes"] == ["word:blue 1 constant(1)"]
    assert len(events) > 6 or stop


def test_without_a_seed_answers_differ_and_can_be_had_again(client):
    first, second = (client.chat(temperature=1.5, max_tokens=20)[2] for _ in range(2))
    assert first["choices"] != second["choices"]
    seed = first["mmsteer"]["receipts"][0]["seed"]
    assert client.chat(temperature=1.5, max_tokens=20, seed=seed)[2]["choices"] == first["choices"]
