"""Vision-language models of transformers, and plain causal language models: one adapter.

Three stacks: `text`, the blocks of the language model; `vision`, those of the vision tower; and `projector`, the one
module between them. The clock of `text` is the cache position. An image is seen at once, so `vision` and `projector`
know one step, 0.

Families differ in `families.py` alone. Two differences show in what is read. Qwen3-VL adds further visual features
after its first blocks, outside of them: what is read there is the state before that. In Mllama the image enters by
cross-attention: no token of `text` is an `image` token.
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import LogitsProcessor

from mmsteer import hooks
from mmsteer.adapters import locate
from mmsteer.adapters.caches import cached_tokens
from mmsteer.adapters.families import FAMILIES, TEXT_ONLY
from mmsteer.adapters.fingerprint import Weights
from mmsteer.adapters.prompts import Prompts
from mmsteer.adapters.sampling import SeededSampling
from mmsteer.adapters.tokens import given_prompts, image_kinds, real_tokens, text_kinds
from mmsteer.adapters.wrapped import deterministic, execution_device
from mmsteer.errors import AdapterError
from mmsteer.types import Call, Forward, Layout, Reading, Sample, Site, Sketch

ANY_LENGTH = 32_768
"""Output steps that are planned for where neither the call nor the model sets a limit, as recurrent models do not."""

_LENGTHS = ("max_position_embeddings", "max_seq_len")

TEXT, VISION, PROJECTOR = "text", "vision", "projector"


class VisionLanguageAdapter:
    """Reads, steers and runs a vision-language model or a plain causal language model.

    Attributes:
        model: The model.
        processor: Its processor; the tokenizer, where it sees no images.
        generator: `text`.
        widths: Every site and the width of its hidden state.
        rate: None: words have no duration.
        max_steps: Positions that the language model was made for; `ANY_LENGTH` where there are none.
    """

    generator = TEXT
    rate: float | None = None

    def __init__(self, model: Any, processor: Any) -> None:
        self.model = model
        self.processor = processor
        self._weights = Weights(model)
        self._family = FAMILIES.get(model.config.model_type, TEXT_ONLY)
        self._tower = locate.vision_tower(model)
        if self._tower is not None and model.config.model_type not in FAMILIES:
            raise AdapterError(
                f"no adapter for vision-language models of type {model.config.model_type!r}; choose from "
                f"{', '.join(FAMILIES)}"
            )
        self._has_class_token = self._tower is not None and locate.has_class_token(self._tower)
        self._prompts = Prompts(processor, self._family, self._tower is not None)
        config = model.config.get_text_config(decoder=True)
        self.max_steps: int = next((getattr(config, name) for name in _LENGTHS if hasattr(config, name)), ANY_LENGTH)
        self._modules = self._located()
        self.widths: Mapping[Site, int] = {
            site: self._vision_width if site.stack == VISION else config.hidden_size for site in self._modules
        }
        self._given = 0

    @property
    def fingerprint(self) -> str:
        """What identifies its weights, as they are now; those of adapters, such as LoRA, do not count."""
        return self._weights.fingerprint()

    @property
    def sketch(self) -> Sketch:
        """What other weights are compared with these by."""
        return self._weights.sketch()

    @property
    def sites(self) -> tuple[Site, ...]:
        """Every site, in the order of the layers."""
        return tuple(self.widths)

    @property
    def device(self) -> torch.device:
        """Where the model takes its input."""
        return execution_device(self.model)

    def module(self, site: Site) -> nn.Module:
        """The module whose output is the hidden state at a site.

        Args:
            site: The site.
        """
        return self._modules[site]

    def writer(self, site: Site) -> nn.Linear:
        """The linear layer whose output is the hidden state at an `mlp` or `attention` site.

        Args:
            site: The site.

        Raises:
            AdapterError: The site is a whole block, or a norm stands between it and the last linear layer.
        """
        return locate.writer(self.module(site), site)

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
        return self._modules[Site(name, 0)]

    def call(self, arguments: Mapping[str, Any]) -> Call:
        """Read the arguments of `generate`, and remember the length of the prompt for `produced`.

        Args:
            arguments: Its keyword arguments.

        Raises:
            AdapterError: They ask for classifier-free guidance, which runs a second sequence beside the first.
        """
        config = arguments.get("generation_config") or self.model.generation_config
        options = {**{key: getattr(config, key, None) for key in _OPTIONS}, **arguments}
        if (options["guidance_scale"] or 1) != 1:
            raise AdapterError(
                "guidance_scale makes transformers run a second sequence with a clock of its own, which steering "
                "cannot follow; leave it out, and contrast prompts by a direction instead"
            )
        prompts = given_prompts(arguments)
        self._given = 0 if prompts is None else int(prompts.shape[1])
        new = options["max_new_tokens"]
        if new is None and options["max_length"] is not None:
            new = max(1, options["max_length"] - self._given)
        samples = None if prompts is None else len(prompts)
        return Call(1, new, self._given or None, samples, self._all_see(arguments.get("input_ids", prompts)))

    def forward(self, stack: str, arguments: Mapping[str, Any]) -> Forward:
        """Read the arguments of one forward of a stack.

        Args:
            stack: Its name.
            arguments: Its arguments, by name.
        """
        if stack != TEXT:
            state = arguments.get("hidden_states", next(iter(arguments.values())))
            rows = state.shape[:-2].numel() if state.ndim > 2 else 1
            width = int(state.shape[-2])
            return Forward(rows, self._projected(width) if stack == PROJECTOR else width, 0)
        tokens = _tokens(arguments)
        return Forward(tokens.shape[0], tokens.shape[1], cached_tokens(arguments))

    def layout(self, stack: str, forward: Forward, arguments: Mapping[str, Any], prompt: int) -> Layout:
        """What the tokens of a forward are.

        Args:
            stack: The stack's name.
            forward: The forward.
            arguments: Its arguments, by name.
            prompt: How many tokens of the sequence are given.
        """
        if stack != TEXT:
            return self._image_layout(stack, forward, arguments)
        tokens = _tokens(arguments)
        real = real_tokens(forward, arguments.get("attention_mask"), tokens.device)
        return Layout(text_kinds(forward, real, self._image_tokens(forward, arguments, real), prompt), prompt - 1)

    def produced(self, output: Any) -> int:
        """How many tokens a finished `generate` made, to the end of its longest row.

        Args:
            output: The tokens, (rows, tokens), or transformers' output that holds them.
        """
        tokens = output if isinstance(output, Tensor) else output.sequences
        return int(tokens.shape[1]) - self._given

    def canary(self) -> Tensor:
        """Logits of one word under one small image."""
        image = Image.linear_gradient("L").resize((32, 32)).convert("RGB") if self._tower is not None else None
        with deterministic(self.model):
            return self.read(self.reading([Sample("canary", image, "a")]))

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
        arguments = self._prompts.answered(arguments, [sample.answer for sample in samples])
        if not self._has_own_positions:
            real = arguments["attention_mask"]
            position = (real.cumsum(1) - 1).clamp(min=0) + self._family.first_position
            arguments["position_ids"] = position
        return Reading(self._placed(arguments), Call(1, None, prompt, all_see=self._all_see(arguments["input_ids"])))

    def read(self, reading: Reading) -> Tensor:
        """Run the forward of `reading`; logits, (rows, tokens, 1, vocabulary).

        Args:
            reading: What `reading` returned.
        """
        with torch.no_grad():
            logits: Tensor = self.model(**reading.arguments, use_cache=False).logits
        return logits.unsqueeze(2)

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

    def unembed(self, state: Tensor) -> Tensor:
        """All that follows the last block, (..., 1, vocabulary): the last norm, the head, and what a family does after.

        The model says it itself, in one small forward in which the states stand in place of the last block's output.

        Args:
            state: Hidden states after the last block, (..., width).
        """
        rows = state.reshape(1, -1, state.shape[-1]).to(self.device, self.model.dtype)
        last = max(site for site in self.sites if (site.stack, site.point) == (TEXT, "block"))
        with hooks.edits({self.module(last): lambda _: rows}):
            logits = self.canary()
        return logits.reshape(*state.shape[:-1], 1, logits.shape[-1])

    def generate(
        self,
        samples: Sequence[Sample],
        tokens: int,
        *,
        seeds: Sequence[int] | None = None,
        temperature: float = 0.0,
        beams: int = 1,
        processors: Sequence[LogitsProcessor] = (),
    ) -> list[str]:
        """Answers, one a sample.

        Args:
            samples: Images with their prompts.
            tokens: At most this many tokens each.
            seeds: One a sample, where the temperature is not 0; the same seed draws the same noise in any batch.
            temperature: Divides the logits; 0 takes the likeliest token.
            beams: Beams of the search; 1 for none.
            processors: Further transformers logits processors, before sampling.

        Raises:
            AdapterError: A sample cannot be shown, already has an answer, or the options contradict one another.
        """
        self._check(samples, tokens, seeds, temperature, beams)
        inputs = self._placed(self._prompts.encode(samples))
        drawing = [SeededSampling(seeds, 1, temperature, 0)] if temperature and seeds else []
        prompt = inputs["input_ids"].shape[1]
        with torch.no_grad():
            output = self.model.generate(
                **inputs,
                max_new_tokens=tokens,
                do_sample=False,
                num_beams=beams,
                logits_processor=[*processors, *drawing],
                pad_token_id=self._prompts.tokenizer.pad_token_id,
            )
        texts = self._prompts.tokenizer.batch_decode(output[:, prompt:], skip_special_tokens=True)
        return [text.strip() for text in texts]

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

    def _located(self) -> dict[Site, nn.Module]:
        found = self._sites_of(TEXT, self.model.get_decoder(), locate.decoder_blocks(self.model))
        if self._tower is not None:
            found |= self._sites_of(VISION, self._tower, locate.vision_blocks(self._tower, self._family))
            found[Site(PROJECTOR, 0)] = attrgetter(self._family.projector)(self.model.base_model)
        return found

    def _sites_of(self, stack: str, tower: nn.Module, blocks: Sequence[nn.Module]) -> dict[Site, nn.Module]:
        return {
            Site(stack, layer, point): part
            for layer, block in enumerate(blocks)
            for point, part in locate.parts(tower, block).items()
        }

    @property
    def _vision_width(self) -> int:
        return locate.width(self.module(Site(VISION, 0, "mlp")))

    def _projected(self, tokens: int) -> int:
        return self._family.projected(self.model.config, tokens)

    def _image_layout(self, stack: str, forward: Forward, arguments: Mapping[str, Any]) -> Layout:
        place = torch.arange(forward.width, device=self.device)
        tiles = attrgetter(self._family.tiles)(self.model.config) if self._family.tiles else 1
        first = (place % (forward.width // tiles) == 0) & (stack == VISION and self._has_class_token)
        real = real_tokens(forward, arguments.get("attention_mask"), self.device)
        return Layout(image_kinds(forward, real, first), forward.width - 1)

    def _image_tokens(self, forward: Forward, arguments: Mapping[str, Any], real: Tensor) -> Tensor:
        """Which tokens of the text stack stand for images, (rows, tokens) bool.

        Raises:
            AdapterError: The model was given embeddings in place of tokens.
        """
        if self._tower is None or self._family.fused:
            return torch.zeros_like(real)
        if self._family.queries:
            return (real.cumsum(1) <= getattr(self.model.config, self._family.queries)) & (int(forward.start) == 0)
        ids = arguments.get("input_ids")
        if ids is None:
            raise AdapterError("the model was given embeddings, in which images cannot be found; give it input_ids")
        return self._stands_for_images(ids)

    def _stands_for_images(self, ids: Tensor) -> Tensor:
        """Which tokens are an image's or a video's own, (rows, tokens) bool."""
        image, video = (getattr(self.model.config, f"{name}_token_id", None) for name in ("image", "video"))
        seen = torch.as_tensor(ids == image)
        return seen if video is None else seen | (ids == video)

    def _all_see(self, ids: Tensor | None) -> bool | None:
        if self._tower is None or ids is None or ids.is_floating_point():
            return None
        return self._family.needs_image or bool(self._stands_for_images(ids).any(dim=1).all())

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

    def _check(
        self, samples: Sequence[Sample], tokens: int, seeds: Sequence[int] | None, temperature: float, beams: int
    ) -> None:
        if tokens < 1:
            raise AdapterError(f"{tokens} tokens cannot be generated; ask for 1 or more")
        if temperature and (seeds is None or len(seeds) != len(samples)):
            raise AdapterError(
                f"{len(seeds or ())} seeds for {len(samples)} samples; sampling at temperature {temperature:g} needs "
                "one each"
            )
        if temperature and beams > 1:
            raise AdapterError(f"{beams} beams at temperature {temperature:g}; search with beams, or sample, not both")
        answered = [sample.id for sample in samples if sample.answer is not None]
        if answered:
            raise AdapterError(f"{answered[0]}: the sample has its answer already; generate from samples without one")


def _tokens(arguments: Mapping[str, Any]) -> Tensor:
    """The tokens of a forward, as ids or as embeddings."""
    ids = arguments.get("input_ids")
    return torch.as_tensor(arguments["inputs_embeds"] if ids is None else ids)


_OPTIONS = ("guidance_scale", "max_new_tokens", "max_length")
