"""torch._dynamo.decorators: marks on functions and tensors. Python runs at every call, so most have nothing to say to anybody."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import TracebackType
from typing import Any

from funnn.engine.program.region import is_inside_region
from funnn.engine.state import thread
from funnn.engine.tensor.tensor import Tensor
from funnn.torch._compiling.contexts import FunctionDisabled, Undecorated, innermost_fn
from funnn.torch._compiling.settings import ConfigPatch
from funnn.torch._compiling.stances import forbid_inside
from funnn.torch._compiling.stances import set_stance as set_stance
from funnn.torch._dynamo import config
from funnn.torch._dynamo.eval_frame import DisableContext
from funnn.torch.nn.modules.module import Module


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None, wrapping: bool = True) -> Any:
    """Let a function or a Module run outside of the compiled function that calls it, and not as a part of its program; also a decorator.

    What stands before it in the compiled function runs first, and what comes after it is another program.

    Args:
      recursive: torch would compile what the function calls where this is False; here it changes nothing.
      reason: is told where ``fullgraph=True`` makes this an error.
    """
    if recursive:
        context = DisableContext(reason, wrapping)
        return context if fn is None else context(_callable(innermost_fn(fn)))
    part = FunctionDisabled(reason, recursive=False)
    return part if fn is None else part.wrap_function(_callable(innermost_fn(fn)), getattr(fn, "__name__", type(fn).__name__))


def _callable(fn: Any) -> Any:
    if not callable(fn):
        raise AssertionError("fn must be callable")
    return fn


def run(fn: Any = None) -> Any:
    """The function as it is, without torch.compile's wrapper; also a decorator."""
    return Undecorated() if fn is None else Undecorated()(innermost_fn(fn))


def graph_break(msg: str = "") -> None:
    """End the program of the compiled function here, and begin another."""
    if is_inside_region():
        thread.region.break_here(f"User-inserted graph break. Message: {msg or None}", "Call to `torch._dynamo.graph_break()`")


def skip_frame(msg: str = "") -> None:
    """As ``graph_break``."""
    if is_inside_region():
        thread.region.break_here(f"Message: {msg or None}", "Call to `torch._dynamo.skip_frame()`")


def step_unsupported(msg: str = "") -> None:
    """As ``graph_break``."""
    if is_inside_region():
        thread.region.break_here(f"Message: {msg or None}", "Call to `torch._dynamo.step_unsupported()`")


class error_on_graph_break:
    """Within the block, or in the function that it decorates, a graph break is an error (or not one, where an outer block says so)."""

    def __init__(self, error_on_graph_break: bool):
        self.error_on_graph_break = error_on_graph_break
        self._before: list[tuple[Any, bool]] = []

    def __enter__(self) -> None:
        region = thread.region
        self._before.append((region, region is not None and region.refuses_breaks))
        if region is not None:
            region.refuses_breaks = self.error_on_graph_break

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        region, before = self._before.pop()
        if region is not None:
            region.refuses_breaks = before

    def __call__(self, func: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(func)
        def call_inside(*args: Any, **kwargs: Any) -> Any:
            with self:
                return func(*args, **kwargs)

        return call_inside


class override_cudagraphs:
    """A block, or a decorator, without effect: there are no CUDA graphs."""

    def __init__(self, fwd: bool | None = None, bwd: bool | None = None):
        self.fwd, self.bwd = fwd, bwd

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(self, *error: object) -> None:
        """Nothing."""

    def __call__(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func


def allow_in_graph(fn: Any) -> Any:
    """The function itself; every function is a part of the program."""
    if isinstance(fn, (list, tuple)):
        return [allow_in_graph(part) for part in fn]
    if not callable(fn):
        raise AssertionError("allow_in_graph expects a callable")
    return fn


def disallow_in_graph(fn: Any) -> Any:
    """The function itself; what it does on tensors is recorded as anything else."""
    if isinstance(fn, (list, tuple)):
        return [disallow_in_graph(part) for part in fn]
    if not callable(fn):
        raise AssertionError("disallow_in_graph expects a callable")
    return fn


def forbid_in_graph(fn: Any) -> Any:
    """The function itself, marked; Python runs, so a compiled function can call it all the same."""
    if isinstance(fn, (list, tuple)):
        return [forbid_in_graph(part) for part in fn]
    if not callable(fn):
        raise AssertionError("forbid_in_graph applies only to callables")
    fn._dynamo_forbidden = True
    return fn


def nonstrict_trace(traceable_fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function in another one that only calls it."""
    if not callable(traceable_fn):
        raise AssertionError("nonstrict_trace expects a callable")

    @functools.wraps(traceable_fn)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return traceable_fn(*args, **kwargs)

    return wrapped


def assume_constant_result(fn: Any) -> Any:
    """The function itself, marked; it runs at every call, so its result may change."""
    fn._dynamo_marked_constant = True
    return fn


def substitute_in_graph(
    original_fn: Callable[..., Any], *, can_constant_fold_through: bool = False, skip_signature_check: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: the function that torch's compiler would trace in the place of ``original_fn``. Python runs, so the original is called everywhere."""
    if not (inspect.isfunction(original_fn) or inspect.isbuiltin(original_fn)):
        raise TypeError(f"substitute_in_graph expects a function but got {type(original_fn)!r}")

    def wrapper(traceable_fn: Callable[..., Any]) -> Callable[..., Any]:
        if not inspect.isfunction(traceable_fn):
            raise TypeError(f"@substitute_in_graph(...) expects a function but got {type(traceable_fn)!r}")

        @functools.wraps(traceable_fn)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            return original_fn(*args, **kwargs)

        marked: Any = wrapped
        marked.__torch_dynamo_original__ = original_fn
        marked.__torch_dynamo_polyfill__ = traceable_fn
        marked.__torch_dynamo_can_constant_fold_through__ = can_constant_fold_through
        return wrapped

    return wrapper


def patch_dynamo_config(arg1: Any = None, arg2: Any = None, **kwargs: Any) -> ConfigPatch:
    """``torch._dynamo.config.patch``."""
    return config.settings.patch(dict(arg1) if isinstance(arg1, tuple) else arg1, arg2, **kwargs)


def dont_skip_tracing(fn: Any = None) -> Any:
    """The function itself, or a block without effect."""
    return patch_dynamo_config(dont_skip_tracing=True) if fn is None else fn


def disable_nested_graph_breaks(fn: Any = None) -> Any:
    """The function itself, or a block without effect."""
    return patch_dynamo_config(nested_graph_breaks=False) if fn is None else fn


def is_dynamo_disable_recursive(method: Any) -> bool | None:
    """How ``disable`` was called on the function; None where it was not."""
    return getattr(method, "_torchdynamo_disable_recursive", None)


def _dimensions(index: Any) -> list[int]:
    if isinstance(index, int):
        return [index]
    if not isinstance(index, (list, tuple)):
        raise AssertionError(f"Expected index to be int, list, or tuple, got {type(index)}")
    return list(index)


def _mark(t: Any, name: str, index: Any) -> None:
    if not hasattr(t, name):
        setattr(t, name, set())
    getattr(t, name).update(_dimensions(index))
    t._has_dynamo_dim_marking = True


def mark_dynamic(
    t: Any, index: Any, *, hint_override: int | None = None, min: int | None = None, max: int | None = None, specialize_on: Any = None
) -> None:
    """Mark dimensions whose size changes; programs are compiled for sizes as they come, so nobody reads it."""
    forbid_inside(mark_dynamic)
    _mark(t, "_dynamo_dynamic_indices", index)


def maybe_mark_dynamic(t: Any, index: Any) -> None:
    """As ``mark_dynamic``."""
    forbid_inside(maybe_mark_dynamic)
    _mark(t, "_dynamo_weak_dynamic_indices", index)


def mark_static(t: Any, index: Any = None) -> Any:
    """Mark dimensions (by default all) whose size stays, or a class of Modules; nobody reads it."""
    if isinstance(t, Tensor):
        _mark(t, "_dynamo_static_indices", list(range(t.dim())) if index is None else index)
        return None
    if isinstance(t, type) and issubclass(t, Module):
        t._dynamo_marked_static = True  # type: ignore[attr-defined]
        return t
    raise TypeError(f"mark_static expects a tensor/nn.Module class but received {type(t)}")


def mark_static_address(t: Any, guard: bool = False) -> None:
    """Mark a tensor whose memory stays; nobody reads it."""
    forbid_inside(mark_static_address)
    if not isinstance(t, Tensor):
        raise TypeError(f"mark_static_address expects a tensor but received {type(t)}")
    t._dynamo_static_input_type = "guarded" if guard else "unguarded"  # type: ignore[attr-defined]
