"""`bundled:llava`: SmolLM2-135M-Instruct that reads pictures through a tower and a projector trained by the project.

What ships is the tower, the projector and a LoRA on the language model's attention, in float16. They and `bundled:text`
are put together once, into an ordinary float32 checkpoint of the LLaVA family in the user's cache directory, named by
the digests of both.
"""

import hashlib
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    CLIPImageProcessor,
    GenerationConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerBase,
)

from mmsteer.bundled.packaged import cache_directory, packaged_path, place_folder
from mmsteer.bundled.progress_bars import without_progress_bars
from mmsteer.errors import AdapterError
from mmsteer.json_lines import read_json

FOLDER = Path(__file__).parent / "llava"
SIGHT, ADAPTER = "vision.safetensors", "adapter_model.safetensors"
ADAPTER_CONFIG, TEMPLATE = "adapter_config.json", "chat_template.jinja"
IMAGE = "<image>"
MAX_NEW_TOKENS = 128
_ADAPTED = "base_model.model."


def llava_path() -> Path:
    """The folder of the assembled model in the layout of `from_pretrained`, made when it is first asked for.

    Raises:
        AdapterError: The language model or the trained parts are not installed, or the cache directory cannot be
            written.
    """
    if not (FOLDER / SIGHT).is_file():
        raise AdapterError(f"the parts of bundled:llava are not in {FOLDER}; install mmsteer from a complete wheel")
    language = packaged_path("text")
    folder = cache_directory() / f"llava-{_digest(FOLDER, language)}"
    if not folder.is_dir():
        try:
            place_folder(folder, lambda draft: assemble(FOLDER, language, draft))
        except OSError as cause:
            raise AdapterError(
                f"bundled:llava cannot be put together in {folder} (540 MB): {cause}; make room, or name another "
                "directory in XDG_CACHE_HOME"
            ) from None
    return folder


def assemble(parts: Path, language: Path, folder: Path) -> None:
    """Put tower, projector, LoRA and language model together and write the checkpoint.

    Args:
        parts: Folder of what was trained.
        language: Folder of the language model.
        folder: Where to write.
    """
    with without_progress_bars():
        tokenizer = read_tokenizer(language)
        model = build(LlavaConfig.from_pretrained(parts), language, tokenizer, adapter=parts)
        read_sight(model, parts / SIGHT)
        model.save_pretrained(folder)
        images = CLIPImageProcessor.from_pretrained(parts)
        build_processor(images, tokenizer, model.config, (parts / TEMPLATE).read_text()).save_pretrained(folder)


def build(
    config: LlavaConfig, language: Path, tokenizer: PreTrainedTokenizerBase, adapter: Path | None = None
) -> LlavaForConditionalGeneration:
    """A model of the LLaVA family around a language model; its tower and projector are still random.

    Args:
        config: What is said of the tower and the projector.
        language: Folder of the language model.
        tokenizer: From `read_tokenizer`.
        adapter: Folder of a LoRA in PEFT's layout to add to the language model's weights; None for none.
    """
    text = AutoModelForCausalLM.from_pretrained(language, dtype=torch.float32, trust_remote_code=False)
    if adapter is not None and (adapter / ADAPTER).is_file():
        merge_adapter(text, adapter)
    _add_image_row(text, len(tokenizer))
    config.text_config = text.config
    config.image_token_index = tokenizer.convert_tokens_to_ids(IMAGE)
    config.tie_word_embeddings = True
    model = LlavaForConditionalGeneration(config)
    model.model.language_model.load_state_dict(text.model.state_dict())
    ids = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    model.generation_config = GenerationConfig(max_new_tokens=MAX_NEW_TOKENS, do_sample=False, **ids)
    return model.eval()


def read_tokenizer(language: Path) -> PreTrainedTokenizerBase:
    """The language model's tokenizer with one token more, the image's.

    Args:
        language: Folder of the language model.
    """
    # Set here and not later: only what a tokenizer is made with is saved with it.
    tokenizer = AutoTokenizer.from_pretrained(language, trust_remote_code=False, padding_side="left")
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE]}, replace_extra_special_tokens=False)
    return tokenizer


def build_processor(
    images: CLIPImageProcessor, tokenizer: PreTrainedTokenizerBase, config: LlavaConfig, template: str
) -> LlavaProcessor:
    """LLaVA's processor.

    Args:
        images: Reads pictures.
        tokenizer: From `read_tokenizer`.
        config: The model's.
        template: The chat template.
    """
    return LlavaProcessor(
        images,
        tokenizer,
        patch_size=config.vision_config.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        chat_template=template,
        image_token=IMAGE,
        num_additional_image_tokens=1,
    )


@torch.no_grad()
def merge_adapter(text: LlamaForCausalLM, folder: Path) -> None:
    """Add a LoRA in PEFT's layout to the weights that it is for.

    Args:
        text: The language model, changed in place.
        folder: Holds `adapter_config.json` and `adapter_model.safetensors`.
    """
    settings = read_json(folder / ADAPTER_CONFIG, AdapterError)
    scale = settings["lora_alpha"] / settings["r"]
    factors = load_file(folder / ADAPTER)
    for name in sorted(name.removesuffix(".lora_A.weight") for name in factors if name.endswith(".lora_A.weight")):
        low, high = (factors[f"{name}.lora_{half}.weight"].float() for half in "AB")
        text.get_submodule(name.removeprefix(_ADAPTED)).weight += scale * (high @ low)


def read_sight(model: LlavaForConditionalGeneration, file: Path) -> None:
    """Set the tower and the projector.

    Args:
        model: The model, changed in place.
        file: Their weights, by the names that they have in `model.model`.

    Raises:
        AdapterError: The weights are not those of this model.
    """
    sight: dict[str, Tensor] = {name: value.float() for name, value in load_file(file).items()}
    left, extra = model.model.load_state_dict(sight, strict=False)
    missing = [name for name in left if not name.startswith("language_model.")]
    if missing or extra:
        raise AdapterError(f"{file} does not fit the model: {', '.join([*missing, *extra][:3])}; install mmsteer again")


def _add_image_row(text: LlamaForCausalLM, vocabulary: int) -> None:
    """Make room for the image's token: its embedding is the mean of all, so that it is never likely to be said."""
    known = text.config.vocab_size
    mean = text.get_input_embeddings().weight.detach()[:known].mean(dim=0)
    text.resize_token_embeddings(vocabulary, mean_resizing=False)
    with torch.no_grad():
        text.get_input_embeddings().weight[known:] = mean


def _digest(parts: Path, language: Path) -> str:
    """Of the trained parts; the language model's folder is named by its own."""
    digest = hashlib.sha256(language.name.encode())
    for file in sorted(file for file in parts.iterdir() if file.suffix != ".md"):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]
