"""Samples as arguments of a vision-language model: prompts padded on the left, answers on the right.

Padding the two apart puts the end of every prompt at the same place, so that one clock serves the batch.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from mmsteer.adapters.families import Family
from mmsteer.adapters.images import upright_rgb
from mmsteer.adapters.wording import check_text
from mmsteer.errors import AdapterError
from mmsteer.types import Sample


class Prompts:
    """Writes prompts in the words of a model's chat template, and encodes them with its processor.

    Attributes:
        tokenizer: The tokenizer.
    """

    def __init__(self, processor: Any, family: Family, sees: bool) -> None:
        self._processor = processor
        self._family = family
        self._sees = sees
        self.tokenizer = getattr(processor, "tokenizer", processor)
        if self.tokenizer.pad_token is None:
            # Padding is masked, so any token serves; without one a batch cannot be made.
            self.tokenizer.pad_token = self.tokenizer.eos_token

    def encode(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """Prompts with their images as arguments of `generate`, padded on the left.

        Args:
            samples: What to say and to show; answers are left out.

        Raises:
            AdapterError: There are none, a prompt is empty, or an image cannot be seen.
        """
        if not samples:
            raise AdapterError("no sample was given; give one or more")
        for sample in samples:
            check_text(sample.id, sample.text or "", self._processor)
        images = [self._images(sample) for sample in samples]
        if not self._family.mixes and any(images) and not all(images):
            bare = next(sample.id for sample, some in zip(samples, images, strict=True) if not some)
            raise AdapterError(f"{bare}: this model takes no batch in which some prompts have images; run them apart")
        texts = [self._text(sample, len(some)) for sample, some in zip(samples, images, strict=True)]
        shown = {"images": images} if any(images) else {}
        # A template writes the first token itself.
        bos = self.tokenizer.bos_token
        special = not (bos and texts[0].startswith(bos))
        encoded = self._processor(
            text=texts, **shown, padding=True, padding_side="left", add_special_tokens=special, return_tensors="pt"
        )
        # PaliGemma's processor makes labels for training, too.
        return {name: value for name, value in encoded.items() if name != "labels"}

    def answered(self, arguments: Mapping[str, Tensor], answers: Sequence[str | None]) -> dict[str, Tensor]:
        """Arguments with teacher-forced answers after the prompts, padded on the right.

        Args:
            arguments: What `encode` returned.
            answers: One a prompt; None for none.
        """
        words = [self.words(answer) if answer else [] for answer in answers]
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

        Args:
            text: The words.

        Raises:
            AdapterError: They are no text, or stand for an image.
        """
        check_text("what the model says", text, self._processor)
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _images(self, sample: Sample) -> list[Image.Image]:
        content = sample.content
        if content is None:
            several: Sequence[Any] = ()
        else:
            several = content if isinstance(content, list | tuple) else (content,)
        if several and not self._sees:
            raise AdapterError(f"{sample.id}: this model sees no images; give samples whose content is None")
        if not several and self._family.needs_image:
            raise AdapterError(f"{sample.id}: this model cannot run without an image; give one")
        if len(several) > 1 and self._family.one_image:
            raise AdapterError(
                f"{sample.id}: {len(several)} images, but this model sees one a prompt; paste them into one"
            )
        strange = [type(one).__name__ for one in several if not isinstance(one, Image.Image)]
        if strange:
            raise AdapterError(
                f"{sample.id}: expected a PIL image, a tuple of them or None, got {strange[0]}; read files with "
                "mmsteer.adapters.read_image"
            )
        return [upright_rgb(one, sample.id) for one in several]

    def _text(self, sample: Sample, images: int) -> str:
        if not (sample.text or "").strip():
            raise AdapterError(f"{sample.id}: the prompt is empty; say something, such as 'Describe this image.'")
        if not getattr(self._processor, "chat_template", None):
            return self._marks(images) + str(sample.text)
        words = {"type": "text", "text": sample.text}
        content = [{"type": "image"}] * images + [words] if self._sees else sample.text
        messages = [{"role": "user", "content": content}]
        return str(self._processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))

    def _marks(self, images: int) -> str:
        """What stands for images in a prompt without a chat template."""
        if not images or not self._family.marked:
            return ""
        # Gemma 3 marks an image by the token that begins it, others by the image's own.
        mark = getattr(self._processor, "boi_token", None) or self._processor.image_token
        return f"{mark}\n" * images
