"""Vision-language models of transformers, and plain causal language models: one adapter.

Three stacks: `text`, the blocks of the language model; `vision`, those of the vision tower; and `projector`, the one
module between them. The clock of `text` is the cache position. An image is seen at once, so `vision` and `projector`
know one step, 0.

Families differ in `families.py` alone. Two differences show in what is read. Qwen3-VL adds further visual features
after its first blocks, outside of them: what is read there is the state before that. In Mllama the image enters by
cross-attention: no token of `text` is an `image` token.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from inspect import signature
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import StoppingCriteria, StoppingCriteriaList

from mmsteer import hooks
from mmsteer.adapters import locate
from mmsteer.adapters.caches import cache_of, cached_tokens
from mmsteer.adapters.families import FAMILIES, TEXT_ONLY
from mmsteer.adapters.fingerprint import Weights
from mmsteer.adapters.language_call import language_call
from mmsteer.adapters.ported import Ported
from mmsteer.adapters.prompts import Prompts
from mmsteer.adapters.sampling import check_seeds, checked_sampling, drawing
from mmsteer.adapters.seen_images import PROJECTOR, VISION, SeenImages
from mmsteer.adapters.tokens import begun_rows, real_tokens, text_kinds
from mmsteer.adapters.wrapped import execution_device
from mmsteer.errors import AdapterError
from mmsteer.types import (
    Call,
    Forward,
    Layout,
    Logits,
    Port,
    Reading,
    Sample,
    Sampling,
    Site,
    Wrap,
    as_samples,
)

ANY_LENGTH = 32_768
"""Output steps that are planned for where neither the call nor the model sets a limit, as recurrent models do not."""

_LENGTHS = ("max_position_embeddings", "max_seq_len")

TEXT = "text"


class LanguageModelAdapter(Ported):
    """Reads, steers and runs a vision-language model or a plain causal language model.

    Attributes:
        model: The model.
        processor: Its processor; the tokenizer, where it sees no images.
        generator: `text`.
        widths: Every site and the width of its hidden state.
        rate: None: words have no duration.
        max_steps: Positions that the language model was made for; `ANY_LENGTH` where there are none.
        sampling: Greedy, unless asked otherwise.
        output_kind: `text`.
        sample_rate: None.
        sees: Whether prompts may have images.
        marks: What opens and closes its thoughts; None where its vocabulary has no such tokens.
    """

    generator = TEXT
    output_kind: Literal["text", "audio"] = "text"
    sample_rate: int | None = None
    rate: float | None = None
    sampling = Sampling(temperature=0.0, top_k=0, top_p=1.0, guidance=1.0, beams=1)

    def __init__(self, model: Any, processor: Any) -> None:
        self.model = model
        self.processor = processor
        self._held = Weights(model)
        self._family = FAMILIES.get(model.config.model_type, TEXT_ONLY)
        self._images = SeenImages(model, self._family)
        self.sees = self._images.tower is not None
        self._prompts = Prompts(processor, self._family, model.config, sees=self.sees)
        self.marks = self._prompts.marks
        config = model.config.get_text_config(decoder=True)
        self.max_steps: int = next((getattr(config, name) for name in _LENGTHS if hasattr(config, name)), ANY_LENGTH)
        self._ports = self._located()
        self.widths: Mapping[Site, int] = {site: self._width(site, config.hidden_size) for site in self._ports}

    @property
    def sites(self) -> tuple[Site, ...]:
        """The residual stream after every block, and the projector, in the order of the layers."""
        return tuple(site for site in self.widths if site.point == "block")

    @property
    def device(self) -> torch.device:
        """Where the model takes its input."""
        return execution_device(self.model)

    def stack(self, name: str) -> nn.Module:
        """The module whose forward is one tick of the clock of a stack.

        For `text` it is the module under the head, which is given both the tokens and the cache. A vision tower's
        first block runs once an image batch and sees what all of them see.

        Args:
            name: `text`, `vision` or `projector`.
        """
        if name == TEXT:
            # Whose forward is compiled makes the prompt's forward in a graph too, where the clock cannot plan.
            is_compiled = hasattr(self.model.forward, "_torchdynamo_orig_callable")
            return self.model if is_compiled else self._family.running(self.model)
        return self.module(Site(name, 0))

    def entries(self, wrap: Wrap) -> AbstractContextManager[None]:
        """Stand around the model's own `generate`.

        Args:
            wrap: Makes what is called instead.
        """
        return hooks.around(self.model, "generate", wrap)

    def call(self, arguments: Mapping[str, Any]) -> Call:
        """Read the arguments of `generate`.

        Args:
            arguments: Its arguments, by name.

        Raises:
            AdapterError: They ask for classifier-free guidance, which runs a second sequence beside the first, or for
                token healing, which rewrites the prompt; or prompts are padded on the right.
        """
        return language_call(self.model, self._family, self._images, self.marks, arguments)

    def forward(self, stack: str, arguments: Mapping[str, Any]) -> Forward:
        """Read the arguments of one forward of a stack.

        Args:
            stack: Its name.
            arguments: Its arguments, by name.
        """
        if stack != TEXT:
            return self._images.forward(stack, arguments)
        tokens = _tokens(arguments)
        return Forward(
            rows=tokens.shape[0],
            width=tokens.shape[1],
            start=cached_tokens(arguments),
            cache=cache_of(arguments),
            ids=arguments.get("input_ids") if self.marks else None,
        )

    def layout(self, stack: str, forward: Forward, arguments: Mapping[str, Any], prompt: int) -> Layout:
        """What the tokens of a forward are.

        Args:
            stack: The stack's name.
            forward: The forward.
            arguments: Its arguments, by name.
            prompt: How many tokens of the sequence are given.
        """
        if stack != TEXT:
            return self._images.layout(stack, forward, arguments, self.device)
        tokens = _tokens(arguments)
        mask = arguments.get("attention_mask")
        real = real_tokens(forward, mask, tokens.device)
        begun, image = begun_rows(forward, mask, real), self._images.tokens(forward, arguments, real)
        return Layout(text_kinds(forward, real, begun, image, prompt), prompt - 1)

    def produced(self, output: Any, call: Call) -> int:
        """How many tokens a finished `generate` made, to the end of its longest row.

        Args:
            output: The tokens, (rows, tokens), or transformers' output that holds them.
            call: What was known of it.
        """
        tokens = output if isinstance(output, Tensor) else output.sequences
        return int(tokens.shape[1]) - call.repeated

    def canary(self) -> Tensor:
        """Logits of one word under one small image."""
        seen = (Image.linear_gradient("L").resize((32, 32)).convert("RGB"),) if self.sees else ()
        with hooks.evaluating(self.model):
            return self.read(self.reading([Sample("canary", "a", seen)]))

    def reading(self, samples: Sequence[Sample], *, guided: bool = False) -> Reading:
        """Images, prompts and answers in the token layout of generation.

        Args:
            samples: PIL images with their prompt, and what the model is taken to have answered.
            guided: Not for these models.

        Raises:
            AdapterError: A prompt is empty, an image cannot be seen, or guidance is asked for.
        """
        if guided:
            raise AdapterError("this model has no null branch; read it without guidance")
        arguments = self._prompts.encode(samples)
        prompt = arguments["input_ids"].shape[1]
        arguments = self._prompts.answered(arguments, [sample.output for sample in samples])
        if not self._has_own_positions:
            real = arguments["attention_mask"]
            position = (real.cumsum(1) - 1).clamp(min=0) + self._family.first_position
            arguments["position_ids"] = position
        return Reading(
            self._placed(arguments), Call(1, None, prompt, all_see=self._images.all_see(arguments["input_ids"]))
        )

    def read(self, reading: Reading, *, gradient: bool = False, logits: Logits = "all") -> Tensor:
        """Run the forward of `reading`; logits, (rows, tokens, 1, vocabulary).

        Args:
            reading: What `reading` returned.
            gradient: Keep a graph, for a backward pass.
            logits: Of which tokens they are needed: `all`, `outputs` (from the last token of the prompt on), or the
                `last`; where the model can leave out the others, it does.
        """
        with torch.set_grad_enabled(gradient):
            found: Tensor = self.model(**reading.arguments, use_cache=False, **self._kept(reading, logits)).logits
        return found.unsqueeze(2)

    def _weights(self) -> Weights:
        return self._held

    def _kept(self, reading: Reading, logits: Logits) -> dict[str, int]:
        if logits == "all" or not self._can_leave_out_logits:
            return {}
        outputs = reading.arguments["input_ids"].shape[1] - (reading.call.prompt or 1) + 1
        return {"logits_to_keep": 1 if logits == "last" else outputs}

    @cached_property
    def _can_leave_out_logits(self) -> bool:
        return "logits_to_keep" in signature(self.model.forward).parameters

    def tokens(self, reading: Reading) -> Tensor:
        """The tokens of a reading, (rows, tokens, 1).

        Args:
            reading: What `reading` returned.
        """
        return torch.as_tensor(reading.arguments["input_ids"]).unsqueeze(2)

    def token_name(self, token: int) -> str:
        """A token as the tokenizer writes it.

        Args:
            token: Its number.
        """
        return str(self._prompts.tokenizer.decode([token]))

    def words_of_tokens(self, output: str) -> list[int]:
        """For each token of an output the index of its word, as white space divides it; empty for slow tokenizers.

        Args:
            output: What the model said.
        """
        return self._prompts.words_of_tokens(output)

    def unembed(self, state: Tensor) -> Tensor:
        """All that follows the last block, (..., 1, vocabulary): the last norm, the head, and what a family does after.

        The model says it itself, in one small forward in which the states stand in place of the last block's output.

        Args:
            state: Hidden states after the last block, (..., width).

        Raises:
            AdapterError: The head reads more than this state, as Gemma 3n's does.
        """
        rows = state.reshape(1, -1, state.shape[-1]).to(self.device, self.model.dtype)
        last = max(site for site in self.sites if site.stack == TEXT)
        if self.port(last).stream is not None:
            raise AdapterError(
                f"{last}: the head of this model reads several states side by side, of which this is one; "
                "read the logits of a whole forward instead"
            )
        with hooks.edits({self.module(last): lambda _: rows}):
            logits = self.canary()
        return logits.reshape(*state.shape[:-1], 1, logits.shape[-1])

    def steps(self, sampling: Sampling) -> int:
        """How many tokens a sampling may make.

        Args:
            sampling: The sampling.

        Raises:
            AdapterError: It asks for what this model cannot do.
        """
        full = checked_sampling(sampling, self.sampling, "tokens")
        assert full.tokens is not None
        assert full.beams is not None
        if not 1 <= full.tokens <= self.max_steps:
            raise AdapterError(f"{full.tokens} tokens cannot be generated; choose from 1 to {self.max_steps}")
        if full.temperature and full.beams > 1:
            raise AdapterError(
                f"{full.beams} beams at temperature {full.temperature:g}; search with beams, or sample, not both"
            )
        if full.guidance != 1:
            raise AdapterError("this model has no guidance; leave it out, and contrast prompts by a direction instead")
        return full.tokens

    def generate(
        self,
        samples: Sequence[Sample | str],
        sampling: Sampling = Sampling(tokens=64),
        seeds: Sequence[int] | None = None,
        *,
        stopping: Sequence[StoppingCriteria] = (),
    ) -> list[Sample]:
        """The samples with their answers.

        Args:
            samples: Prompts, with their images.
            sampling: How answers are sampled.
            seeds: One a sample, where the temperature is not 0; the same seed draws the same noise in any batch.
            stopping: Further stopping criteria of transformers: they see the tokens of all rows after every step.

        Raises:
            AdapterError: A sample cannot be shown, already has an answer, or the sampling cannot be done.
        """
        asked, tokens, full = as_samples(samples), self.steps(sampling), sampling.filled(self.sampling)
        check_seeds(asked, seeds, full)
        inputs = self._placed(self._prompts.encode(asked))
        with torch.no_grad():
            output = self.model.generate(
                **inputs,
                max_new_tokens=tokens,
                do_sample=False,
                num_beams=full.beams,
                logits_processor=[*full.processors, *drawing(full, seeds, 1)],
                stopping_criteria=StoppingCriteriaList(stopping),
                pad_token_id=self._prompts.tokenizer.pad_token_id,
            )
        ids = inputs["input_ids"]
        made = self.written(ids, output[:, ids.shape[1] :])
        return [replace(one, output=text) for one, text in zip(asked, made, strict=True)]

    def written(self, prompts: Tensor, made: Tensor) -> list[str]:
        """Tokens that the model made as text, without white space at its ends.

        Args:
            prompts: The tokens that it was given, (rows, tokens).
            made: Those that it made, (rows, tokens).
        """
        return self._prompts.said(prompts, made)

    def next_word(self, samples: Sequence[Sample], words: Sequence[str]) -> Tensor:
        """How likely each word is to come next, after the prompt and the answer so far.

        Args:
            samples: Images with their prompts.
            words: Words that begin with different tokens, such as `Yes` and `No`.

        Returns:
            Log-probabilities of each word's first token, (samples, words) float32.

        Raises:
            AdapterError: Two words begin with the same token, or a sample cannot be shown.
        """
        firsts = [self._first_token(word) for word in words]
        if len(set(firsts)) < len(firsts):
            raise AdapterError(f"two of the words {', '.join(words)} begin with the same token; choose others")
        reading = self.reading(samples)
        real = reading.arguments["attention_mask"]
        last = torch.where(real != 0, torch.arange(real.shape[1], device=real.device), -1).amax(dim=1)
        logits = self.read(reading)[:, :, 0].to(last.device)
        return logits[torch.arange(len(last), device=last.device), last].float().log_softmax(-1)[:, firsts]

    def _located(self) -> dict[Site, Port]:
        found = self._points_of(TEXT, self.model.get_decoder(), locate.decoder_blocks(self.model))
        if self._images.tower is not None:
            found |= self._points_of(VISION, self._images.tower, self._images.blocks())
            found[Site(PROJECTOR, 0)] = self._images.projector()
        return found

    def _points_of(self, stack: str, tower: nn.Module, blocks: Sequence[nn.Module]) -> dict[Site, Port]:
        return {
            Site(stack, layer, *point): port
            for layer, block in enumerate(blocks)
            for point, port in locate.points(tower, block, layer).items()
        }

    def _width(self, site: Site, hidden: int) -> int:
        part = self._ports[site].part
        if part is not None:
            return part[1] - part[0]
        return locate.width(self.module(Site(VISION, 0, "mlp"))) if site.stack == VISION else hidden

    def _placed(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments on the model's device, pictures in its precision."""
        return {
            name: value.to(self.device, self.model.dtype if value.is_floating_point() else value.dtype)
            for name, value in arguments.items()
        }

    @property
    def _has_own_positions(self) -> bool:
        """Whether the model counts positions in three dimensions itself, as Qwen's do."""
        rope = getattr(self.model.config.get_text_config(decoder=True), "rope_parameters", None) or {}
        return "mrope_section" in rope

    def _first_token(self, word: str) -> int:
        tokens = self._prompts.words(word)
        if not tokens:
            raise AdapterError(f"the word {word!r} has no token in this model's vocabulary")
        return tokens[0]


def _tokens(arguments: Mapping[str, Any]) -> Tensor:
    """The tokens of a forward, as ids or as embeddings."""
    ids = arguments.get("input_ids")
    return torch.as_tensor(arguments["inputs_embeds"] if ids is None else ids)
