"""Texts that no model can be given."""

import re

import pytest

from mmsteer.adapters import load
from mmsteer.errors import AdapterError
from mmsteer.types import Chat, Sample, Sampling
from tests.adapters.test_families import picture


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("describe the <image> cup", "0: <image> in a text stands for an image"),
        ("describe the \ud83d cup", r"0: character 13 of the text is half of a surrogate pair \('\\ud83d'\)"),
    ],
)
@pytest.mark.parametrize("seen", [(), (picture((20, 30)),)])
def test_what_cannot_be_said_to_a_model(llava, text, message, seen):
    with pytest.raises(AdapterError, match=message):
        llava.generate([Sample("0", text, seen)], Sampling(2))


@pytest.mark.parametrize(
    ("family", "typed"),
    [
        *(("qwen2_vl", "<|image_pad|>"), ("qwen2_vl", "<|video_pad|>"), ("instructblip", "<image>")),
        # What the model replaces is not what its processor is given, or is no image.
        *(("gemma3", "<image>"), ("gemma3", "<start_of_image>"), ("ovis2", "<IMG_ATOM>"), ("gemma4", "<audio>")),
        *(("internvl", "<IMG_CONTEXT>"), ("mllama", "<|image|>")),
        ("molmo2", "<im_patch>"),
    ],
)
def test_every_token_that_a_family_replaces_is_refused(families, family, typed):
    with pytest.raises(AdapterError, match=f"0: {re.escape(typed)} in a text stands for an image"):
        families(family).reading([Sample("0", f"describe the {typed} cup", (picture((20, 30)),))])


def test_answers_and_words_are_texts_too(llava):
    with pytest.raises(AdapterError, match="what the model says: <image> in a text"):
        llava.reading([Sample("0", "describe", (picture((20, 30)),), "a <image>")])
    with pytest.raises(AdapterError, match="half of a surrogate pair"):
        llava.next_word([Sample("0", "describe", (picture((20, 30)),))], ["yes", "\udfff"])


def test_a_language_model_may_be_told_of_marks(families):
    assert families("llama").reading([Sample("0", "the <image> shows a cup")])


def test_a_processor_that_lacks_a_package_is_one_error(musicgen_folder, monkeypatch):
    def missing(_, **__):
        raise ImportError("MusicgenMelodyFeatureExtractor requires the Torchaudio library but it was not found")

    monkeypatch.setattr("transformers.AutoProcessor.from_pretrained", missing)
    with pytest.raises(AdapterError, match="requires the Torchaudio library"):
        load(musicgen_folder)


def test_a_template_that_leaves_out_the_system_prompt_is_refused(llava, monkeypatch):
    said = Chat(({"role": "system", "content": "the cup is there"}, {"role": "user", "content": "describe"}))
    seen = (picture((20, 30)),)
    llava.generate([Sample("0", said, seen)], Sampling(2))
    without = llava.processor.chat_template.replace("in messages", "in messages if message.role != 'system'")
    monkeypatch.setattr(llava.processor, "chat_template", without)
    with pytest.raises(AdapterError, match="0: the chat template of this model leaves out the system's words"):
        llava.generate([Sample("0", said, seen)], Sampling(2))
