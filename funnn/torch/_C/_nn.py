"""torch._C._nn: functions of torch.nn.functional, and the parser of ``Module.to``."""

from __future__ import annotations

from typing import Any

from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import device as _device
from funnn.engine.types import dtype as _dtype
from funnn.torch._compiled_parts import PARTS


def _parse_to(*args: Any, **kwargs: Any) -> tuple[Any, Any, bool, Any]:
    """The arguments of ``to`` as (device, dtype, non_blocking, memory_format).

    Raises:
      RuntimeError: ``copy`` is asked for.
    """
    found = {"device": kwargs.get("device"), "dtype": kwargs.get("dtype")}
    flags = [value for value in args if isinstance(value, bool)]
    if kwargs.get("copy") or (len(flags) > 1 and flags[1]):
        raise RuntimeError(".to() does not accept copy argument")
    for value in [*args, *([kwargs["tensor"]] if "tensor" in kwargs else [])]:
        if isinstance(value, Tensor):
            found.update(device=value.device, dtype=value.dtype)
        elif isinstance(value, _dtype.dtype):
            found["dtype"] = value
        elif isinstance(value, (str, int, _device.device)) and not isinstance(value, bool):
            found["device"] = value
    place = None if found["device"] is None else _device.device(found["device"])
    return place, found["dtype"], kwargs.get("non_blocking", bool(flags and flags[0])), kwargs.get("memory_format")


globals().update(PARTS["_nn"])
