"""Small vision-language models of the real classes, randomly initialised and saved with their processors."""

from collections.abc import Callable
from pathlib import Path

import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<image>")
WORDS = ("user", "assistant", ":", "a", "the", "image", "shows", "describe", "is", "there", "cup", "table", "yes", "no")
IMAGE = SPECIAL.index("<image>")
TEMPLATE = (
    "{% for message in messages %}{{ message.role }} : {% for part in message.content %}"
    "{{ '<image>' if part.type == 'image' else part.text }} {% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}assistant :{% endif %}"
)
TEXT = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
VISION = {
    "hidden_size": 24,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}
PIXELS = {"height": 16, "width": 16}


def tokenizer(*more: str, **options) -> hf.PreTrainedTokenizerFast:
    """Words and punctuation, the special tokens first.

    Args:
        more: Further special tokens.
        options: Of the tokenizer.
    """
    special = (*SPECIAL, *more)
    vocabulary = {word: place for place, word in enumerate((*special, *WORDS))}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    made = hf.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=list(special[4:]),
        **options,
    )
    return made


def siglip(patch: int = 8) -> hf.SiglipVisionConfig:
    return hf.SiglipVisionConfig(vision_use_head=False, **VISION | {"patch_size": patch})


def llava(**text) -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """LLaVA-1.5: CLIP, the layer before the last, without its class token; its tower is deeper than its decoder."""
    config = hf.LlavaConfig(
        vision_config=hf.CLIPVisionConfig(**VISION),
        text_config=hf.LlamaConfig(**TEXT | text),
        image_token_index=IMAGE,
    )
    pixels = hf.CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=PIXELS)
    processor = hf.LlavaProcessor(
        pixels,
        tokenizer(),
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )
    return hf.LlavaForConditionalGeneration(config), processor


def llava_next() -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """LLaVA-NeXT: the image whole and in tiles, with a token at the end of each line."""
    grid = [[16, 32], [32, 16], [32, 32]]
    config = hf.LlavaNextConfig(
        vision_config=hf.CLIPVisionConfig(**VISION),
        text_config=hf.LlamaConfig(**TEXT),
        image_token_index=IMAGE,
        image_grid_pinpoints=grid,
    )
    pixels = hf.LlavaNextImageProcessor(size={"shortest_edge": 16}, crop_size=PIXELS, image_grid_pinpoints=grid)
    strategy = {"vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    processor = hf.LlavaNextProcessor(pixels, tokenizer(), patch_size=8, chat_template=TEMPLATE, **strategy)
    return hf.LlavaNextForConditionalGeneration(config), processor


def llava_onevision() -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """LLaVA-OneVision: SigLIP, all patches of the last layer, Qwen2."""
    grid = [[16, 32], [32, 16], [32, 32]]
    words = tokenizer("<video>")
    config = hf.LlavaOnevisionConfig(
        vision_config=siglip(),
        text_config=hf.Qwen2Config(**TEXT),
        image_token_index=IMAGE,
        video_token_index=words.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=grid,
    )
    pixels = hf.LlavaOnevisionImageProcessor(size=PIXELS, image_grid_pinpoints=grid)
    video = hf.LlavaOnevisionVideoProcessor(size=PIXELS)
    strategy = {"num_image_tokens": 4, "vision_feature_select_strategy": "full"}
    processor = hf.LlavaOnevisionProcessor(pixels, words, video, chat_template=TEMPLATE, **strategy)
    return hf.LlavaOnevisionForConditionalGeneration(config), processor


def instructblip() -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """InstructBLIP: query tokens stand for the image, before everything else."""
    queries = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    config = hf.InstructBlipConfig(
        vision_config=VISION,
        qformer_config=queries | {"num_attention_heads": 2, "encoder_hidden_size": 24, "pad_token_id": 0},
        text_config=hf.LlamaConfig(**TEXT).to_dict(),
        num_query_tokens=5,
        image_token_index=IMAGE,
    )
    pixels = hf.BlipImageProcessor(size=PIXELS)
    processor = hf.InstructBlipProcessor(pixels, tokenizer(), tokenizer(), num_query_tokens=5)
    model = hf.InstructBlipForConditionalGeneration(config)
    torch.nn.init.normal_(model.query_tokens)  # zero otherwise
    return model, processor


def _qwen_text(**rope) -> dict:
    return TEXT | {"rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4} | rope}


def _qwen_words() -> tuple[hf.PreTrainedTokenizerFast, dict[str, int]]:
    names = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    names |= {"vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}
    words = tokenizer(*names.values())
    # Loaded as Qwen3.5's tokenizer, it would spell words that are not special.
    words.add_tokens(list(WORDS))
    return words, {name: words.convert_tokens_to_ids(token) for name, token in names.items()}


def _qwen(
    model: type, config: type, processor: type, video: type, vision: dict, text: dict | None = None
) -> tuple[object, object]:
    words, ids = _qwen_words()
    common = {"depth": 4, "num_heads": 2, "patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2}
    made = config(vision_config=common | vision, text_config=_qwen_text() | (text or {}), **ids)
    sizes = {"patch_size": 4, "merge_size": 2, "temporal_patch_size": 2}
    sizes["size"] = {"shortest_edge": 64, "longest_edge": 1024}
    template = TEMPLATE.replace("<image>", "<|vision_start|><|image_pad|><|vision_end|>")
    pixels = hf.Qwen2VLImageProcessor(**sizes)
    return model(made), processor(pixels, words, video(**sizes), chat_template=template)


def qwen2_vl() -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """Qwen2-VL: images of any size as one packed row of patches, merged by four."""
    return _qwen(
        hf.Qwen2VLForConditionalGeneration,
        hf.Qwen2VLConfig,
        hf.Qwen2VLProcessor,
        hf.Qwen2VLVideoProcessor,
        {"embed_dim": 24, "hidden_size": 32, "mlp_ratio": 2},
    )


def qwen2_5_vl() -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """Qwen2.5-VL: the same, with attention in windows."""
    return _qwen(
        hf.Qwen2_5_VLForConditionalGeneration,
        hf.Qwen2_5_VLConfig,
        hf.Qwen2_5_VLProcessor,
        hf.Qwen2VLVideoProcessor,
        {
            "hidden_size": 24,
            "intermediate_size": 48,
            "out_hidden_size": 32,
            "fullatt_block_indexes": [1],
            "window_size": 16,
        },
    )


QWEN3_VISION = {
    "hidden_size": 24,
    "intermediate_size": 48,
    "out_hidden_size": 32,
    "num_position_embeddings": 16,
}


def qwen3_vl_moe() -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """Qwen3-VL with experts."""
    return _qwen(
        hf.Qwen3VLMoeForConditionalGeneration,
        hf.Qwen3VLMoeConfig,
        hf.Qwen3VLProcessor,
        hf.Qwen3VLVideoProcessor,
        QWEN3_VISION | {"deepstack_visual_indexes": [0, 1]},
        EXPERTS,
    )


HYBRID = {"layer_types": ["linear_attention", "full_attention", "linear_attention"]}


def qwen3_5() -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """Qwen3.5: linear attention in most layers."""
    return _qwen(
        hf.Qwen3_5ForConditionalGeneration,
        hf.Qwen3_5Config,
        hf.Qwen3VLProcessor,
        hf.Qwen3VLVideoProcessor,
        QWEN3_VISION,
        LINEAR | HYBRID,
    )


def qwen3_5_moe() -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """Qwen3.5 with experts."""
    return _qwen(
        hf.Qwen3_5MoeForConditionalGeneration,
        hf.Qwen3_5MoeConfig,
        hf.Qwen3VLProcessor,
        hf.Qwen3VLVideoProcessor,
        QWEN3_VISION,
        LINEAR | HYBRID | EXPERTS | {"shared_expert_intermediate_size": 16},
    )


def vipllava() -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """ViP-LLaVA: the states of several layers of the tower side by side, without the class token."""
    config = hf.VipLlavaConfig(
        vision_config=hf.CLIPVisionConfig(**VISION),
        text_config=hf.LlamaConfig(**TEXT),
        image_token_index=IMAGE,
        vision_feature_layers=[-2, 2],
    )
    return hf.VipLlavaForConditionalGeneration(config), llava()[1]


def mistral3() -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """Mistral 3: images of any size as one packed row of patches, merged by four, with a token at the end of a line."""
    words = tokenizer("[IMG]", "[IMG_BREAK]", "[IMG_END]")
    config = hf.Mistral3Config(
        vision_config=hf.PixtralVisionConfig(**VISION | {"patch_size": 4, "head_dim": 12}),
        text_config=hf.MistralConfig(**TEXT),
        image_token_index=words.convert_tokens_to_ids("[IMG]"),
        tie_word_embeddings=False,
    )
    pixels = hf.PixtralImageProcessor(size={"longest_edge": 16}, patch_size=4)
    template = TEMPLATE.replace("<image>", "[IMG]")
    processor = hf.PixtralProcessor(pixels, words, patch_size=4, spatial_merge_size=2, chat_template=template)
    return hf.Mistral3ForConditionalGeneration(config), processor


def _glm(kind: str) -> tuple[object, object]:
    names = {"image_token_id": "<|image|>", "video_token_id": "<|video|>"}
    names |= {"image_start_token_id": "<|begin_of_image|>", "image_end_token_id": "<|end_of_image|>"}
    names |= {"video_start_token_id": "<|begin_of_video|>", "video_end_token_id": "<|end_of_video|>"}
    words = tokenizer(*names.values())
    vision = {"depth": 4, "num_heads": 2, "patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2}
    vision |= {"hidden_size": 24, "intermediate_size": 48, "out_hidden_size": 32, "image_size": 16}
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4, "partial_rotary_factor": 1.0}
    config = getattr(hf, f"{kind}Config")(
        vision_config={"model_type": "glm4v_vision", **vision},
        text_config={"model_type": "glm4v_text", **TEXT, "rope_parameters": rope},
        **{name: words.convert_tokens_to_ids(token) for name, token in names.items()},
    )
    sizes = {"patch_size": 4, "merge_size": 2, "temporal_patch_size": 2}
    sizes["size"] = {"shortest_edge": 64, "longest_edge": 1024}
    template = TEMPLATE.replace("<image>", "<|begin_of_image|><|image|><|end_of_image|>")
    pixels, video = (getattr(hf, f"{kind}{what}Processor")(**sizes) for what in ("Image", "Video"))
    processor = getattr(hf, f"{kind}Processor")(pixels, words, video, chat_template=template)
    return getattr(hf, f"{kind}ForConditionalGeneration")(config), processor


def glm4v() -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """GLM-4V: a packed row of patches, merged by four, and norms after each part."""
    return _glm("Glm4v")


def glm46v() -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """GLM-4.6V: the same."""
    return _glm("Glm46V")


def qwen3_vl() -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """Qwen3-VL: further visual features after the first blocks."""
    return _qwen(
        hf.Qwen3VLForConditionalGeneration,
        hf.Qwen3VLConfig,
        hf.Qwen3VLProcessor,
        hf.Qwen3VLVideoProcessor,
        {
            "hidden_size": 24,
            "intermediate_size": 48,
            "out_hidden_size": 32,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0, 1],
        },
    )


def internvl() -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """InternVL: patches shuffled into channels before the projector, large images in tiles."""
    names = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"}
    names["video_token"] = "<video>"
    words = tokenizer(*names.values(), extra_special_tokens=names)
    vision = VISION | {"image_size": [16, 16], "patch_size": [4, 4]}
    config = hf.InternVLConfig(
        vision_config=vision,
        text_config=hf.Qwen2Config(**TEXT),
        image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
    )
    pixels = hf.GotOcr2ImageProcessor(size=PIXELS, crop_to_patches=True, max_patches=4)
    video = hf.InternVLVideoProcessor(size=PIXELS)
    template = TEMPLATE.replace("<image>", "<IMG_CONTEXT>")
    processor = hf.InternVLProcessor(pixels, words, video, image_seq_length=4, chat_template=template)
    return hf.InternVLForConditionalGeneration(config), processor


def _idefics_words() -> hf.PreTrainedTokenizerFast:
    rows = [f"<row_{row}_col_{column}>" for row in range(1, 3) for column in range(1, 3)]
    return tokenizer("<fake_token_around_image>", "<end_of_utterance>", "<global-img>", *rows)


def _idefics(kind: str) -> tuple[object, object]:
    words = _idefics_words()
    config = getattr(hf, f"{kind}Config")(
        vision_config=VISION | {"patch_size": 4},
        text_config=hf.LlamaConfig(**TEXT),
        image_token_id=IMAGE,
        scale_factor=2,
        pad_token_id=0,
    )
    edge = {"size": {"longest_edge": 32}, "max_image_size": {"longest_edge": 16}}
    pixels = getattr(hf, f"{kind}ImageProcessor")(**edge)
    video = [hf.SmolVLMVideoProcessor(**edge)] if kind == "SmolVLM" else []
    processor = getattr(hf, f"{kind}Processor")(pixels, words, *video, image_seq_len=4, chat_template=TEMPLATE)
    return getattr(hf, f"{kind}ForConditionalGeneration")(config), processor


def idefics3() -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """Idefics3: tiles and the whole, each shuffled into fewer tokens by the connector."""
    return _idefics("Idefics3")


def smolvlm() -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """SmolVLM: the same with its own classes."""
    return _idefics("SmolVLM")


def aya_vision() -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """Aya Vision: patches shuffled into channels, attention and MLP side by side in the blocks of the text."""
    names = ("<|IMG_PATCH|>", "<|START_OF_IMG|>", "<|END_OF_IMG|>", "<|IMG_LINE_BREAK|>", "TILE", "TILE_GLOBAL")
    words = tokenizer(*names)
    config = hf.AyaVisionConfig(
        vision_config=siglip(4),
        text_config=hf.Cohere2Config(**TEXT),
        image_token_index=words.convert_tokens_to_ids("<|IMG_PATCH|>"),
    )
    pixels = hf.GotOcr2ImageProcessor(size=PIXELS, crop_to_patches=False)
    processor = hf.AyaVisionProcessor(
        pixels, words, patch_size=4, img_size=16, downsample_factor=2, chat_template=TEMPLATE
    )
    return hf.AyaVisionForConditionalGeneration(config), processor


def cohere2_vision() -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """Command A Vision: the same with its own classes."""
    names = {"boi_token": "<|START_OF_IMG|>", "eoi_token": "<|END_OF_IMG|>", "image_token": "<|IMG_PATCH|>"}
    names["img_line_break_token"] = "<|IMG_LINE_BREAK|>"
    words = tokenizer(*names.values(), extra_special_tokens=names)
    config = hf.Cohere2VisionConfig(
        vision_config=siglip(4),
        text_config=hf.Cohere2Config(**TEXT),
        image_token_id=words.convert_tokens_to_ids("<|IMG_PATCH|>"),
        alignment_intermediate_size=16,
    )
    pixels = hf.Cohere2VisionImageProcessor(size=PIXELS, patch_size=2, crop_to_patches=False)
    template = TEMPLATE.replace("<image>", "<|IMG_PATCH|>")
    processor = hf.Cohere2VisionProcessor(pixels, words, chat_template=template)
    return hf.Cohere2VisionForConditionalGeneration(config), processor


def lfm2_vl() -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """LFM2-VL: images of any size padded to one number of patches, short convolutions in most layers of the text."""
    words = tokenizer("<|image_start|>", "<|image_end|>", "<|img_thumbnail|>")
    vision = {name: value for name, value in VISION.items() if name != "image_size"} | {"num_patches": 16}
    text = TEXT | {"layer_types": ["conv", "full_attention", "conv"], "block_auto_adjust_ff_dim": False}
    config = hf.Lfm2VlConfig(
        vision_config=hf.Siglip2VisionConfig(**vision, vision_use_head=False),
        text_config=hf.Lfm2Config(**text),
        image_token_id=IMAGE,
        projector_hidden_size=32,
    )
    pixels = hf.Lfm2VlImageProcessor(
        encoder_patch_size=8, min_image_tokens=1, max_image_tokens=4, max_num_patches=16, do_image_splitting=False
    )
    return hf.Lfm2VlForConditionalGeneration(config), hf.Lfm2VlProcessor(pixels, words, chat_template=TEMPLATE)


def ovis2() -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """Ovis 2: the projector looks up visual tokens, of the image by their odds, and of its borders by their number."""
    names = ("<IMG_ATOM>", "<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>")
    words = tokenizer(*names)
    atom, *borders = words.convert_tokens_to_ids(list(names))
    config = hf.Ovis2Config(
        vision_config=hf.Ovis2VisionConfig(**VISION, vocab_size=20, hidden_stride=2),
        text_config=hf.Qwen2Config(**TEXT),
        hidden_size=32,
        vocab_size=64,
        image_token_id=atom,
        visual_indicator_token_ids=borders,
    )
    pixels = hf.Ovis2ImageProcessor(size=PIXELS, crop_to_patches=True, max_patches=4)
    processor = hf.Ovis2Processor(pixels, words, image_seq_length=1, chat_template=TEMPLATE)
    return hf.Ovis2ForConditionalGeneration(config), processor


def molmo2() -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """Molmo 2: two layers of the tower side by side, pooled by attention, and added to the image's own tokens."""
    patches = ("<im_patch>", "<im_col>", "<im_start>", "<low_res_im_start>", "<frame_start>", "<im_end>", "<frame_end>")
    seen = {"image_token": "<image>", "video_token": "<|video|>"}
    words = tokenizer(*patches, "<im_low>", "<|video|>", extra_special_tokens=seen)
    # Loaded as Qwen2's tokenizer, it would spell what is not added.
    words.add_tokens([*patches, "<im_low>", *WORDS])
    # With the usual initial weights, what is done in the tower vanishes in the rounding.
    heads = {"head_dim": 12, "num_key_value_heads": 2, "initializer_range": 0.2}
    adapter = {"hidden_size": 24, "num_attention_heads": 2, "intermediate_size": 48, "text_hidden_size": 32}
    ids = {"image_patch_id": "<im_patch>", "image_start_token_id": "<im_start>", "image_end_token_id": "<im_end>"}
    ids |= {"low_res_image_start_token_id": "<low_res_im_start>"}
    config = hf.Molmo2Config(
        vision_config=VISION | heads | {"image_size": [16, 16], "patch_size": 4},
        adapter_config=adapter | heads | {"vision_feature_layer": [3, 1]},
        text_config=TEXT | {"additional_vocab_size": 8},
        **{name: words.convert_tokens_to_ids(token) for name, token in ids.items()},
    )
    sizes = {"size": PIXELS, "patch_size": 4}
    pixels = hf.Molmo2ImageProcessor(**sizes, max_crops=2, overlap_margins=[0, 0])
    processor = hf.Molmo2Processor(pixels, hf.Molmo2VideoProcessor(**sizes), words, chat_template=TEMPLATE)
    return hf.Molmo2ForConditionalGeneration(config), processor


def _llama4_text() -> dict:
    return TEXT | {"intermediate_size_mlp": 48, "num_local_experts": 4, "interleave_moe_layer_step": 2}


def llama4() -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """Llama 4: a class token behind the patches, and a language model with a head of its own inside."""
    names = ("<|image|>", "<|image_start|>", "<|image_end|>", "<|patch|>", "<|tile_x_separator|>")
    words = tokenizer(*names, "<|tile_y_separator|>")
    vision = VISION | {"patch_size": 4, "projector_input_dim": 24, "projector_output_dim": 24, "vision_output_dim": 24}
    config = hf.Llama4Config(
        # The projector's MLP is given what it calls its intermediate size: four patches.
        vision_config=vision
        | {"intermediate_size": 96, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
        text_config=_llama4_text(),
        image_token_index=words.convert_tokens_to_ids("<|patch|>"),
    )
    pixels = hf.Llama4ImageProcessor(size=PIXELS, max_patches=4)
    template = TEMPLATE.replace("<image>", "<|image|>")
    return hf.Llama4ForConditionalGeneration(config), hf.Llama4Processor(pixels, words, 4, chat_template=template)


def llama4_text() -> tuple[hf.PreTrainedModel, hf.PreTrainedTokenizerFast]:
    """The language model of Llama 4 alone."""
    return hf.Llama4ForCausalLM(hf.Llama4TextConfig(**_llama4_text())), tokenizer()


def paligemma() -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """PaliGemma: image and prompt see one another in both directions; positions count from 1; no chat template."""
    config = hf.PaliGemmaConfig(
        vision_config=siglip(), text_config=hf.GemmaConfig(**TEXT), image_token_index=IMAGE, projection_dim=32
    )
    pixels = hf.SiglipImageProcessor(size=PIXELS)
    pixels.image_seq_length = 4
    words = tokenizer(extra_special_tokens={"image_token": "<image>"})
    return hf.PaliGemmaForConditionalGeneration(config), hf.PaliGemmaProcessor(pixels, words)


def gemma3() -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """Gemma 3: norms after each part, sliding windows, image tokens that see one another."""
    names = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image>"}
    words = tokenizer("<start_of_image>", "<end_of_image>", extra_special_tokens=names)
    text = TEXT | {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
    config = hf.Gemma3Config(
        vision_config=siglip(),
        text_config=hf.Gemma3TextConfig(**text),
        image_token_id=IMAGE,
        boi_token_index=words.boi_token_id,
        eoi_token_index=words.eoi_token_id,
        mm_tokens_per_image=1,
    )
    template = TEMPLATE.replace("<image>", "<start_of_image>")
    pixels = hf.Gemma3ImageProcessor(size=PIXELS)
    processor = hf.Gemma3Processor(pixels, words, image_seq_length=1, chat_template=template)
    model = hf.Gemma3ForConditionalGeneration(config)
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight)  # zero otherwise
    return model, processor


GEMMA_TOKENS = {"boi_token": "<boi>", "eoi_token": "<eoi>", "image_token": "<image>"}
GEMMA_TOKENS |= {"boa_token": "<boa>", "eoa_token": "<eoa>", "audio_token": "<audio>"}


def _gemma3n_text() -> dict:
    text = TEXT | {"layer_types": ["sliding_attention", "full_attention", "full_attention"], "sliding_window": 8}
    text |= {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 64, "num_kv_shared_layers": 1}
    return text | {"laurel_rank": 4, "vocab_size": 68}


def gemma3n() -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """Gemma 3n: four states side by side in the text, a convolutional tower, a projector that looks up tokens, too."""
    words = tokenizer("<boi>", "<eoi>", "<boa>", "<eoa>", "<audio>", extra_special_tokens=GEMMA_TOKENS)
    ids = {f"{name}_token_id": words.convert_tokens_to_ids(f"<{name}>") for name in ("image", "boi", "eoi", "audio")}
    sound = {"hidden_size": 16, "conf_num_attention_heads": 2, "conf_num_hidden_layers": 1}
    config = hf.Gemma3nConfig(
        vision_config=hf.Gemma3nVisionConfig(
            architecture="test_efficientnet", hidden_size=256, vocab_size=2, vocab_offset=64
        ),
        text_config=hf.Gemma3nTextConfig(**_gemma3n_text()),
        audio_config=hf.Gemma3nAudioConfig(**sound, vocab_size=2, vocab_offset=66),
        vision_soft_tokens_per_image=4,
        **ids,
    )
    pixels = hf.SiglipImageProcessor(size={"height": 64, "width": 64})
    processor = hf.Gemma3nProcessor(
        hf.Gemma3nAudioFeatureExtractor(), pixels, words, chat_template=TEMPLATE, image_seq_length=4
    )
    return hf.Gemma3nForConditionalGeneration(config), processor


def gemma3n_text() -> tuple[hf.PreTrainedModel, hf.PreTrainedTokenizerFast]:
    """The language model of Gemma 3n alone."""
    return hf.Gemma3nForCausalLM(hf.Gemma3nTextConfig(**_gemma3n_text())), tokenizer()


def gemma4() -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """Gemma 4: padded patches pooled before the projector, a further input in each layer, larger heads in some."""
    words = tokenizer("<boi>", "<eoi>", "<boa>", "<eoa>", "<audio>", "<|video|>", extra_special_tokens=GEMMA_TOKENS)
    text = TEXT | {"layer_types": ["sliding_attention", "sliding_attention", "full_attention"], "sliding_window": 8}
    text |= {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 64, "global_head_dim": 16}
    vision = VISION | {"patch_size": 4, "num_key_value_heads": 2, "head_dim": 12, "pooling_kernel_size": 2}
    ids = {f"{name}_token_id": words.convert_tokens_to_ids(f"<{name}>") for name in ("image", "boi", "eoi", "audio")}
    config = hf.Gemma4Config(
        vision_config=hf.Gemma4VisionConfig(**vision),
        text_config=hf.Gemma4TextConfig(**text),
        video_token_id=words.convert_tokens_to_ids("<|video|>"),
        **ids,
    )
    sizes = {"patch_size": 4, "pooling_kernel_size": 2, "max_soft_tokens": 70}
    pixels, video = hf.Gemma4ImageProcessor(**sizes), hf.Gemma4VideoProcessor(**sizes)
    sound = hf.Gemma4AudioFeatureExtractor()
    processor = hf.Gemma4Processor(sound, pixels, words, video, chat_template=TEMPLATE)
    return hf.Gemma4ForConditionalGeneration(config), processor


def mllama() -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """Llama 3.2 Vision: the image enters by cross-attention alone."""
    words = tokenizer("<|image|>", "<|python_tag|>")
    vision = {name: value for name, value in VISION.items() if name != "num_attention_heads"}
    vision |= {"num_global_layers": 2, "attention_heads": 2, "max_num_tiles": 4, "intermediate_layers_indices": [0, 1]}
    vision |= {"supported_aspect_ratios": [[1, 1], [1, 2], [2, 1], [2, 2], [1, 3], [3, 1], [1, 4], [4, 1]]}
    rope = {"rope_type": "default", "rope_theta": 1e4}
    config = hf.MllamaConfig(
        vision_config=vision | {"vision_output_dim": 72},
        text_config=TEXT | {"cross_attention_layers": [1], "rope_parameters": rope},
        image_token_index=words.convert_tokens_to_ids("<|image|>"),
    )
    pixels = hf.MllamaImageProcessor(size=PIXELS, max_image_tiles=4)
    processor = hf.MllamaProcessor(pixels, words, chat_template=TEMPLATE.replace("<image>", "<|image|>"))
    model = hf.MllamaForConditionalGeneration(config)
    for name, gate in model.named_parameters():
        if "gate" in name and gate.numel() == 1:
            torch.nn.init.ones_(gate)  # zero otherwise: the image would not enter
    return model, processor


def llama(**text) -> tuple[hf.PreTrainedModel, hf.PreTrainedTokenizerFast]:
    """A plain causal language model."""
    return hf.LlamaForCausalLM(hf.LlamaConfig(**TEXT | text)), tokenizer()


def opt() -> tuple[hf.PreTrainedModel, hf.PreTrainedTokenizerFast]:
    """A plain causal language model whose head runs the decoder inside its base model."""
    return hf.OPTForCausalLM(hf.OPTConfig(**TEXT, ffn_dim=48, word_embed_proj_dim=32)), tokenizer()


BARE = {"vocab_size": 64, "hidden_size": 32, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
LINEAR = {"linear_num_key_heads": 2, "linear_num_value_heads": 2}
LINEAR |= {"linear_key_head_dim": 8, "linear_value_head_dim": 8}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}


def mamba() -> tuple[hf.PreTrainedModel, hf.PreTrainedTokenizerFast]:
    """A recurrent model: no positions, no attention, and a cache that does not know its length."""
    return hf.MambaForCausalLM(hf.MambaConfig(**BARE, state_size=8, num_hidden_layers=3)), tokenizer()


def mamba2() -> tuple[hf.PreTrainedModel, hf.PreTrainedTokenizerFast]:
    """The same with heads."""
    shape = {"state_size": 8, "num_hidden_layers": 3, "num_heads": 4, "head_dim": 16, "n_groups": 1, "chunk_size": 8}
    return hf.Mamba2ForCausalLM(hf.Mamba2Config(**BARE, **shape)), tokenizer()


def xlstm() -> tuple[hf.PreTrainedModel, hf.PreTrainedTokenizerFast]:
    """xLSTM: a recurrent model whose cache counts its tokens in a tensor."""
    # Narrower ones get a cache of other widths than their layers: transformers rounds them up to 64.
    shape = {"hidden_size": 128, "num_hidden_layers": 3, "num_heads": 2, "chunk_size": 16}
    return hf.xLSTMForCausalLM(hf.xLSTMConfig(**BARE | shape)), tokenizer()


def recurrent_gemma() -> tuple[hf.PreTrainedModel, hf.PreTrainedTokenizerFast]:
    """RecurrentGemma: two recurrent blocks for each with attention in windows."""
    shape = {"lru_width": 32, "attention_window_size": 16, "block_types": ["recurrent", "attention", "recurrent"]}
    return hf.RecurrentGemmaForCausalLM(hf.RecurrentGemmaConfig(**TEXT, **shape)), tokenizer()


def qwen3_next() -> tuple[hf.PreTrainedModel, hf.PreTrainedTokenizerFast]:
    """Qwen3-Next: linear attention, full attention in some layers, and experts."""
    layers = {"layer_types": ["linear_attention", "full_attention", "linear_attention"]}
    experts = EXPERTS | {"shared_expert_intermediate_size": 16}
    return hf.Qwen3NextForCausalLM(hf.Qwen3NextConfig(**TEXT, **LINEAR, **layers, **experts)), tokenizer()


def olmo2() -> tuple[hf.PreTrainedModel, hf.PreTrainedTokenizerFast]:
    """OLMo 2: norms after each part, and none before."""
    return hf.Olmo2ForCausalLM(hf.Olmo2Config(**TEXT)), tokenizer()


def bloom() -> tuple[hf.PreTrainedModel, hf.PreTrainedTokenizerFast]:
    """BLOOM: no table of positions, and blocks that are not declared."""
    return hf.BloomForCausalLM(hf.BloomConfig(**BARE, n_layer=3, n_head=2)), tokenizer()


def mpt() -> tuple[hf.PreTrainedModel, hf.PreTrainedTokenizerFast]:
    """MPT: the same, under other names."""
    shape = {"d_model": 32, "n_layers": 3, "n_heads": 2, "expansion_ratio": 2, "max_seq_len": 256, "use_cache": True}
    words = {name: value for name, value in BARE.items() if name != "hidden_size"}
    return hf.MptForCausalLM(hf.MptConfig(**words, **shape)), tokenizer()


FAMILIES: dict[str, Callable[[], tuple[hf.PreTrainedModel, object]]] = {
    made.__name__: made
    for made in (
        llava,
        llava_next,
        llava_onevision,
        instructblip,
        qwen2_vl,
        qwen2_5_vl,
        qwen3_vl,
        qwen3_vl_moe,
        qwen3_5,
        qwen3_5_moe,
        vipllava,
        mistral3,
        glm4v,
        glm46v,
        internvl,
        idefics3,
        smolvlm,
        aya_vision,
        cohere2_vision,
        lfm2_vl,
        ovis2,
        molmo2,
        llama4,
        paligemma,
        gemma3,
        gemma3n,
        gemma4,
        mllama,
        llama,
        llama4_text,
        gemma3n_text,
        opt,
        mamba,
        mamba2,
        xlstm,
        recurrent_gemma,
        qwen3_next,
        olmo2,
        bloom,
        mpt,
    )
}


def save(family: str, folder: Path) -> Path:
    """One family's model and processor, as a checkpoint.

    Args:
        family: Its name here.
        folder: Where to put it.
    """
    torch.manual_seed(0)
    model, processor = FAMILIES[family]()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
