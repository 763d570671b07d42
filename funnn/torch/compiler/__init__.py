"""torch.compiler: what a program asks and tells torch.compile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from funnn.engine.program.region import is_inside_region
from funnn.engine.program.report import Report
from funnn.engine.program.report import forget as _forget_report
from funnn.engine.program.report import report as _report
from funnn.torch import _dynamo, _inductor
from funnn.torch._compile import compile as compile
from funnn.torch._compiling.backends import get_default_backend as get_default_backend
from funnn.torch._compiling.backends import list_backends as list_backends
from funnn.torch._compiling.backends import set_default_backend as set_default_backend
from funnn.torch._compiling.stances import set_stance as set_stance
from funnn.torch._dynamo.decorators import allow_in_graph as allow_in_graph
from funnn.torch._dynamo.decorators import assume_constant_result as assume_constant_result
from funnn.torch._dynamo.decorators import substitute_in_graph as substitute_in_graph
from funnn.torch._dynamo.external_utils import wrap_inline as _wrap_inline
from funnn.torch._dynamo.external_utils import wrap_numpy as _wrap_numpy
from funnn.torch.compiler import config as config
from funnn.torch.nn.parameter import Parameter

__all__ = [
    *("compile", "config", "assume_constant_result", "reset", "allow_in_graph", "substitute_in_graph", "list_backends", "disable"),
    *("set_default_backend", "get_default_backend", "set_stance", "set_enable_guard_collectives", "cudagraph_mark_step_begin"),
    *("load_compiled_function", "wrap_numpy", "is_compiling", "is_dynamo_compiling", "is_exporting", "save_cache_artifacts"),
    *("load_cache_artifacts", "keep_portable_guards_unsafe", "skip_guard_on_inbuilt_nn_modules_unsafe"),
    *("skip_guard_on_all_nn_modules_unsafe", "keep_tensor_guards_unsafe", "skip_guard_on_globals_unsafe", "skip_all_guards_unsafe"),
    "nested_compile_region",
]
_guard_collectives = [False]


def reset() -> None:
    """Forget what was counted, and what ``mode="reduce-overhead"`` replays. Programs stay: there is nothing in them that could be out of date."""
    _dynamo.reset()
    _forget_report()


def report() -> Report:
    """What ran since the process began or since ``reset()``; torch has no such function.

    Operations are recorded, and run together where a value is asked for or a step ends. The report has a line for each line of the program that asked:
    how often (``flushes``), how many of the graphs of operations had not come before (``graphs``), how many programs were compiled for them
    (``compilations``), and the seconds that compiling and running took (``compiling``, ``running``; on an accelerator, until the work was on its way).
    ``print`` shows it as a table. ``lines`` has the lines, the longest first; the report itself has the sums.

    Example:
      >>> import funnn.torch as torch
      >>> torch.compiler.reset()
      >>> for n in range(3):
      ...     value = (torch.ones(10_000 + n) * 2).sum().item()  # of a few numbers nothing is recorded
      >>> torch.compiler.report().flushes
      3
    """
    return _report()


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """Let a function or a Module run outside of the compiled function that calls it; also a decorator. See :func:`torch._dynamo.disable`."""
    return _dynamo.disable(fn, recursive, reason=reason)


def is_compiling() -> bool:
    """Whether the line runs in a function that torch.compile compiles; at every call, not only at the first."""
    return is_inside_region()


def is_dynamo_compiling() -> bool:
    """As ``is_compiling``."""
    return is_inside_region()


def is_exporting() -> bool:
    """False: there is no torch.export."""
    return False


def cudagraph_mark_step_begin() -> None:
    """Empty: what a replay returned stays as it is at the next one, which has memory of its own."""
    _inductor.cudagraph_mark_step_begin()


def set_enable_guard_collectives(enabled: bool) -> bool:
    """Kept and handed back by the next call; there are no guards to agree on."""
    before, _guard_collectives[0] = _guard_collectives[0], bool(enabled)
    return before


def wrap_numpy(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function of NumPy arrays as one of tensors: they become arrays, and the arrays that it returns tensors. Gradients do not flow through it."""
    return _wrap_numpy(fn)


def nested_compile_region(
    fn: Callable[..., Any] | None = None,
    *,
    options: Any = None,
    max_reuse_entries: int = 8,
    reuse_hash_fn: Callable[..., Any] | None = None,
) -> Any:
    """The function in another one that only calls it: it is a part of the program like anything else; also a decorator."""
    if options is not None:
        raise RuntimeError("nested_compile_region config is an experimental feature for testing only.")
    return nested_compile_region if fn is None else _wrap_inline(fn)


def _no_files(name: str) -> NoReturn:
    raise NotImplementedError(f"torch.compiler.{name} is not supported: funnn.cache_compilations() keeps compiled programs on disk")


def save_cache_artifacts() -> NoReturn:
    """Not supported: ``funnn.cache_compilations`` keeps programs on disk."""
    _no_files("save_cache_artifacts")


def load_cache_artifacts(serialized_artifacts: bytes) -> NoReturn:
    """Not supported: ``funnn.cache_compilations`` keeps programs on disk."""
    _no_files("load_cache_artifacts")


def load_compiled_function(
    file: Any, *, f_globals: dict[str, object] | None = None, external_data: dict[str, Any] | None = None
) -> NoReturn:
    """Not supported: ``funnn.cache_compilations`` keeps programs on disk."""
    _no_files("load_compiled_function")


# -- filters of guards, for ``torch.compile(options={"guard_filter_fn": …})``: nobody calls them, because there are no guards


def keep_portable_guards_unsafe(guard_entries: Sequence[Any]) -> list[bool]:
    """Which guards to keep: those that hold in another process."""
    kinds = ("GLOBAL_STATE", "SHAPE_ENV")
    return [entry.guard_type in kinds or (entry.guard_type == "TENSOR_MATCH" and not entry.is_global) for entry in guard_entries]


def skip_guard_on_inbuilt_nn_modules_unsafe(guard_entries: Sequence[Any]) -> list[bool]:
    """Which guards to keep: those that are not of torch's Modules."""
    return [not entry.orig_guard.source.is_unspecialized_builtin_nn_module() for entry in guard_entries]


def skip_guard_on_all_nn_modules_unsafe(guard_entries: Sequence[Any]) -> list[bool]:
    """Which guards to keep: those that are not of Modules."""
    return [not entry.orig_guard.source.is_unspecialized_nn_module() for entry in guard_entries]


def keep_tensor_guards_unsafe(guard_entries: Sequence[Any], keep_parameters: bool = False) -> list[bool]:
    """Which guards to keep: those of tensors; of parameters only with ``keep_parameters``."""
    return [entry.guard_type == "TENSOR_MATCH" and (keep_parameters or not isinstance(entry.value, Parameter)) for entry in guard_entries]


def skip_guard_on_globals_unsafe(guard_entries: Sequence[Any]) -> list[bool]:
    """Which guards to keep: those that are not of global names."""
    return [not entry.is_global for entry in guard_entries]


def skip_all_guards_unsafe(guard_entries: Sequence[Any]) -> list[bool]:
    """Which guards to keep: none."""
    return [False for _ in guard_entries]
