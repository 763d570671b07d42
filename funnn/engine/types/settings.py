"""Settings that torch keeps for the whole process: determinism, threads, precision of products, the default device."""

from __future__ import annotations

import functools
import os
import warnings
from typing import Any, cast

import jax

from funnn.engine.state import before_settings_change, thread
from funnn.engine.types import device as _device
from funnn.engine.types import dtype as _dtype
from funnn.engine.types import warning as _warn

_DEBUG_MODES = ("default", "warn", "error")
#: torch's name of a precision -> JAX's, which counts on accelerators.
_PRECISIONS = {"highest": "highest", "high": "tensorfloat32", "medium": "bfloat16"}
#: The context in which operations run: 64-bit types exist, and the precision of products is the one that was set.
running = functools.partial(jax.enable_x64, True)
#: torch's name of that precision.
products = "highest"
_kept: dict[str, Any] = {
    "deterministic": "default",
    "threads": os.cpu_count(),
    "interop": os.cpu_count(),
}


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Kept, and nothing else: XLA's programs are deterministic on a CPU; for a GPU set XLA_FLAGS=--xla_gpu_deterministic_ops=true."""
    _kept["deterministic"] = "default" if not mode else "warn" if warn_only else "error"


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """As use_deterministic_algorithms, by 'default', 'warn', 'error' or 0, 1, 2."""
    if isinstance(debug_mode, str) and debug_mode not in _DEBUG_MODES:
        raise RuntimeError(f"invalid value of debug_mode, expected one of `default`, `warn`, `error`, but got {debug_mode}")
    if not isinstance(debug_mode, str) and debug_mode not in (0, 1, 2):
        raise RuntimeError(f"invalid value of debug_mode, expected 0, 1, or 2, but got {debug_mode}")
    _kept["deterministic"] = debug_mode if isinstance(debug_mode, str) else _DEBUG_MODES[debug_mode]


def get_deterministic_debug_mode() -> int:
    """0, 1 or 2."""
    return _DEBUG_MODES.index(_kept["deterministic"])


def are_deterministic_algorithms_enabled() -> bool:
    """Whether they were asked for."""
    return _kept["deterministic"] != "default"


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Whether they were asked for with ``warn_only``."""
    return _kept["deterministic"] == "warn"


def _keep_threads(name: str, key: str, number: int) -> None:
    if not isinstance(number, int):
        raise RuntimeError(f"{name} expects an int, but got {type(number).__name__}")
    if number < 1:
        raise RuntimeError(f"{name} expects a positive integer, got {number}")
    _kept[key] = number


def set_num_threads(number: int) -> None:
    """Kept, and nothing else: XLA takes as many threads as there are cores when it starts."""
    _keep_threads("set_num_threads", "threads", number)


def get_num_threads() -> int:
    """What was set; at first the number of cores."""
    return _kept["threads"]


def set_num_interop_threads(number: int) -> None:
    """Kept, and nothing else: XLA takes as many threads as there are cores when it starts."""
    _keep_threads("set_num_interop_threads", "interop", number)


def get_num_interop_threads() -> int:
    """What was set; at first the number of cores."""
    return _kept["interop"]


def _has_64_bits() -> bool:
    return bool(cast(Any, jax.config).jax_enable_x64)


class kept:
    """A context after which types of 64 bits exist if they did before, though an interrupt came where JAX's own context was left."""

    __slots__ = ("_before",)

    def __enter__(self) -> None:
        self._before = _has_64_bits()

    def __exit__(self, *exc: Any) -> None:
        if _has_64_bits() != self._before:
            jax.enable_x64(self._before).__enter__()


class _Running:
    """64-bit types, and a precision of products of float32 matrices."""

    __slots__ = ("_contexts",)

    def __init__(self, precision: str):
        self._contexts = jax.enable_x64(True), jax.default_matmul_precision(precision)

    def __enter__(self) -> None:
        for context in self._contexts:
            context.__enter__()

    def __exit__(self, *exc: Any) -> None:
        for context in reversed(self._contexts):
            context.__exit__(*exc)


def set_float32_matmul_precision(precision: str) -> None:
    """'highest', 'high' (TF32) or 'medium' (bfloat16) in this library's products of float32 matrices on an accelerator; JAX's own setting, and what
    jax.numpy computes elsewhere, stay as they are."""
    global running, products
    if precision not in _PRECISIONS:
        warnings.warn(f"{precision} is not one of 'highest', 'high', or 'medium'; nothing is changed", stacklevel=2)
        return
    for prepare in before_settings_change:
        prepare()
    products = precision
    running = functools.partial(_Running, _PRECISIONS[precision])


def get_float32_matmul_precision() -> str:
    """What was set; 'highest' at first, though JAX itself may choose TF32 on a GPU until a precision is set."""
    return products


def set_default_device(device: Any) -> None:
    """Where this thread makes tensors from now on: 'meta', or the device where JAX puts arrays anyway (None); for others see jax.default_device."""
    kind = _device.device("cpu" if device is None else device).type
    if kind not in ("cuda" if _device.accelerated() else "cpu", "meta") and device is not None:
        raise NotImplementedError(f"torch.set_default_device({device!r}) is not supported: JAX puts arrays on {jax.default_backend()}")
    thread.default_device = None if device is None else _device.device(device)


def get_default_device() -> _device.device:
    """Where tensors are made."""
    found: _device.device | None = thread.devices[-1] if thread.devices else thread.default_device
    return _device.here() if found is None or found.type != "meta" else _device.META


def set_default_tensor_type(t: Any) -> None:
    """The default floating-point type, from torch.DoubleTensor or its name. Deprecated: see set_default_dtype."""
    _warn.warn(
        "torch.set_default_tensor_type() is deprecated as of PyTorch 2.1, please use torch.set_default_dtype() and torch.set_default_device() as "
        "alternatives.",
        once=True,
    )
    name = (t if isinstance(t, str) else t.__name__).rpartition(".")[2]
    kind = next((kind for kind in _dtype.ALL if f"{kind.legacy}Tensor" == name), t)
    _dtype.set_default_dtype(kind)


def set_warn_always(b: bool) -> None:
    """Whether warnings that are given once in a program are given every time."""
    _warn.always = bool(b)


def is_warn_always_enabled() -> bool:
    """What was set."""
    return _warn.always


def set_flush_denormal(mode: bool) -> bool:
    """False: it cannot be set."""
    return False
