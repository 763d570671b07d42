"""The casts of mixed precision: which operations take operands of 16 bits and which float32, under ``torch.autocast``.

``thread.autocast`` is None, or the Casting in force on this thread; ``call`` asks it for the operands. A cast is an operation of the tape
(ToCopyBackward0), so gradients come back in the type of what was cast. What an operation's operands are cast to stands in its row (``autocast=``).
"""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable
from typing import Any

from funnn.engine.state import thread
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import device as _device
from funnn.engine.types import dtype as _dtype
from funnn.engine.types.tree import items_of, map_items

#: What operands are cast to: the region's type of 16 bits, float32, the widest type among them; or the operation is refused.
LOWER, FLOAT32, WIDEST, REFUSED = "lower", "float32", "widest", "refused"


class Settings(threading.local):
    """What ``torch.set_autocast_…`` has set on this thread, and the casts of parameters that the outermost region keeps."""

    def __init__(self):
        self.enabled = {"cpu": False, "cuda": False}
        self.dtypes = {"cpu": _dtype.bfloat16, "cuda": _dtype.float16}
        self.cache_enabled = True
        self.nesting = 0
        self.cache: dict[tuple, tuple] = {}
        self.tracing: Any = None  # in which transformation the outermost region was entered; the cache is of that one

    def refresh(self) -> None:
        """Put the Casting of the tensors' device into force, or none."""
        here = "cuda" if _device.accelerated() else "cpu"
        thread.autocast = casting(here, self.dtypes[here]) if self.enabled[here] else None

    def enter(self) -> int:
        """Count one more region; how many there are."""
        if self.nesting == 0:
            self.tracing = thread.tracing
        self.nesting += 1
        return self.nesting

    def leave(self) -> int:
        """Count one region less; after the outermost the cache is empty."""
        self.nesting -= 1
        if self.nesting == 0:
            self.cache.clear()
        return self.nesting


settings = Settings()


class Casting:
    """The casts on one kind of device to one type of 16 bits."""

    def __init__(self, device: str, dtype: _dtype.dtype):
        self.dtype, self.device = dtype, device

    def operands(self, op: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        """The arguments of a call with the Tensors among them cast as the operation's row says."""
        policy = op.autocast.get(self.device)
        if policy is None:
            return args, kwargs
        if callable(policy):
            policy = policy(args, kwargs)
        kind = {LOWER: self.dtype, FLOAT32: _dtype.float32}.get(policy)
        if policy == REFUSED:
            raise RuntimeError(
                f"{op.name} is unsafe to autocast: its gradient does not fit float16. Use {op.name}_with_logits on what went into the sigmoid, or "
                "compute it under torch.autocast('cuda', enabled=False)"
            )
        if policy == WIDEST:
            kind = self._widest((*args, *kwargs.values()))
        if kind is None:
            return args, kwargs
        return map_items(functools.partial(self._cast, kind), (args, kwargs))

    def _cast(self, kind: _dtype.dtype, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        dtype = value.dtype
        if dtype is kind or not dtype.is_floating_point or dtype is _dtype.float64 or value.is_meta:
            return value
        keep = settings.cache_enabled and kind is self.dtype and dtype is _dtype.float32
        if keep and value.requires_grad and value._grad_fn is None and value._base is None:
            return _kept_cast(value, kind)
        return value.to(kind)

    def _widest(self, values: Any) -> _dtype.dtype | None:
        """float32 if an operand is; else all are of the region's type, and stay. Where there is float64, promotion is as without autocast."""
        kinds = [value.dtype for value in items_of(values) if isinstance(value, Tensor) and value.is_floating_point() and not value.is_meta]
        if _dtype.float64 in kinds or set(kinds) <= {self.dtype}:
            return None
        before = kinds[: kinds.index(_dtype.float32)] if _dtype.float32 in kinds else kinds  # behind a float32, torch takes any type
        unexpected = next((kind for kind in before if kind is not self.dtype), None)
        if unexpected is not None:
            raise RuntimeError(
                f"Unexpected floating ScalarType {unexpected} under autocast to {self.dtype}; convert the operand with .to({self.dtype})"
            )
        return _dtype.float32


def _kept_cast(leaf: Tensor, kind: _dtype.dtype) -> Tensor:
    """The cast of a leaf, made once in a region: uses of one parameter share it, until the parameter changes."""
    if settings.nesting == 0 or settings.tracing is not thread.tracing:
        return leaf.to(kind)
    key, written = (id(leaf), kind, thread.grad), (leaf._storage.version, leaf._storage.writes)
    kept = settings.cache.get(key)
    if kept is None or kept[0] is not leaf or kept[1] is not leaf._storage or kept[2] != written:
        kept = settings.cache[key] = leaf, leaf._storage, written, leaf.to(kind)
    return kept[3]


@functools.cache
def casting(device: str, dtype: _dtype.dtype) -> Casting:
    """One for each type, so that a program may be known by it."""
    return Casting(device, dtype)


def uncast(function: Callable, *args: Any, **kwargs: Any) -> Any:
    """The function's result without casts: what is written into given memory is computed in the operands' own types, as in torch."""
    before, thread.autocast = thread.autocast, None
    try:
        return function(*args, **kwargs)
    finally:
        thread.autocast = before


# -- torch's functions


def _device_kind(device_type: Any, refused: type[Exception] = TypeError) -> str:
    """'cpu' or 'cuda'."""
    if not isinstance(device_type, str):
        raise refused(f"Expected `device_type` of type `str`, got: `{type(device_type)}`; give 'cpu' or 'cuda'")
    kind = _device.device(device_type).type
    if kind not in settings.enabled:
        raise RuntimeError(f"unsupported autocast device_type {device_type!r}; funnn knows 'cpu' and 'cuda'")
    return kind


#: What autocast casts to on devices of torch's that are not here.
_ABSENT = {
    **dict.fromkeys(("mps", "xpu", "ipu", "mtia", "privateuseone"), _dtype.float16),
    **dict.fromkeys(("hpu", "xla", "maia"), _dtype.bfloat16),
}


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether autocast is on for a kind of device, on this thread; for kinds that are not here, it is off."""
    return device_type not in _ABSENT and settings.enabled[_device_kind(device_type)]


def set_autocast_enabled(device_type: Any = None, enabled: bool | None = None) -> None:
    """Switch autocast of a kind of device on or off, on this thread; with one argument, that of 'cuda'."""
    device, on = ("cuda", device_type) if enabled is None else ("cuda" if device_type is None else _device_kind(device_type), enabled)
    if not isinstance(on, bool):
        raise TypeError(f"set_autocast_enabled(): argument 'enabled' must be bool, not {type(on).__name__}")
    settings.enabled[device] = on
    settings.refresh()


def get_autocast_dtype(device_type: str) -> _dtype.dtype:
    """The type that autocast of a kind of device casts to: bfloat16 on 'cpu' and float16 on 'cuda', unless set."""
    return _ABSENT.get(device_type) or settings.dtypes[_device_kind(device_type)]


def set_autocast_dtype(device_type: str, dtype: _dtype.dtype) -> None:
    """Set the type that autocast of a kind of device casts to, on this thread."""
    settings.dtypes[_device_kind(device_type)] = dtype
    settings.refresh()


def is_autocast_cache_enabled() -> bool:
    """Whether the casts of parameters are kept within a region."""
    return settings.cache_enabled


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Keep the casts of parameters within a region, or make them at every use."""
    settings.cache_enabled = bool(enabled)


def clear_autocast_cache() -> None:
    """Forget the casts of parameters."""
    settings.cache.clear()


def _older(name: str, function: Callable, device: str) -> Callable:
    """A function that torch deprecates for one that takes the kind of device."""

    def deprecated(*args: Any) -> Any:
        warnings.warn(
            f"torch.{name}() is deprecated. Please use torch.{function.__name__}('{device}') instead.", DeprecationWarning, stacklevel=2
        )
        return function(device, *args)

    deprecated.__name__ = deprecated.__qualname__ = name
    deprecated.__doc__ = f"Deprecated: see torch.{function.__name__}({device!r})."
    return deprecated


#: torch's deprecated names.
OLDER = {
    name: _older(name, function, device)
    for name, function, device in (
        ("is_autocast_cpu_enabled", is_autocast_enabled, "cpu"),
        ("set_autocast_cpu_enabled", set_autocast_enabled, "cpu"),
        ("get_autocast_cpu_dtype", get_autocast_dtype, "cpu"),
        ("set_autocast_cpu_dtype", set_autocast_dtype, "cpu"),
        ("get_autocast_gpu_dtype", get_autocast_dtype, "cuda"),
        ("set_autocast_gpu_dtype", set_autocast_dtype, "cuda"),
    )
}


def autocast_increment_nesting() -> int:
    """Count one more region; how many there are."""
    return settings.enter()


def autocast_decrement_nesting() -> int:
    """Count one region less; how many are left."""
    return settings.leave()
