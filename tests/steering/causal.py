"""The engine's contract, written for a plain causal language model: the smallest adapter there can be."""

import torch

from mmsteer.adapters.caches import cached_tokens
from mmsteer.adapters.fingerprint import Weights
from mmsteer.hooks import around
from mmsteer.types import Call, Forward, Kind, Layout, Port, Site


class CausalAdapter:
    generator = "text"
    rate = None
    max_steps = 128
    marks = None

    def __init__(self, model):
        self.model = model
        self.weights = Weights(model)
        self.widths = {Site("text", layer): model.config.hidden_size for layer in range(len(model.model.layers))}

    @property
    def fingerprint(self):
        return self.weights.fingerprint()

    @property
    def sketch(self):
        return self.weights.sketch()

    @property
    def sites(self):
        return tuple(self.widths)

    def entries(self, wrap):
        return around(self.model, "generate", wrap)

    def port(self, site):
        return Port(self.model.model.layers[site.layer])

    def stack(self, name):
        return self.model.model

    def call(self, arguments):
        ids = arguments["input_ids"]
        return Call(1, arguments.get("max_new_tokens"), samples=None, repeated=ids.shape[1])

    def forward(self, stack, arguments):
        tokens = arguments["input_ids"]
        self.mask = arguments.get("attention_mask")
        return Forward(*tokens.shape, cached_tokens(arguments))

    def layout(self, stack, forward, arguments, prompt):
        place = int(forward.start) + torch.arange(forward.width)
        kinds = torch.where(place < prompt, int(Kind.PROMPT | Kind.TEXT), int(Kind.GENERATED | Kind.TEXT))
        kinds = kinds + int(Kind.LAST) * (place == prompt - 1)
        kinds = kinds.expand(forward.rows, -1)
        if self.mask is not None and self.mask.ndim == 2:
            kinds = kinds * self.mask[:, -forward.width :]
        return Layout(kinds, prompt - 1)

    def produced(self, output, call):
        return output.shape[1] - call.repeated

    def canary(self):
        with torch.no_grad():
            return self.model(input_ids=torch.tensor([[1, 2]]), use_cache=False).logits
