"""Module hooks: the only file that registers them. None outlives its `with`, whatever is raised inside."""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
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
        tick(_by_name(names, args, kwargs) if args else kwargs)

    with ExitStack() as exits:
        exits.callback(stack.register_forward_pre_hook(before, with_kwargs=True).remove)
        yield


@contextmanager
def one_at_a_time(model: nn.Module, lock: AbstractContextManager[Any], failed: Callable[[], None]) -> Iterator[None]:
    """Let one thread at a time run a model.

    Args:
        model: The model.
        lock: Held while a forward runs; a thread may hold it already.
        failed: Called when a forward raises.
    """
    is_open = True

    def before(*_: Any) -> None:
        if torch.compiler.is_compiling():
            return
        lock.__enter__()
        if not is_open:  # the block ended while this thread waited, and took `after` away
            lock.__exit__(None, None, None)

    def after(_: nn.Module, __: Any, output: Any) -> None:
        if torch.compiler.is_compiling():
            return
        if output is None:
            failed()
        lock.__exit__(None, None, None)

    with ExitStack() as exits:
        # First of all and come what may, so that each release follows its acquire.
        exits.callback(model.register_forward_pre_hook(before, prepend=True).remove)
        exits.callback(model.register_forward_hook(after, always_call=True).remove)
        yield
        is_open = False


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
