"""The meaning of ``out=``: the result is written into the given tensor's memory, after that took the result's shape."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from funnn.engine.dispatch.autocast import uncast
from funnn.engine.dispatch.inplace import LIE_TOGETHER, assign, check_overlap
from funnn.engine.ops.kit.return_types import with_out
from funnn.engine.state import thread
from funnn.engine.types.warning import say

_SPELT = {"float32": "float", "float64": "double", "int64": "long int", "int32": "int"}


def write_out(out: Any, result: Any, exact: bool = False, operands: tuple = ()) -> Any:
    """The result, computed from ``operands``, in ``out``, which is returned; ``exact``, the types must be equal."""
    if isinstance(result, tuple):
        for target, value in zip(out, result, strict=True):
            write_out(target, value, exact, operands)
        return with_out(result, out)
    if out.is_meta is not result.is_meta:
        raise RuntimeError(
            f"Attempting to copy from device {result.device} to device {out.device}, but cross-device copies are not allowed! Give an out like the result"
        )
    if exact and out.dtype is not result.dtype:
        wanted, got = (_SPELT.get(kind.name, kind.name) for kind in (result.dtype, out.dtype))
        raise RuntimeError(f"Expected out tensor to have dtype {wanted}, but got {got} instead; give torch.empty(0, dtype={result.dtype})")
    if thread.grad and (result.requires_grad or out.requires_grad or any(getattr(item, "requires_grad", False) for item in operands)):
        raise RuntimeError("out=... arguments don't support automatic differentiation, but one of the arguments requires grad.")
    if out._shape() != result._shape():
        if out.numel():
            say(
                f"An output with one or more elements was resized since it had shape {list(out.shape)}, which does not match the required "
                f"output shape {list(result.shape)}. This behavior is deprecated, and in a future PyTorch release outputs will not be resized "
                "unless they have zero elements. You can explicitly reuse an out tensor t by resizing it, inplace, to zero elements with t.resize_(0)."
            )
        out.resize_(result._shape())
        if out.numel() and any(item is out for item in operands):
            raise RuntimeError(LIE_TOGETHER)
    check_overlap(out, operands)
    return assign(out, result, None)


def exactly(run: Callable) -> Callable:
    """The function with an ``out`` that must be of the result's own type."""

    @functools.wraps(run)
    def checked(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        result = run(*args, **kwargs) if out is None else uncast(run, *args, **kwargs)
        return result if out is None else write_out(out, result, True, args)

    return checked
