"""Regions of mixed precision, and autograd.Functions inside them."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from funnn.engine.dispatch import autocast as _autocast
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import device as _device
from funnn.engine.types import dtype as _dtype

_LOWER = {"cpu": (_dtype.bfloat16, _dtype.float16), "cuda": (_dtype.float16, _dtype.bfloat16)}


def is_autocast_available(device_type: str) -> bool:
    """Whether there is autocast for a kind of device, be it present or not."""
    return _device.device(device_type).type in _LOWER


class autocast:
    """A region (or, as a decorator, a function) in which products of matrices take operands of 16 bits, and losses float32.

    Args:
      device_type: 'cpu' or 'cuda'. Tensors live on one of them, where JAX puts arrays; a region for the other changes nothing.
      dtype: torch.bfloat16 or torch.float16; default ``torch.get_autocast_dtype(device_type)``.
      enabled: False makes an island without casts inside another region.
      cache_enabled: whether a parameter is cast once in the outermost region instead of at each use; default as it is around the region.

    Operations outside torch's lists run in the types of their operands. torch computes some operations from several, of which it casts the inner
    products; those of them that are one operation here (GRU, LSTMCell, GRUCell, cov, corrcoef, pinv on a CPU) stay in float32. A parameter that
    changes inside a region is cast again, where torch would use the stale copy.

    Warns:
      UserWarning: autocast is disabled, because the dtype is not of 16 bits or JAX sees no GPU.
    """

    def __init__(self, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None):
        self.device = _autocast._device_kind(device_type, ValueError)
        self.fast_dtype = _autocast.get_autocast_dtype(self.device) if dtype is None else dtype
        self._cache_enabled = _autocast.is_autocast_cache_enabled() if cache_enabled is None else cache_enabled
        if enabled and self.device == "cuda" and not _device.accelerated():
            warnings.warn("CUDA is not available or torch_xla is imported. Disabling autocast.", stacklevel=2)
            enabled = False
        if enabled and self.fast_dtype not in _LOWER[self.device]:
            name = self.device.upper()
            warnings.warn(
                f"In {name} autocast, but the target dtype is not supported. Disabling autocast.\n{name} Autocast only supports dtypes of "
                f"{', '.join(map(str, _LOWER[self.device]))} currently.",
                stacklevel=2,
            )
            enabled = False
        self._enabled = bool(enabled)
        self._before: list[tuple] = []

    def __enter__(self) -> autocast:
        now = _autocast.settings
        self._before.append((now.enabled[self.device], now.dtypes[self.device], now.cache_enabled))
        self._set(self._enabled, self.fast_dtype, self._cache_enabled)
        now.enter()
        return self

    def __exit__(self, *exc: Any) -> bool:
        _autocast.settings.leave()
        self._set(*self._before.pop())
        return False

    def _set(self, enabled: bool, dtype: Any, cache_enabled: bool) -> None:
        now = _autocast.settings
        now.enabled[self.device], now.dtypes[self.device], now.cache_enabled = enabled, dtype, cache_enabled
        now.refresh()

    def __call__(self, func: Callable) -> Callable:
        if not callable(func):
            raise TypeError(
                f"autocast()(func) requires a callable, but got {type(func).__name__}; to open a region: with torch.autocast('cpu'): …"
            )

        @functools.wraps(func)
        def decorate_autocast(*args: Any, **kwargs: Any) -> Any:
            with self:
                return func(*args, **kwargs)

        return decorate_autocast


def _cast(value: Any, dtype: Any) -> Any:
    """The Tensors of floating point, except float64, also inside containers, in another type."""
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() and value.dtype is not _dtype.float64 else value
    if isinstance(value, Mapping):
        return {_cast(name, dtype): _cast(item, dtype) for name, item in value.items()}
    return type(value)([_cast(item, dtype) for item in value]) if isinstance(value, (tuple, list)) else value


def custom_fwd(fwd: Callable | None = None, *, device_type: str, cast_inputs: Any = None) -> Callable:
    """Decorator of an autograd.Function's ``forward``: with ``cast_inputs`` it runs, in a region, without autocast on inputs cast to that type."""
    device = _autocast._device_kind(device_type, ValueError)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def decorate_fwd(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        enabled = _autocast.is_autocast_enabled(device)
        ctx._dtype, ctx._fwd_used_autocast = _autocast.get_autocast_dtype(device), enabled and cast_inputs is None
        if cast_inputs is None or not enabled:
            return fwd(ctx, *args, **kwargs)
        with autocast(device, enabled=False):
            return fwd(ctx, *_cast(args, cast_inputs), **_cast(kwargs, cast_inputs))

    return decorate_fwd


def custom_bwd(bwd: Callable | None = None, *, device_type: str) -> Callable:
    """Decorator of an autograd.Function's ``backward``: it runs with autocast as its ``forward`` did."""
    device = _autocast._device_kind(device_type, ValueError)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def decorate_bwd(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        with autocast(device, enabled=ctx._fwd_used_autocast, dtype=ctx._dtype):
            return bwd(ctx, *args, **kwargs)

    return decorate_bwd
