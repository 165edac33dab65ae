"""Pictures → captions and answers: one batch under one steering."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from transformers import LogitsProcessor

from mmsteer import contrastive
from mmsteer.adapters import LanguageModelAdapter
from mmsteer.eval.answer_words import after_thinking
from mmsteer.eval.odds import odds_of, verdict
from mmsteer.eval.pope import parse_answer
from mmsteer.recipes.receipts import receipt_json
from mmsteer.recipes.rows.task import Item
from mmsteer.recipes.vision.pictures import Asked
from mmsteer.recipes.vision.schema import Ask, Captions, Pope
from mmsteer.recipes.vision.verifying import verified
from mmsteer.steering import Session, Steering, steer
from mmsteer.types import Call, Chat, Sample, Sampling
from mmsteer.verified import OwnAnswer

Output = dict[str, Any]
DECODERS: Mapping[str, Callable[..., LogitsProcessor]] = {
    "vcd": contrastive.vcd,
    "icd": contrastive.icd,
    "text_only": contrastive.text_only,
}


def ask_all(
    adapter: LanguageModelAdapter,
    steering: Steering | Sequence[Steering],
    decode: Mapping[str, Any],
    items: Sequence[Item],
    ask: Ask,
    batch: int,
    after: Callable[[Item], Item],
) -> tuple[list[Output], dict[str, Any]]:
    """Ask everything about a batch of pictures.

    Args:
        adapter: The model.
        steering: What is applied to every row; or to each picture that is described, where nothing else is asked.
        decode: Contrastive decoding or verification, `{}` for none.
        items: What is shown.
        ask: What is asked.
        batch: Rows that run together.
        after: The picture behind each.

    Returns:
        For each picture `caption`, `answers` and `logits`, each None where that was not asked, with verification `said`
        and `denied`; and the receipt.
    """
    verify = decode.get("verify")
    decode = {name: options for name, options in decode.items() if name != "verify"}
    samples = {item.index: item.row.sample(adapter) for item in items}
    with steer(adapter, steering) as session:
        captions = _captions(adapter, decode, items, samples, ask.caption) if ask.caption else {}
        outputs = {index: {"caption": text} for index, text in captions.items()}
        if verify and ask.caption:
            other = {one.index: after(one).row.sample(adapter) for one in items} if verify["image"] == "next" else None
            read = OwnAnswer(adapter, words=tuple(verify["words"]))
            outputs = verified(read, samples, captions, ask.caption, verify["least"], other)
        answers = _answers(adapter, session, decode, items, samples, ask.pope, batch) if ask.pope else {}
        receipt = session.receipt()
    nothing = {"caption": None, "answers": None, "logits": None}
    found = [nothing | outputs.get(one.index, {}) | answers.get(one.index, {}) for one in items]
    return found, receipt_json(receipt)


def _captions(
    adapter: LanguageModelAdapter,
    decode: Mapping[str, Any],
    items: Sequence[Item],
    samples: Mapping[int, Sample],
    how: Captions,
) -> dict[int, str]:
    shown = [item for item in items if item.row.objects is not None]
    asked = [samples[item.index] for item in shown]
    if not asked:
        return {}
    processors = tuple(_processors(adapter, decode, asked, shown))
    sampling = Sampling(how.tokens, temperature=how.temperature, beams=how.beams, processors=processors)
    made = adapter.generate(asked, sampling, _seeds(shown))
    return {item.index: after_thinking(one.output).strip() for item, one in zip(shown, made, strict=True)}


def _answers(
    adapter: LanguageModelAdapter,
    session: Session,
    decode: Mapping[str, Any],
    items: Sequence[Item],
    samples: Mapping[int, Sample],
    how: Pope,
    batch: int,
) -> dict[int, Output]:
    key = "logits" if how.answer == "logits" else "answers"
    found: dict[int, Output] = {item.index: {key: []} for item in items if item.row.questions}
    rows = [(item, question.text) for item in items for question in item.row.questions]
    for start in range(0, len(rows), batch):
        some = rows[start : start + batch]
        asked = [replace(samples[item.index], prompt=_asked(text, how)) for item, text in some]
        if how.answer == "logits":
            # The answer is one step long, so what steers generated tokens alone is not looked for in the prompt.
            with session.call(Call(steps=1)):
                said: list[Any] = _logits(adapter, asked, how)
        else:
            processors = tuple(_processors(adapter, decode, asked, [item for item, _ in some]))
            made = adapter.generate(asked, Sampling(how.tokens, processors=processors))
            said = [one.output for one in made]
        for (item, _), one in zip(some, said, strict=True):
            found[item.index][key].append(one)
    return found


def _asked(question: str, how: Pope) -> str | Chat:
    """A question in the chat template; what the answer begins with stands behind thoughts that are closed."""
    if how.prefill is None and not how.template:
        return question
    begun = [] if how.prefill is None else [{"role": "assistant", "content": how.prefill}]
    return Chat(({"role": "user", "content": question}, *begun), how.template)


def _logits(adapter: LanguageModelAdapter, samples: Sequence[Sample], how: Pope) -> list[tuple[float, float]]:
    """Log P(yes) - log P(no) of each next word, and P(yes) + P(no)."""
    return [odds_of(words) for words in adapter.next_word(samples, how.words).tolist()]


def _processors(
    adapter: LanguageModelAdapter, decode: Mapping[str, Any], samples: Sequence[Sample], items: Sequence[Item]
) -> list[LogitsProcessor]:
    return [
        DECODERS[name](adapter, samples, **options, **({"seeds": _seeds(items)} if name == "vcd" else {}))
        for name, options in decode.items()
    ]


def _seeds(items: Sequence[Item]) -> list[int]:
    return [item.seed for item in items]


def outcomes(questions: Sequence[Asked], output: Output, pope: Pope) -> Iterator[dict[str, Any]]:
    """The questions of a picture with what was answered, and whether that was right.

    Args:
        questions: What was asked about it.
        output: What the model said.
        pope: How it was asked, and how answers are read.
    """
    texts = output["answers"] or [None] * len(questions)
    logits = output["logits"] or [None] * len(questions)
    for asked, text, odds in zip(questions, texts, logits, strict=True):
        logit, mass = odds or (None, None)
        decision = parse_answer(text, pope.parser, asked.label) if logit is None else verdict(logit, mass)
        yield {
            "question": asked.text,
            "label": asked.label,
            "splits": list(asked.splits),
            "answer": text,
            "logit": logit,
            "mass": mass,
            "outcome": _outcome(decision, asked.label),
        }


def _outcome(decision: str | None, label: str) -> str:
    if decision is None:
        return "unparsed"
    return ("t" if decision == label else "f") + ("p" if decision == "yes" else "n")
