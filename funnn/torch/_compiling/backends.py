"""The names of torch.compile's backends. XLA compiles whichever is named; a backend that a program registers is kept and not called."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from funnn.torch._compiling.errors import InvalidBackend

#: torch's backends, and why a list of them may leave one out.
_TAGS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("cudagraphs", "inductor", "openxla", "tvm"), ()),
    "openxla_eval": ("experimental",),
    **dict.fromkeys(("eager", "eager_debug", "eager_noexcept", "pre_dispatch_eager", "ts", "aot_ts", "invoke_subgraph"), ("debug",)),
    **dict.fromkeys(("aot_eager", "aot_eager_default_partitioner", "aot_eager_decomp_partition"), ("debug",)),
    **dict.fromkeys(("aot_eager_decomp_partition_crossref", "aot_eager_decomp_partition_with_mode"), ("debug",)),
}
_registered: dict[str, Callable[..., Any]] = {}
_default: list[str | Callable[..., Any]] = ["inductor"]


def register_backend(compiler_fn: Callable[..., Any] | None = None, name: str | None = None, tags: Sequence[str] = ()) -> Any:
    """Let ``torch.compile(backend=name)`` be written; also a decorator. The function is not called: XLA compiles."""
    if compiler_fn is None:
        return functools.partial(register_backend, name=name, tags=tags)
    if not callable(compiler_fn):
        raise AssertionError(f"compiler_fn must be callable, got {type(compiler_fn)}")
    name = name or compiler_fn.__name__
    if name in _registered:
        raise AssertionError(f"duplicate name: {name}")
    _registered[name] = compiler_fn
    _TAGS[name] = tuple(tags)
    return compiler_fn


def lookup_backend(compiler_fn: str | Callable[..., Any]) -> Callable[..., Any]:
    """The function that was registered by that name; of torch's own names, one that gives the graph back as it is."""
    if not isinstance(compiler_fn, str):
        return compiler_fn
    check_backend(compiler_fn)
    return _registered.get(compiler_fn, _same)


def _same(graph: Any, example_inputs: Any = None, **kwargs: Any) -> Any:
    return graph


def check_backend(backend: Any) -> None:
    """Raise where a name is nobody's."""
    if isinstance(backend, str) and backend not in _TAGS:
        raise InvalidBackend(name=backend)


def list_backends(exclude_tags: Sequence[str] | None = ("debug", "experimental")) -> list[str]:
    """The names that ``torch.compile(backend=…)`` takes."""
    return sorted(name for name, tags in _TAGS.items() if not set(exclude_tags or ()).intersection(tags))


def set_default_backend(backend: str | Callable[..., Any] | None) -> None:
    """What ``torch.compile`` without a backend says it uses; None for "inductor"."""
    if backend is not None and not isinstance(backend, str) and not callable(backend):
        raise TypeError(f"backend must be a string or callable, got {type(backend)}")
    _default[0] = "inductor" if backend is None else backend


def get_default_backend() -> str | Callable[..., Any]:
    """What ``torch.compile`` without a backend says it uses."""
    return _default[0]
