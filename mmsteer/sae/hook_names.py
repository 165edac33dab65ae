"""Hook names of other libraries as sites."""

import re

from mmsteer.errors import DictionaryError
from mmsteer.types import Site

_HOOK = re.compile(r"(?:.*\.)?blocks\.(?P<layer>\d+)\.(?:hook_)?(?P<what>resid_(?:pre|mid|post)|(?:mlp|attn)_out)")
_MODULE = re.compile(r"(?:.*\.)?(?:layers|h)\.(?P<layer>\d+)(?:\.(?P<what>mlp|self_attn|attn|attention))?")
_POINTS = {"resid_post": "block", "resid_pre": "block", "resid_mid": "mid", "mlp_out": "mlp", "attn_out": "attention"}
_MODULES = {None: "block", "mlp": "mlp", "self_attn": "attention", "attn": "attention", "attention": "attention"}
READ = (
    "blocks.N.hook_resid_post, blocks.N.hook_resid_mid, blocks.N.hook_resid_pre, blocks.N.hook_mlp_out, "
    "blocks.N.hook_attn_out, model.layers.N, layers.N, layers.N.mlp, layers.N.self_attn"
)


def site_of_hook(name: str, stack: str) -> Site:
    """The site that a hook name of TransformerLens, or a module path of transformers, stands for.

    The input of a layer, `hook_resid_pre`, is the output of the layer before it, or the embeddings.

    `name`: the hook name, such as `blocks.12.hook_resid_post` or `model.layers.12`.
    `stack`: the stack that layers are counted in, such as `text`.

    Raises:
        DictionaryError: The name stands for no site, such as that of all heads.

    >>> str(site_of_hook("blocks.12.hook_resid_pre", "text"))
    'text.11'
    """
    if match := _HOOK.fullmatch(name):
        layer = int(match["layer"]) - (match["what"] == "resid_pre")
        point = _POINTS[match["what"]]
    elif match := _MODULE.fullmatch(name):
        layer, point = int(match["layer"]), _MODULES[match["what"]]
    else:
        raise DictionaryError(f"the hook name {name!r} is no site of this project; read are {READ}; or give --site")
    if layer < 0:
        return Site(stack, 0, "embedding")
    return Site(stack, layer, point)
