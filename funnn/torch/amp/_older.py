"""The names that torch deprecates for ``torch.amp``'s, made for a kind of device."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from funnn.engine.types import dtype as _dtype
from funnn.torch.amp import autocast_mode, grad_scaler


@functools.cache
def names(device: str) -> tuple[type, type, Callable, Callable]:
    """``autocast``, ``GradScaler``, ``custom_fwd`` and ``custom_bwd`` of ``torch.<device>.amp``."""
    default = _dtype.bfloat16 if device == "cpu" else _dtype.float16

    def deprecated(name: str, call: str) -> None:
        warnings.warn(
            f"`torch.{device}.amp.{name}(args...)` is deprecated. Please use `torch.amp.{call}` instead.", FutureWarning, stacklevel=3
        )

    class autocast(autocast_mode.autocast):
        __doc__ = f"Deprecated: see torch.amp.autocast({device!r})."

        def __init__(self, enabled: bool = True, dtype: Any = default, cache_enabled: bool = True):
            deprecated("autocast", f"autocast('{device}', args...)")
            super().__init__(device, dtype, enabled, cache_enabled)

    class GradScaler(grad_scaler.GradScaler):
        __doc__ = f"Deprecated: see torch.amp.GradScaler({device!r})."

        def __init__(
            self,
            init_scale: float = 2.0**16,
            growth_factor: float = 2.0,
            backoff_factor: float = 0.5,
            growth_interval: int = 2000,
            enabled: bool = True,
        ):
            deprecated("GradScaler", f"GradScaler('{device}', args...)")
            super().__init__(device, init_scale, growth_factor, backoff_factor, growth_interval, enabled)

    def custom_fwd(fwd: Callable | None = None, *, cast_inputs: Any = None) -> Callable:
        """Deprecated: see torch.amp.custom_fwd, with ``device_type``."""
        deprecated("custom_fwd", f"custom_fwd(args..., device_type='{device}')")
        return functools.partial(autocast_mode.custom_fwd, device_type=device, cast_inputs=cast_inputs)(fwd)

    def custom_bwd(bwd: Callable) -> Callable:
        """Deprecated: see torch.amp.custom_bwd, with ``device_type``."""
        deprecated("custom_bwd", f"custom_bwd(args..., device_type='{device}')")
        return autocast_mode.custom_bwd(bwd, device_type=device)

    for kind in (autocast, GradScaler):
        kind.__module__, kind.__qualname__ = f"funnn.torch.{device}.amp", kind.__name__
    return autocast, GradScaler, custom_fwd, custom_bwd
