"""The corpus that dictionaries of a chat model learn from, on disk: its own answers, passages, and hidden states.

A corpus is made of rounds. The first chunk of a round is answers that the model samples, the others are passages. Each
chunk is read once, at all sites together, and a file of it is there whole or not at all, so that what was stopped goes
on with the next chunk.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from mmsteer import hooks
from mmsteer.adapters import AnyAdapter
from mmsteer.atomic import write_atomically
from mmsteer.errors import DictionaryError
from mmsteer.layouts import layouts
from mmsteer.types import Chat, Positions, Raw, Sample, Sampling, Site, Tokens, sink_mask
from mmsteer.worlds.training.text_passages import passages, sources
from mmsteer.worlds.training.text_prompts import write_prompts

SAMPLES = 64
"""Of a chunk."""
CHUNKS_A_ROUND = 3
AT_ONCE = 8
"""Samples a forward."""
HELD_EVERY = 8
"""Of so many rounds the first is not learned from."""
ANSWERS = Sampling(tokens=112, temperature=0.8, top_k=50)
_MANIFEST = "corpus.json"


@dataclass(frozen=True, eq=False)
class Corpus:
    """A folder of chunks.

    Attributes:
        folder: The folder.
        adapter: The model.
        sites: Where it is read; all of one stack.
        seed: Of prompts, answers and passages.
    """

    folder: Path
    adapter: AnyAdapter
    sites: tuple[Site, ...]
    seed: int = 0

    def begin(self) -> None:
        """Make the folder, or see that it holds this corpus.

        Raises:
            DictionaryError: It holds another one.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        manifest, told = self.folder / _MANIFEST, self._told()
        if not manifest.exists():
            write_atomically(manifest, json.dumps(told, indent=1).encode())
        elif (there := json.loads(manifest.read_text())) != told:
            differing = ", ".join(key for key in told if there.get(key) != told[key])
            raise DictionaryError(f"{self.folder} holds another corpus ({differing}); choose another folder")

    def fill(self, rounds: int, report: Callable[[str], None]) -> None:
        """Make and read what is missing of some rounds.

        Args:
            rounds: How many there are to be.
            report: Takes a line for each chunk.
        """
        self.begin()
        for chunk in range(rounds * CHUNKS_A_ROUND):
            if not self.states_file(chunk).exists():
                rows = self._read(chunk)
                report(f"chunk {chunk + 1} of {rounds * CHUNKS_A_ROUND}: {rows} hidden states of each layer")

    def states_file(self, chunk: int) -> Path:
        """Where the hidden states of a chunk are.

        Args:
            chunk: Its number.
        """
        return self.folder / f"states-{chunk:04d}.safetensors"

    def samples(self, chunk: int) -> tuple[Sample, ...]:
        """What is read of a chunk; answers are sampled when they are first asked for.

        Args:
            chunk: Its number.

        Raises:
            DictionaryError: The installed packages hold too little text.
        """
        if chunk % CHUNKS_A_ROUND:
            place = chunk - chunk // CHUNKS_A_ROUND - 1
            texts = self._passages[place * SAMPLES : (place + 1) * SAMPLES]
            if len(texts) < SAMPLES:
                raise DictionaryError(f"the installed packages hold {len(self._passages)} passages; ask for less")
            return tuple(Sample(f"passage-{chunk}-{at}", Raw(text)) for at, text in enumerate(texts))
        prompts, file = write_prompts(SAMPLES, self.seed, chunk), self.folder / f"answers-{chunk:04d}.json"
        if not file.exists():
            seeds = [1_000_003 * chunk + index for index in range(SAMPLES)]
            answered = self.adapter.generate(prompts, ANSWERS, seeds)
            write_atomically(file, json.dumps([one.output for one in answered], indent=1).encode())
        answers = json.loads(file.read_text())
        return tuple(Sample(one.id, one.prompt, output=text) for one, text in zip(prompts, answers, strict=True))

    def write_answers(self, file: Path, chunks: Sequence[int]) -> None:
        """Write the answers among some chunks as rows.

        Args:
            file: JSON lines; what is there is replaced.
            chunks: Their numbers; those of passages are left out.
        """
        answers = [one for chunk in chunks if not chunk % CHUNKS_A_ROUND for one in self.samples(chunk)]
        lines = [json.dumps(_row(one), ensure_ascii=False) for one in answers if one.output]
        write_atomically(file, "".join(f"{line}\n" for line in lines).encode())

    @cached_property
    def _passages(self) -> tuple[str, ...]:
        # Kept, because parsing the packages takes minutes.
        file = self.folder / "passages.json"
        if not file.exists():
            write_atomically(file, json.dumps(passages(self.seed), indent=1).encode())
        return tuple(json.loads(file.read_text()))

    def _told(self) -> dict[str, object]:
        return {
            "model": self.adapter.run_identity,
            "sites": [str(site) for site in self.sites],
            "seed": self.seed,
            "sources": list(sources()),
            "answers": repr(ANSWERS),
            "samples": SAMPLES,
        }

    def _read(self, chunk: int) -> int:
        # By length, so that little is padding.
        samples = sorted(self.samples(chunk), key=lambda one: len(one.text) + len(one.output or ""))
        parts: list[dict[Site, Tensor]] = []
        first: Tensor | None = None
        for start in range(0, len(samples), AT_ONCE):
            found, first = read_layers(self.adapter, samples[start : start + AT_ONCE], self.sites, first)
            parts.append(found)
        states = {str(site): torch.cat([part[site] for part in parts]).half() for site in self.sites}
        write_atomically(self.states_file(chunk), save(states))
        return len(next(iter(states.values())))


@dataclass(frozen=True, eq=False)
class LayerStates:
    """The hidden states of one site of a corpus: its chunks, as a source of training takes them.

    Attributes:
        files: The chunks' files.
        site: The site.
    """

    files: tuple[Path, ...]
    site: Site

    @property
    def width(self) -> int:
        """Numbers in a hidden state."""
        return int(self[0].shape[1])

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """Hidden states of each chunk."""
        return tuple(self._shape(file) for file in self.files)

    @cached_property
    def fingerprint(self) -> str:
        """A short hash of all numbers."""
        digest = hashlib.sha256(str(self.site).encode())
        for index in range(len(self.files)):
            digest.update(self[index].half().numpy().tobytes())
        return digest.hexdigest()[:16]

    def __getitem__(self, index: int) -> Tensor:
        with safe_open(self.files[index], framework="pt") as file:
            states: Tensor = file.get_tensor(str(self.site))
        return states.float()

    def _shape(self, file: Path) -> int:
        with safe_open(file, framework="pt") as opened:
            return int(opened.get_slice(str(self.site)).get_shape()[0])


def learned_and_held(rounds: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Numbers of the chunks to learn from, and of those to judge by; no document is in both.

    Args:
        rounds: How many rounds of a corpus there are.
    """
    chunks = range(rounds * CHUNKS_A_ROUND)
    held = tuple(one for one in chunks if one // CHUNKS_A_ROUND % HELD_EVERY == 0)
    return tuple(one for one in chunks if one not in held), held


def read_layers(
    adapter: AnyAdapter, samples: Sequence[Sample], sites: Sequence[Site], first: Tensor | None
) -> tuple[dict[Site, Tensor], Tensor]:
    """Hidden states at several sites from one forward, and the tokens of the first sample that was read.

    Left out are attention sinks, and the tokens with which a sample begins as the first sample did: a system prompt
    has the same states in every conversation.

    Args:
        adapter: The model.
        samples: What is read.
        sites: Where; all of one stack.
        first: Tokens of the first sample, (tokens,); None where these samples are the first.
    """
    reading = adapter.reading(samples)
    states: dict[Site, Tensor] = {}
    modules = {adapter.module(site): partial(states.__setitem__, site) for site in sites}
    stack = adapter.stack(sites[0].stack)
    # Without the head, whose logits would be most of the memory and a fifth of the work.
    with layouts(adapter, sites[0].stack, reading) as found, hooks.readings(modules), torch.no_grad():
        stack(**reading.arguments, use_cache=False)
    everything = Positions("all")
    tokens = Tokens(found[-1].kinds, torch.arange(found[-1].kinds.shape[1]), None)
    kept = everything.mask(tokens)
    for state in states.values():
        kept &= ~sink_mask(state.float().norm(dim=-1), tokens, everything)
    real, given = everything.mask(tokens), adapter.tokens(reading)[..., 0]
    for row in range(len(samples)):
        mine = given[row][real[row]]
        if first is None:
            first = mine
            continue
        kept[row, torch.nonzero(real[row]).flatten()[: _shared(mine, first)]] = False
    assert first is not None
    return {site: state[kept] for site, state in states.items()}, first


def _row(sample: Sample) -> dict[str, object]:
    asked = {"messages": list(sample.prompt.messages)} if isinstance(sample.prompt, Chat) else {"prompt": sample.prompt}
    return {"id": sample.id, **asked, "answer": sample.output}


def _shared(mine: Tensor, other: Tensor) -> int:
    """How many tokens two texts begin with alike."""
    length = min(len(mine), len(other))
    return int((mine[:length] == other[:length]).cumprod(0).sum())
