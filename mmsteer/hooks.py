"""Module hooks: the only file that registers them. None outlives its `with`, whatever is raised inside."""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from mmsteer.types import Port

Before = Callable[[Mapping[str, Any]], None]
Edit = Callable[[Tensor], Tensor]
See = Callable[[Tensor], None]
Hook = TypeVar("Hook")


@contextmanager
def clock(stack: nn.Module, tick: Before) -> Iterator[None]:
    """Call `tick` before every forward of a stack of layers.

    Args:
        stack: The module that runs the layers.
        tick: Called once per forward with its arguments by name.
    """
    names = tuple(inspect.signature(stack.forward).parameters)

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        tick(_by_name(names, args, kwargs) if args else kwargs)

    with ExitStack() as exits:
        exits.callback(stack.register_forward_pre_hook(before, with_kwargs=True).remove)
        yield


@contextmanager
def one_at_a_time(model: nn.Module, lock: AbstractContextManager[Any], failed: Callable[[], None]) -> Iterator[None]:
    """Let one thread at a time run a model.

    Args:
        model: The model.
        lock: Held while a forward runs, its hooks included; a thread may hold it already.
        failed: Called when a forward raises, or is interrupted.
    """

    def alone(forward: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            if torch.compiler.is_compiling():
                return forward(*args, **kwargs)
            with lock:
                try:
                    return forward(*args, **kwargs)
                except BaseException:
                    failed()
                    raise

        return run

    # A pair of hooks would keep the lock where a KeyboardInterrupt ends the forward: torch runs the second of them
    # after an Exception alone. What is called here runs the hooks and the forward of a module.
    with around(model, "_call_impl", alone):
        yield


@contextmanager
def edits(ports: Mapping[Any, Edit]) -> Iterator[None]:
    """Replace the hidden state at each port by what its edit makes of it.

    A packed state (tokens, width), as some vision towers keep it, is edited as a single row; tiles as rows.

    Args:
        ports: For each port, or module whose output is meant, a function of its hidden state, (rows, tokens, width).
    """
    with ExitStack() as exits:
        for port, edit in _ports(ports):
            # prepend: readers, registered without it, see the edited state, as the next layer does.
            if port.side == "output":
                exits.callback(port.module.register_forward_hook(_editing(port, edit), prepend=True).remove)
            else:
                hook = _editing_input(port, edit)
                exits.callback(port.module.register_forward_pre_hook(hook, prepend=True, with_kwargs=True).remove)
        yield


@contextmanager
def readings(ports: Mapping[Any, See]) -> Iterator[None]:
    """Show the hidden state at each port, as the next layer will see it; a packed state as a single row.

    Args:
        ports: For each port, or module whose output is meant, a function that is shown its hidden state,
            (rows, tokens, width).
    """
    with ExitStack() as exits:
        for port, see in _ports(ports):
            if port.side == "output":
                exits.callback(port.module.register_forward_hook(_reading(port, see)).remove)
            else:
                hook = _reading_input(port, see)
                exits.callback(port.module.register_forward_pre_hook(hook, with_kwargs=True).remove)
        yield


@contextmanager
def around(model: Any, method: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    """Stand around one method of one model instance, such as `generate`.

    Blocks around the same method may end in any order.

    Args:
        model: The instance; its class stays as it is.
        method: The method's name.
        wrap: Makes the function to call instead from the function that was there.
    """
    wrapper = _Wrapper(model, method, wrap)
    setattr(model, method, wrapper)
    try:
        yield
    finally:
        wrapper.remove()


def by_name(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of a call by name, however they were given.

    Args:
        function: What is called.
        args: Positional arguments.
        kwargs: Keyword arguments.
    """
    return _by_name(tuple(inspect.signature(function).parameters), args, kwargs) if args else kwargs


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch off dropout and the like, which draw from the user's random numbers.

    Args:
        model: The model.
    """
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Keep a model's own weights out of gradients, and its dropout off.

    Args:
        model: The model.
    """
    trained = [one for one in model.parameters() if one.requires_grad]
    for one in trained:
        one.requires_grad_(False)
    try:
        with evaluating(model):
            yield
    finally:
        for one in trained:
            one.requires_grad_(True)


def hidden_state(output: Any) -> Tensor:
    """The hidden state in a layer's output: the tensor itself, or the first of a tuple.

    Args:
        output: What the layer returned.
    """
    return output[0] if isinstance(output, tuple) else output


class _Wrapper:
    """What stands in place of a method, over what was there: the method, or another wrapper."""

    def __init__(self, model: Any, method: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        self._model, self._method = model, method
        self._inner: Callable[..., Any] = getattr(model, method)
        self._is_first = method not in vars(model)
        functools.update_wrapper(self, self._inner, updated=())

        @functools.wraps(self._inner, updated=())
        def inner(*args: Any, **kwargs: Any) -> Any:
            return self._inner(*args, **kwargs)

        self._call = wrap(inner)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)

    def remove(self) -> None:
        """Take this wrapper out, wherever it stands; a function that somebody else put around it calls through."""
        outer = vars(self._model).get(self._method)
        self._call = self._inner
        if outer is self:
            if self._is_first:
                delattr(self._model, self._method)
            else:
                setattr(self._model, self._method, self._inner)
            return
        while isinstance(outer, _Wrapper):
            if outer._inner is self:
                outer._inner, outer._is_first = self._inner, self._is_first
            outer = outer._inner


def _by_name(names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**dict(zip(names, args, strict=False)), **kwargs}


def _ports(ports: Mapping[Any, Hook]) -> list[tuple[Port, Hook]]:
    return [(port if isinstance(port, Port) else Port(port), hook) for port, hook in ports.items()]


def _editing(port: Port, edit: Edit) -> Callable[[nn.Module, Any, Any], Any]:
    def hook(_: nn.Module, __: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (_edited(port, edit, output[0]), *output[1:])
        return _edited(port, edit, output)

    return hook


def _editing_input(port: Port, edit: Edit) -> Callable[[nn.Module, Any, Any], Any]:
    first = _first(port.module)

    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        state = args[0] if args else kwargs[first]
        edited = _edited(port, edit, state)
        if port.side == "stream":
            state.copy_(edited)
            return None
        return ((edited, *args[1:]), kwargs) if args else (args, {**kwargs, first: edited})

    return hook


def _edited(port: Port, edit: Edit, state: Tensor) -> Tensor:
    if port.stream is not None:
        one = _edited(replace(port, stream=None), edit, state[port.stream])
        return torch.cat([state[: port.stream], one.unsqueeze(0), state[port.stream + 1 :]])
    if port.part is not None:
        start, stop = port.part
        part = _edited(Port(port.module), edit, state[..., start:stop])
        return torch.cat([state[..., :start], part, state[..., stop:]], dim=-1)
    # The usual state needs no new shape, and a step of decoding no operator for one.
    return edit(state) if state.ndim == 3 else edit(_rows(port, state)).reshape(state.shape)


def _rows(port: Port, state: Tensor) -> Tensor:
    """A hidden state as (rows, tokens, width), whether it is packed, split into tiles, or laid out in a grid."""
    if state.ndim == 3:
        return state
    return state.flatten(1, 2) if port.grid else state.reshape(-1, *state.shape[-2:])


def _reading(port: Port, see: See) -> Callable[[nn.Module, Any, Any], None]:
    def hook(_: nn.Module, __: Any, output: Any) -> None:
        see(_seen(port, hidden_state(output)))

    return hook


def _reading_input(port: Port, see: See) -> Callable[[nn.Module, Any, Any], None]:
    first = _first(port.module)

    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        see(_seen(port, args[0] if args else kwargs[first]))

    return hook


def _seen(port: Port, state: Tensor) -> Tensor:
    state = state if port.stream is None else state[port.stream]
    return _rows(port, state if port.part is None else state[..., slice(*port.part)])


def _first(module: nn.Module) -> str:
    """The name of the argument that a module is given its hidden state by."""
    return next(iter(inspect.signature(module.forward).parameters))
