"""Module hooks: the only file that registers them. None outlives its `with`, whatever is raised inside."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

Before = Callable[[Mapping[str, Any]], None]
Edit = Callable[[Tensor], Tensor]
See = Callable[[Tensor], None]


@contextmanager
def clock(stack: nn.Module, tick: Before) -> Iterator[None]:
    """Call `tick` before every forward of a stack of layers.

    Args:
        stack: The module that runs the layers.
        tick: Called once per forward with its arguments by name.
    """
    names = tuple(inspect.signature(stack.forward).parameters)

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        tick({**dict(zip(names, args, strict=False)), **kwargs} if args else kwargs)

    with ExitStack() as exits:
        exits.callback(stack.register_forward_pre_hook(before, with_kwargs=True).remove)
        yield


@contextmanager
def edits(modules: Mapping[nn.Module, Edit]) -> Iterator[None]:
    """Replace the hidden state that each module returns by what its edit makes of it.

    A packed state (tokens, width), as some vision towers keep it, is edited as a single row; tiles as rows.

    Args:
        modules: For each module a function of its hidden state, (rows, tokens, width).
    """
    with ExitStack() as exits:
        for module, edit in modules.items():
            # prepend: readers, registered without it, see the edited state, as the next layer does.
            exits.callback(module.register_forward_hook(_editing(edit), prepend=True).remove)
        yield


@contextmanager
def readings(modules: Mapping[nn.Module, See]) -> Iterator[None]:
    """Show each module's hidden state, as the next layer will see it; a packed state as a single row.

    Args:
        modules: For each module a function that is shown its hidden state, (rows, tokens, width).
    """
    with ExitStack() as exits:
        for module, see in modules.items():
            exits.callback(module.register_forward_hook(_reading(see)).remove)
        yield


@contextmanager
def around(model: nn.Module, method: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    """Stand around one method of one model instance, such as `generate`.

    Args:
        model: The instance; its class stays as it is.
        method: The method's name.
        wrap: Makes the function to call instead from the function that was there.
    """
    outer = vars(model).get(method)
    setattr(model, method, wrap(getattr(model, method)))
    try:
        yield
    finally:
        if outer is None:
            delattr(model, method)
        else:
            setattr(model, method, outer)


def hidden_state(output: Any) -> Tensor:
    """The hidden state in a layer's output: the tensor itself, or the first of a tuple.

    Args:
        output: What the layer returned.
    """
    return output[0] if isinstance(output, tuple) else output


def _editing(edit: Edit) -> Callable[[nn.Module, Any, Any], Any]:
    def hook(_: nn.Module, __: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (_edited(edit, output[0]), *output[1:])
        return _edited(edit, output)

    return hook


def _edited(edit: Edit, state: Tensor) -> Tensor:
    # The usual state needs no new shape, and a step of decoding no operator for one.
    return edit(state) if state.ndim == 3 else edit(_rows(state)).reshape(state.shape)


def _rows(state: Tensor) -> Tensor:
    """A hidden state as (rows, tokens, width), whether it is packed or split into tiles."""
    return state if state.ndim == 3 else state.reshape(-1, *state.shape[-2:])


def _reading(see: See) -> Callable[[nn.Module, Any, Any], None]:
    def hook(_: nn.Module, __: Any, output: Any) -> None:
        see(_rows(hidden_state(output)))

    return hook
