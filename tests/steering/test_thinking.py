"""Thinking models: which tokens `thinking` and `answer` steer, however the call is made, beside a plain loop."""

import pytest
import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers

import mmsteer
from mmsteer.adapters import load
from mmsteer.adapters.caches import cache_name
from mmsteer.errors import PositionsError, SteeringError
from mmsteer.steering import steer
from mmsteer.types import Call, Chat, Positions, Raw, Sample, Sampling
from tests.releases import needs_newer
from tests.steering.calling import language, one, pushed, strong

__all__ = ["language"]

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>")
WORDS = ("user", "assistant", "yes", "no", "answer", ":", "a", "dog", "cat", "is", "there", "see", "I", "?", ".")
# The parts of Qwen3's template that thinking depends on.
TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.role == 'assistant' and '<think>' not in message.content %}"
    "<|im_start|> assistant <think> </think> {{ message.content }} <|im_end|> "
    "{% else %}<|im_start|> {{ message.role }} {{ message.content }} <|im_end|> {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|> assistant "
    "{% if enable_thinking is defined and enable_thinking is false %}<think> </think> {% endif %}"
    "{% if opens is defined %}<think> {% endif %}{% endif %}"
)
NEW = 9


def _tokenizer(*, special=False):
    vocabulary = {word: place for place, word in enumerate((*SPECIAL, *WORDS))}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = hf.PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    made.add_tokens(["<think>", "</think>"], special_tokens=special)
    made.chat_template = TEMPLATE
    return made


def _model():
    torch.manual_seed(0)
    config = hf.Qwen3Config(
        vocab_size=32,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=128,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=None,
    )
    return hf.Qwen3ForCausalLM(config).eval()


@pytest.fixture(scope="module")
def thinker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("qwen3")
    _model().save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    return load(folder)


@pytest.fixture(scope="module")
def marks(thinker):
    return thinker.marks.opening, thinker.marks.closing


class Marked:
    """Puts the marks of thoughts into outputs: for each row, the step at which each stands; greedy elsewhere."""

    def __init__(self, prompt, *rows):
        self.prompt, self.rows = prompt, rows

    def __call__(self, input_ids, scores):
        step = input_ids.shape[1] - self.prompt
        scores = scores.clone()
        scores[:, 21:] = -1e9  # no mark by chance
        for row, placed in enumerate(self.rows):
            if step in placed:
                scores[row] = -1e9
                scores[row, placed[step]] = 0.0
        return scores


def parts(row, prompt, opening, closing):
    """Of each token of a row: prompt, thinking or answer, by hand."""
    found, is_open = [], False
    for place, token in enumerate(row):
        was_open, is_open = is_open, token == opening or (is_open and token != closing)
        found.append("prompt" if place < prompt else "thinking" if was_open or is_open else "answer")
    return found


def chosen(part, positions):
    return part in {"thinking": ["thinking"], "answer": ["answer"], "prompt | answer": ["prompt", "answer"]}[positions]


def by_hand(adapter, steering, ids, processor, new=NEW):
    (item,) = steering.attributes
    prompt = ids.shape[1]
    for _ in range(new):
        told = [parts(row, prompt, adapter.marks.opening, adapter.marks.closing) for row in ids.tolist()]
        sizes = [[item.strength * chosen(part, str(item.positions)) for part in row] for row in told]
        with torch.no_grad(), pushed(adapter, item.direction, torch.tensor(sizes)[..., None]):
            logits = adapter.model(input_ids=ids, use_cache=False).logits[:, -1]
        ids = torch.cat([ids, processor(ids, logits).argmax(-1, keepdim=True)], dim=1)
    return ids


def prompts(opening):
    return torch.tensor([[4, 6, 12, 13, 5, 4, 7, opening], [4, 6, 14, 15, 5, 4, 7, opening]])


CALLS = {
    "a dynamic cache": {},
    "no cache": {"use_cache": False},
    "a static cache": {"cache_implementation": "static", "disable_compile": True},
    "a prompt in parts": {"prefill_chunk_size": 3},
}


@pytest.mark.parametrize("positions", ["thinking", "answer", "prompt | answer"])
@pytest.mark.parametrize("call", CALLS)
def test_rows_that_close_their_thoughts_at_different_steps_are_steered_as_in_a_plain_loop(
    thinker, marks, call, positions
):
    opening, closing = marks
    ids = prompts(opening)
    processor = Marked(ids.shape[1], {2: closing}, {5: closing})
    steering = strong(thinker, positions=positions)
    wanted = by_hand(thinker, steering, ids, processor)
    assert not torch.equal(wanted, by_hand(thinker, strong(thinker, positions="thinking"), ids, processor)) or (
        positions == "thinking"
    )
    with steer(thinker, steering) as session:
        made = thinker.model.generate(ids, max_new_tokens=NEW, logits_processor=[processor], **CALLS[call])
    assert torch.equal(made, wanted)
    told = [parts(row[:-1], ids.shape[1], opening, closing) for row in wanted.tolist()]
    assert session.receipt().tokens == sum(chosen(part, positions) for row in told for part in row)


@pytest.mark.parametrize("positions", ["thinking", "answer"])
def test_a_compiled_static_cache_is_steered_alike(thinker, marks, positions):
    opening, closing = marks
    ids = prompts(opening)
    processor = Marked(ids.shape[1], {2: closing}, {5: closing})
    steering = strong(thinker, positions=positions)
    wanted = by_hand(thinker, steering, ids, processor)
    torch.compiler.reset()
    with steer(thinker, steering) as session:
        compiled = torch.compile(thinker.model, backend="eager", dynamic=False)
        cache = hf.StaticCache(config=thinker.model.config, max_cache_len=32)
        made = ids
        with session.call(Call(1, NEW, ids.shape[1], len(ids))), torch.no_grad():
            fed = ids
            for step in range(NEW):
                run = thinker.model if step == 0 else compiled
                logits = run(input_ids=fed, **{cache_name(thinker.model): cache}).logits[:, -1]
                fed = processor(made, logits).argmax(-1, keepdim=True)
                made = torch.cat([made, fed], dim=1)
    assert torch.equal(made, wanted)


@needs_newer
def test_drafts_that_were_not_taken_are_forgotten(thinker, marks):
    opening, closing = marks
    ids = torch.tensor([[4, 6, 12, 13, 12, 13, 12, 13, 5, 4, 7, opening]])
    for positions in ("thinking", "answer"):
        steering = strong(thinker, positions=positions)
        processor = Marked(ids.shape[1], {4: closing})
        with steer(thinker, steering):
            made = thinker.model.generate(
                ids, max_new_tokens=NEW, logits_processor=[processor], prompt_lookup_num_tokens=3
            )
        assert torch.equal(made, by_hand(thinker, steering, ids, processor))


def test_thoughts_may_begin_in_the_output_end_in_the_prompt_or_never_end(thinker, marks):
    opening, closing = marks
    ids = torch.tensor(
        [[4, 6, 12, 13, 5, 4, 7, 8], [4, 6, 5, 4, 7, opening, closing, 8], [4, 6, 12, 5, 4, 7, 8, opening]]
    )
    processor = Marked(8, {1: opening, 4: closing}, {}, {})
    for positions in ("thinking", "answer"):
        steering = strong(thinker, positions=positions)
        with steer(thinker, steering) as session:
            made = thinker.model.generate(ids, max_new_tokens=NEW, logits_processor=[processor])
        assert torch.equal(made, by_hand(thinker, steering, ids, processor))
        thought = 4 + 0 + (NEW - 1)  # steps 1 to 4 of the first row; all that is fed of the third
        assert session.receipt().tokens == (thought if positions == "thinking" else 3 * (NEW - 1) - thought)


def test_return_sequences_and_a_steering_for_each_row_are_told_apart(thinker, marks):
    opening, closing = marks
    ids = prompts(opening)
    processor = Marked(ids.shape[1], {2: closing}, {2: closing}, {5: closing}, {5: closing})
    both = [strong(thinker, positions="answer"), strong(thinker, positions="thinking")]
    with steer(thinker, both):
        made = thinker.model.generate(
            ids,
            max_new_tokens=NEW,
            num_return_sequences=2,
            do_sample=True,
            top_k=1,
            logits_processor=[processor],
        )
    for row, steering in enumerate(both):
        alone = by_hand(thinker, steering, ids[row : row + 1], Marked(ids.shape[1], {(2, 5)[row]: closing}))
        assert torch.equal(made[2 * row], alone[0])
        assert torch.equal(made[2 * row + 1], alone[0])


def test_schedules_gates_and_own_norms_hold_inside_a_part(thinker, marks):
    opening, closing = marks
    ids = prompts(opening)
    processor = Marked(ids.shape[1], {2: closing}, {5: closing})
    found = one(thinker, positions="answer", operator="rotate", strength=40.0)
    with steer(thinker, found) as session:
        thinker.model.generate(ids, max_new_tokens=NEW, logits_processor=[processor])
    # Behind the closing tokens at steps 2 and 5, up to the last token that is fed, at step 7.
    assert session.receipt().tokens == 5 + 2


def test_a_loop_of_ones_own_needs_the_whole_sequence(thinker, marks):
    opening, closing = marks
    ids = prompts(opening)
    cache = hf.DynamicCache(config=thinker.model.config)
    with torch.no_grad():
        thinker.model(input_ids=ids, **{cache_name(thinker.model): cache})
    with (
        pytest.raises(PositionsError, match="a cache of 8 tokens that were not seen"),
        steer(thinker, strong(thinker, positions="answer")),
    ):
        thinker.model(input_ids=torch.tensor([[closing], [closing]]), **{cache_name(thinker.model): cache})


def test_a_kept_cache_goes_on_inside_the_thoughts_that_it_holds(thinker, marks):
    ids = prompts(marks[0])
    steering, kept = strong(thinker, positions="thinking"), _kept(thinker, ids)
    with steer(thinker, steering):
        made = thinker.model.generate(ids, max_new_tokens=NEW, **{cache_name(thinker.model): kept})
    assert torch.equal(made, by_hand(thinker, steering, ids, lambda _, scores: scores))


def _kept(adapter, ids):
    cache = hf.DynamicCache(config=adapter.model.config)
    with torch.no_grad():
        adapter.model(input_ids=ids[:, :-1], **{cache_name(adapter.model): cache})
    return cache


def test_what_cannot_be_told_is_refused_by_name(thinker, marks, language):
    ids = prompts(marks[0])
    steering = strong(thinker, positions="answer")
    with pytest.raises(SteeringError, match="the rows of beams change places"), steer(thinker, steering):
        thinker.model.generate(ids, max_new_tokens=4, num_beams=2)
    embedded = thinker.model.get_input_embeddings()(ids)
    with pytest.raises(PositionsError, match="embeddings"), steer(thinker, steering):
        thinker.model.generate(inputs_embeds=embedded, max_new_tokens=4)
    with (
        pytest.raises(PositionsError, match="a model that thinks"),
        steer(language, strong(language, positions="answer")),
    ):
        language.model.generate(torch.tensor([[5, 6]]), max_new_tokens=4)
    with pytest.raises(PositionsError, match="a model that thinks"):
        mmsteer.record(language, [Sample("a", "a dog", output="a cat")], positions=Positions("thinking"))


def test_beams_without_a_cache_are_followed(thinker, marks):
    ids = prompts(marks[0])
    with steer(thinker, one(thinker, positions="thinking")) as session:
        thinker.model.generate(ids, max_new_tokens=3, num_beams=2, use_cache=False)
    assert session.receipt().tokens


def test_outputs_hold_their_thoughts_also_where_the_template_opens_them(tmp_path):
    _model().save_pretrained(tmp_path)
    _tokenizer(special=True).save_pretrained(tmp_path)
    adapter = load(tmp_path)
    closing = adapter.marks.closing
    chats = [Chat(({"role": "user", "content": "a dog ?"},), {"opens": True}), "a dog ?"]
    lengths = [len(adapter.reading([Sample("a", chat)]).arguments["input_ids"][0]) for chat in chats]
    processor = Marked(max(lengths), {2: closing}, {})
    made = adapter.generate(
        [Sample(str(at), chat) for at, chat in enumerate(chats)], Sampling(5, processors=(processor,))
    )
    assert made[0].output.startswith("<think>")
    assert made[0].output.count("</think>") == 1
    assert "think" not in made[1].output
    # Put behind its prompt again, what the prompt opens is not opened twice.
    tokens = adapter.reading(made[:1]).arguments["input_ids"][0].tolist()
    assert tokens.count(adapter.marks.opening) == 1
    assert len(tokens) == lengths[0] + 5


def test_reading_tells_thoughts_from_answers(thinker):
    sample = Sample("a", Raw("a dog ?"), output="<think> I see </think> yes .")
    whole = mmsteer.record(thinker, [sample], pool="tokens")
    site = thinker.sites[-1]
    for positions, count in {"thinking": 4, "answer": 2, "generated": 6}.items():
        read = mmsteer.record(thinker, [sample], positions=Positions(positions), pool="tokens")
        assert int((read.values[site][0].abs().sum(-1) > 0).sum()) == count
    assert int((whole.values[site][0].abs().sum(-1) > 0).sum()) == 9


def test_the_next_word_stands_behind_a_prefilled_answer(thinker):
    asked = {"role": "user", "content": "is there a dog ?"}
    closed = Chat((asked,), {"enable_thinking": False})
    filled = Chat((asked, {"role": "assistant", "content": "answer : "}))
    tokens = {
        name: thinker.processor.decode(thinker.reading([Sample("a", chat)]).arguments["input_ids"][0])
        for name, chat in {"closed": closed, "filled": filled}.items()
    }
    assert tokens["closed"].endswith("<think> </think>")
    assert tokens["filled"].endswith("<think> </think> answer :")
    for name, chat in {"closed": closed, "filled": filled}.items():
        found = thinker.next_word([Sample("a", chat)], ["yes", "no"])
        ids = torch.tensor([thinker.processor(tokens[name])["input_ids"]])
        with torch.no_grad():
            wanted = thinker.model(ids).logits[0, -1].log_softmax(-1)
        torch.testing.assert_close(found[0], wanted[thinker.processor.convert_tokens_to_ids(["yes", "no"])])
