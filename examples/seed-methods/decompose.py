"""A steering vector in features of a dictionary: both diagnostics, signed pursuit, and whether what it says steers.

python examples/seed-methods/decompose.py DICTIONARY [rows.jsonl reward]
"""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

import mmsteer
from mmsteer.bundled.dictionary import open_dictionary
from mmsteer.eval.text import parse_reward
from mmsteer.latents.equal_search import search_equally
from mmsteer.latents.rows import row_pairs, row_trials
from mmsteer.latents.token_states import token_states
from mmsteer.latents.trials import OUTPUT
from mmsteer.sae import feature_direction, usage
from mmsteer.sae.decomposition import decompose, diagnose
from mmsteer.steering import Attribute, Steering
from mmsteer.types import Sampling

HERE, TERMS, TIMES, LEARNED = Path(__file__).parent, (8, 32), (1.0, 2.0, 3.0), 48


@torch.no_grad()
def main(dictionary: str, file: str = "spanish.jsonl", reward: str = "instruction:language=es") -> None:
    """Print the diagnostics and what vector, reconstructions and a random vector do at the same lengths."""
    torch.set_num_threads(1)
    start, adapter, found = time.time(), mmsteer.load("bundled:text"), open_dictionary(dictionary)
    rows = mmsteer.read_rows(HERE / file)
    sides = row_pairs([row for row in rows if row.split == "training"][:LEARNED], "instructed")
    read = [
        [one.states.float() for one in token_states(adapter, [row.sample(adapter) for row in side], found.site)]
        for side in sides
    ]
    examples = tuple(torch.stack([states[-1] for states in side]) for side in read)
    states = torch.cat([one[1:] for side in read for one in side])
    vector = examples[0].mean(dim=0) - examples[1].mean(dim=0)
    drawn = torch.randn(len(vector), generator=torch.Generator().manual_seed(0))
    said = {f"signed, {k} features": decompose(found, vector, k) for k in TERMS}
    shares = {name: one.explained for name, one in said.items()}
    shares |= {f"random vector, {k} features": decompose(found, drawn, k).explained for k in TERMS}
    print(diagnose(found, vector, states, examples).table(), json.dumps(shares), sep="\n", flush=True)

    units = torch.nn.functional.normalize(found.decoder, dim=1)
    made = {name: sum(term.coefficient * units[term.feature] for term in one.terms) for name, one in said.items()} | {
        "encoder": found.reconstruct(vector) - found.reconstruct(torch.zeros_like(vector)),
        "random vector": drawn,
    }
    like = feature_direction(found, 0, usage(found, [states]))

    def pushed(one: torch.Tensor, times: float) -> Steering:
        direction = replace(like, vectors={found.site: one / one.norm()}, features={})
        return Steering((Attribute(direction, times * float(vector.norm()), positions=OUTPUT, unit="absolute"),))

    families = {
        name: [pushed(one, times) for times in TIMES] for name, one in {"vector": vector, **made}.items() if one.any()
    }
    validation, test = (
        row_trials(
            split,
            [row for row in rows if row.split == split][:count],
            adapter,
            Sampling(16, temperature=0.0),
            parse_reward(reward),
        )
        for split, count in (("validation", 8), ("test", 12))
    )
    result = search_equally(adapter, families, validation, [test])
    print(json.dumps({"validation": dict(result.validation), "test": result.test.table()}, indent=1))
    print(f"{time.time() - start:.0f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
