"""Samples as arguments of a vision-language model: prompts padded on the left, answers on the right.

Padding the two apart puts the end of every prompt at the same place, so that one clock serves the batch.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jinja2 import TemplateError
from PIL import Image
from torch import Tensor

from mmsteer.adapters.families import Family
from mmsteer.adapters.wording import check_text, marks_of
from mmsteer.errors import AdapterError
from mmsteer.images import upright_rgb
from mmsteer.types import Chat, Raw, Sample, marks_in, open_behind


class Prompts:
    """Writes prompts in the words of a model's chat template, and encodes them with its processor.

    `marks`: what opens and closes thoughts in its vocabulary; None where it has no such tokens.
    """

    def __init__(self, processor: Any, family: Family, config: Any, *, sees: bool) -> None:
        self._processor = processor
        self._family = family
        self._sees = sees
        self._of_images = marks_of(processor, config) if sees else frozenset()
        self.tokenizer = getattr(processor, "tokenizer", processor)
        self.marks = marks_in(self.tokenizer.get_vocab())
        if self.tokenizer.pad_token is None:
            # Padding is masked, so any token serves; without one a batch cannot be made.
            self.tokenizer.pad_token = self.tokenizer.eos_token

    def encode(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """Prompts with their images as arguments of `generate`, padded on the left.

        `samples`: what to say and to show; answers are left out.

        Raises:
            AdapterError: There are none, a prompt is empty, or an image cannot be seen.
        """
        if not samples:
            raise AdapterError("no sample was given; give one or more")
        for sample in samples:
            check_text(sample.id, sample.text or "", self._of_images)
        images = [self._images(sample) for sample in samples]
        if not self._family.mixes and any(images) and not all(images):
            bare = next(sample.id for sample, some in zip(samples, images, strict=True) if not some)
            raise AdapterError(f"{bare}: this model takes no batch in which some prompts have images; run them apart")
        written = [self._text(sample, len(some)) for sample, some in zip(samples, images, strict=True)]
        texts, special = self._begun(written)
        shown = {"images": images} if any(images) else {}
        encoded = self._processor(
            text=texts, **shown, padding=True, padding_side="left", add_special_tokens=special, return_tensors="pt"
        )
        # PaliGemma's processor makes labels for training, too.
        return {name: value for name, value in encoded.items() if name != "labels"}

    def answered(self, arguments: Mapping[str, Tensor], answers: Sequence[str | None]) -> dict[str, Tensor]:
        """Arguments with teacher-forced answers after the prompts, padded on the right.

        `arguments`: what `encode` returned.
        `answers`: one a prompt; None for none.
        """
        words = [self.words(answer) if answer else [] for answer in answers]
        words = [self._behind(prompt, some) for prompt, some in zip(arguments["input_ids"], words, strict=True)]
        longest = max(map(len, words))
        ids = torch.full((len(words), longest), self.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for row, some in enumerate(words):
            ids[row, : len(some)] = torch.tensor(some, dtype=ids.dtype)
            mask[row, : len(some)] = 1
        tails = {
            "input_ids": ids,
            "attention_mask": mask,
            "token_type_ids": torch.full_like(ids, self._family.answer_type),
            "mm_token_type_ids": torch.zeros_like(ids),
        }
        extended = {name: torch.cat([arguments[name], tail], 1) for name, tail in tails.items() if name in arguments}
        if "cross_attention_mask" in arguments:
            # An answer sees the images that the end of its prompt sees.
            seen = arguments["cross_attention_mask"]
            extended["cross_attention_mask"] = torch.cat([seen, seen[:, -1:].repeat(1, longest, 1, 1)], 1)
        return {**arguments, **extended}

    def words(self, text: str) -> list[int]:
        """The tokens of words that the model says.

        Raises:
            AdapterError: They are no text, or stand for an image.
        """
        check_text("what the model says", text, self._of_images)
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def words_of_tokens(self, text: str) -> list[int]:
        """For each token of a text the index of its word; white space is of the word that follows it.

        Only fast tokenizers tell where their tokens lie; for others the list is empty.
        """
        if not self.tokenizer.is_fast or not text.strip():
            return []
        starts = [word.start() for word in re.finditer(r"\S+", text)]
        spans = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return [_word_at(starts, text, *span) for span in spans]

    def said(self, prompts: Tensor, made: Tensor) -> list[str]:
        """What a model put out, as text, with the tags around its thoughts, also where the prompt opens them.

        `prompts`: the tokens that it was given, (rows, tokens).
        `made`: those that it made, (rows, tokens).
        """
        if self.marks is None:
            return [text.strip() for text in self._decoded(made)]
        never = torch.zeros(len(prompts), dtype=torch.bool, device=prompts.device)
        begun = open_behind(prompts, self.marks, never)[:, -1].tolist()
        return [self._tagged(row, opened=opened) for row, opened in zip(made, begun, strict=True)]

    def _tagged(self, made: Tensor, *, opened: bool) -> str:
        """One output; its tags are written here, because decoding leaves them out where they are special tokens."""
        assert self.marks is not None
        names = dict(zip((self.marks.opening, self.marks.closing), self.marks.tags, strict=True))
        said = [self.marks.tags[0]] * opened
        ends = [place for place, token in enumerate(made.tolist()) if token in names]
        for start, end in zip([0, *(end + 1 for end in ends)], [*ends, len(made)], strict=True):
            said += [*self._decoded(made[None, start:end]), *(names[int(token)] for token in made[end : end + 1])]
        return "".join(said).strip()

    def _decoded(self, tokens: Tensor) -> list[str]:
        return list(self.tokenizer.batch_decode(tokens, skip_special_tokens=True))

    def _behind(self, prompt: Tensor, words: list[int]) -> list[int]:
        """An output behind its prompt, without the tag that opens its thoughts where the prompt has opened them."""
        if self.marks is None or words[:1] != [self.marks.opening]:
            return words
        never = torch.zeros(1, dtype=torch.bool, device=prompt.device)
        return words[1:] if open_behind(prompt[None], self.marks, never)[0, -1] else words

    def _begun(self, texts: Sequence[str]) -> tuple[list[str], bool]:
        """Texts that all begin alike, and whether the tokenizer writes the first token, as templates do themselves."""
        bos = self.tokenizer.bos_token
        begun = [bool(bos) and text.startswith(bos) for text in texts]
        if not any(begun) or all(begun):
            return list(texts), not any(begun)
        first = bos if self.tokenizer("")["input_ids"][:1] == [self.tokenizer.bos_token_id] else ""
        return [text if has else first + text for text, has in zip(texts, begun, strict=True)], False

    def _images(self, sample: Sample) -> list[Image.Image]:
        several = sample.images
        if not isinstance(several, list | tuple):
            raise AdapterError(f"{sample.id}: images are given as a tuple of PIL images, not {type(several).__name__}")
        if sample.audio_prompt is not None or sample.melody is not None:
            raise AdapterError(f"{sample.id}: this model takes no audio; give samples without audio prompt and melody")
        if several and not self._sees:
            raise AdapterError(f"{sample.id}: this model sees no images; give samples without")
        if not several and self._family.needs_image:
            raise AdapterError(f"{sample.id}: this model cannot run without an image; give one")
        if len(several) > 1 and self._family.one_image:
            raise AdapterError(
                f"{sample.id}: {len(several)} images, but this model sees one a prompt; paste them into one"
            )
        strange = [type(one).__name__ for one in several if not isinstance(one, Image.Image)]
        if strange:
            raise AdapterError(
                f"{sample.id}: expected PIL images, got {strange[0]}; read files with mmsteer.adapters.read_image"
            )
        return [upright_rgb(one, sample.id) for one in several]

    def _text(self, sample: Sample, images: int) -> str:
        if not sample.text.strip():
            raise AdapterError(f"{sample.id}: the prompt is empty; say something, such as 'Describe this image.'")
        if isinstance(sample.prompt, Raw):
            return self._marks(images) + sample.text
        has_template = bool(getattr(self._processor, "chat_template", None))
        if isinstance(sample.prompt, Chat):
            if not has_template:
                raise AdapterError(f"{sample.id}: this model has no chat template; give a prompt or raw text")
            return self._templated(sample.id, sample.prompt, images)
        if not has_template:
            return self._marks(images) + sample.text
        return self._templated(sample.id, Chat(({"role": "user", "content": sample.text},)), images)

    def _templated(self, name: str, chat: Chat, images: int) -> str:
        roles = [turn["role"] for turn in chat.messages]
        messages: list[Mapping[str, Any]] = list(chat.messages)
        if self._sees:
            first = roles.index("user") if "user" in roles else 0
            messages = [self._parts(turn, images if at == first else 0) for at, turn in enumerate(messages)]
        open_ended = roles[-1] == "assistant"
        try:
            written = self._processor.apply_chat_template(
                messages,
                add_generation_prompt=not open_ended,
                continue_final_message=open_ended,
                tokenize=False,
                **chat.options,
            )
        except TemplateError as cause:
            raise AdapterError(f"{name}: the chat template refuses these messages: {cause}") from None
        for turn in chat.messages:
            if turn["role"] in ("system", "user") and turn["content"].strip() not in written:
                raise AdapterError(
                    f"{name}: the chat template of this model leaves out the {turn['role']}'s words; put them into a "
                    "turn that it writes, or give raw text"
                )
        return str(written)

    def _parts(self, turn: Mapping[str, str], images: int) -> dict[str, Any]:
        """A turn whose content is a list of parts, as processors of images take it."""
        words = {"type": "text", "text": turn["content"]}
        return {"role": turn["role"], "content": [{"type": "image"}] * images + [words]}

    def _marks(self, images: int) -> str:
        """What stands for images in a prompt without a chat template."""
        if not images or not self._family.marked:
            return ""
        # Gemma 3 marks an image by the token that begins it, others by the image's own.
        mark = getattr(self._processor, "boi_token", None) or self._processor.image_token
        return f"{mark}\n" * images


def _word_at(starts: Sequence[int], text: str, start: int, stop: int) -> int:
    """The word, by the starts of all, that a stretch of a text lies in or leads to."""
    white = len(text[start:stop]) - len(text[start:stop].lstrip())
    within = bisect_right(starts, min(start + white, stop - 1)) - 1
    leads = within + (white == stop - start)
    return min(max(leads, 0), len(starts) - 1)
