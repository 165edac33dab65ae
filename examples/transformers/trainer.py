"""Steered answers while a model is trained: a callback of transformers' Trainer, which TRL's trainers take as well.

python examples/transformers/trainer.py bundled:text
python examples/transformers/trainer.py bundled:text trl
"""

import copy
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import mean
from typing import Any

import transformers
from pipeline import find

import mmsteer

TEXTS = [f"Day {day}: the {thing} was as it always is." for day in range(4) for thing in ("kitchen", "office", "road")]
WORDS = ("sea", "ocean", "ship", "boat", "sail", "wave", "shore", "beach")


class SteeredAnswers(transformers.TrainerCallback):  # type: ignore[misc]  # transformers is untyped here
    """Scores unsteered and steered answers after every epoch: does a direction survive the training?

    Attributes:
        history: Mean scores, unsteered and steered, an epoch each.
    """

    def __init__(
        self,
        prompts: Sequence[str],
        line: str,
        directions: Mapping[str, mmsteer.Direction],
        score: Callable[[str], float],
        tokens: int = 24,
    ) -> None:
        # The weights change from step to step, and no fingerprint is that of the directions any more.
        self._directions = {name: replace(one, compatibility="dimension") for name, one in directions.items()}
        self._prompts, self._line, self._score = list(prompts), line, score
        self._sampling = mmsteer.Sampling(tokens, temperature=0.0)
        self.history: list[tuple[float, float]] = []

    def on_epoch_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Answer the prompts twice, and put the model back to training."""
        model = given["model"]
        model.eval()
        try:
            adapter = mmsteer.adapt(model, copy.deepcopy(given["processing_class"]))
            plain = self._mean(adapter)
            with mmsteer.steer(adapter, self._line, self._directions):
                steered = self._mean(adapter)
        finally:
            model.train()
        self.history.append((plain, steered))
        print(f"epoch {state.epoch:g}: unsteered {plain:.2f}, steered {steered:.2f}")

    def _mean(self, adapter: mmsteer.api.AnyAdapter) -> float:
        seeds = range(len(self._prompts))
        return mean(self._score(one.output) for one in adapter.generate(self._prompts, self._sampling, seeds))


def train(adapter: Any, texts: Sequence[str], callback: SteeredAnswers, settings: Mapping[str, Any]) -> Any:
    """Train on texts by transformers' own Trainer."""
    encoded = [adapter.processor(text).input_ids for text in texts]
    trainer = transformers.Trainer(
        adapter.model,
        transformers.TrainingArguments(per_device_train_batch_size=1, **settings),
        train_dataset=[{"input_ids": ids, "labels": ids} for ids in encoded],
        processing_class=adapter.processor,
        callbacks=[callback],
    )
    trainer.train()
    return trainer


def train_by_trl(adapter: Any, texts: Sequence[str], callback: SteeredAnswers, settings: Mapping[str, Any]) -> Any:
    """Train on texts by TRL's SFTTrainer; its trainers of preferences and rewards take the callback alike."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    trainer = SFTTrainer(
        adapter.model,
        SFTConfig(per_device_train_batch_size=1, **settings),
        train_dataset=Dataset.from_dict({"text": list(texts)}),
        processing_class=adapter.processor,
        callbacks=[callback],
    )
    trainer.train()
    return trainer


def main(model: str, how: str = "transformers", line: str = "topic:sea 0.2") -> list[tuple[float, float]]:
    """Train for two epochs on sentences about days, and see whether the sea is still found."""
    adapter = mmsteer.load(model)
    callback = SteeredAnswers(
        ["Tell me about your day.", "What did you see?"],
        line,
        find(adapter),
        lambda answer: any(word in answer.lower() for word in WORDS),
    )
    with tempfile.TemporaryDirectory() as folder:
        usual = {"output_dir": folder, "num_train_epochs": 2, "save_strategy": "no", "report_to": []}
        {"transformers": train, "trl": train_by_trl}[how](adapter, TEXTS, callback, usual)
    return callback.history


if __name__ == "__main__":
    main(*sys.argv[1:])
