"""Writing into a tensor: what is allowed, and what it does to the history."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.memory.storage import covers, plan_window, write_through, write_window
from funnn.engine.memory.strides import is_dense
from funnn.engine.state import thread
from funnn.engine.tape.node import Gate
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.dtype import dtype

_copy_slices = Op(write_window, "CopySlices", scalars=("starts",))
_copy_through = Op(write_through, "CopySlices", scalars=("own", "at"))  # of a base that is itself a window, as clone() may make it
_NO_HISTORY = (
    "A view was created in no_grad mode and is being modified inplace with grad mode enabled. Given that this use case is ambiguous and error-prone, it "
    "is forbidden. You can clarify your code by moving both the view and the inplace either both inside the no_grad block (if you don't want the inplace "
    "to be tracked) or both outside (if you want the inplace to be tracked)."
)
_LEAF = "a leaf Variable that requires grad is being used in an in-place operation."


def check_writable(tensor: Tensor, overlapping: bool = False) -> None:
    """Raise torch's errors for in-place operations on leaves and, unless ``overlapping`` is allowed, on expanded tensors."""
    if tensor._storage.inference and not thread.inference:
        raise RuntimeError(
            "Inplace update to inference tensor outside InferenceMode is not allowed. Write to a clone() made outside inference_mode instead."
        )
    if thread.grad and tensor.requires_grad:
        if tensor._base is not None and tensor._grad_fn is None:
            raise RuntimeError(_NO_HISTORY)
        if _is_leaf(tensor):
            raise RuntimeError(f"{_LEAF} Do it under torch.no_grad(), or on a copy: tensor.clone().")
        base = tensor._base
        if base is not None and base.requires_grad and _is_leaf(base):
            raise RuntimeError(f"a view of {_LEAF} Do it under torch.no_grad(), or on a copy: tensor.clone().")
    window = tensor._window
    if (
        not overlapping
        and window is not None
        and any(stride == 0 and size > 1 for size, stride in zip(window.shape, window.stride, strict=True))
        and 0 not in window.shape
    ):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
            "Please clone() the tensor before performing the operation."
        )


def check_no_piece(tensor: Tensor) -> None:
    """Raise torch's error where a view that came with others from one call, or out of a Function, is written with gradients."""
    if thread.grad and tensor._piece is not None and tensor.requires_grad:
        raise RuntimeError(f"{tensor._piece} and is being modified inplace. {tensor._why}")


_TOGETHER = (
    "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory location. "
    "Please clone() the tensor before performing the operation."
)
#: Functions whose result may not lie on an operand; that of others may, if it lies exactly there.
_APART = frozenset(("cat", "gather", "index_select", "kthvalue", "masked_select", "scatter", "scatter_add", "take"))


def check_out(name: str, out: Any, operands: Iterable[Any]) -> None:
    """Raise torch's errors for an ``out`` that lies on an operand: partly, or for some functions at all."""
    for target in out if isinstance(out, (tuple, list)) else (out,):
        if not isinstance(target, Tensor):
            continue
        if name in _APART:
            check_writable(target)
        for operand in operands:
            if isinstance(operand, (tuple, list)):
                check_out(name, target, operand)
            elif isinstance(operand, Tensor) and operand._storage is target._storage and _lie_together(target, operand, name in _APART):
                raise RuntimeError(_TOGETHER)


def _lie_together(target: Tensor, operand: Tensor, exactly: bool) -> bool:
    """Whether two windows on a storage share elements, both being dense; unless ``exactly``, those that are the same do not count."""
    one, other = target._view_window(), operand._view_window()
    if 0 in one.shape or 0 in other.shape:
        return False
    if (one.shape, one.stride, one.offset) == (other.shape, other.stride, other.offset):
        return exactly
    if not (is_dense(one.shape, one.stride) and is_dense(other.shape, other.stride)):
        return False
    return one.offset < other.offset + math.prod(other.shape) and other.offset < one.offset + math.prod(one.shape)


def check_overlap(written: Tensor, sources: Iterable[Any]) -> None:
    """Raise torch's error where a source is in part what is written."""
    for source in sources:
        if source is not written and getattr(source, "_storage", None) is written._storage and _lie_together(written, source, False):
            raise RuntimeError(_TOGETHER)


def _is_leaf(tensor: Tensor) -> bool:
    """Whether nothing made the tensor, as the function that is being transformed sees it."""
    return tensor.is_leaf or type(tensor._grad_fn) is Gate


def check_castable(found: dtype, wanted: dtype) -> None:
    """Raise torch's error where a result of one type is not written into a tensor of another."""
    if found.category > wanted.category:
        raise RuntimeError(
            f"result type {found.legacy} can't be cast to the desired output type {wanted.legacy}; "
            f"convert the tensor first, or use the operation that returns a new tensor"
        )


def assign(tensor: Tensor, result: Tensor, overlapping: bool = False) -> Tensor:
    """Make ``result``, computed from ``tensor`` or not, the new value and history of ``tensor``."""
    check_writable(tensor, overlapping)
    shape, kind = tensor._shape(), tensor.dtype
    if result._shape() != shape:
        raise RuntimeError(f"output with shape {list(shape)} doesn't match the broadcast shape {list(result._shape())}")
    if result.dtype is not kind:
        check_castable(result.dtype, kind)
        result = result.to(kind)
    if not (thread.grad and (result.requires_grad or tensor.requires_grad)):
        tensor._write(result._operand())
        return tensor
    base = tensor._base
    check_no_piece(tensor)
    if base is None:
        tensor._write(result._operand())
        tensor._set_history(*(result._edge() if result.requires_grad else (None, 0)))
        _saved_results_move(result, tensor)
        tensor._changes += 1
        return tensor
    memory = base._storage.value
    at = plan_window(memory.shape, tensor._view_window(), memory.dtype)[::-1]
    if base._window is None:
        changed = call(_copy_slices, (base, result, *at), {})
    else:
        window = tensor._view_window()
        if window.dtype is base._window.dtype and not covers(base._window, window):
            raise NotImplementedError(
                "writing with gradients through a view (as_strided) that reaches outside the tensor it was taken from is not supported; "
                "take the view from a clone() of all that it reaches"
            )
        own = plan_window(memory.shape, base._window, memory.dtype)[::-1]
        changed = call(_copy_through, (base, result, memory, own, at), {})
    base._write(changed._operand())
    base._set_history(changed._grad_fn, changed._output)
    base._changes += 1
    _saved_results_move(result, tensor)
    return tensor


def _saved_results_move(result: Tensor, tensor: Tensor) -> None:
    """What the operation saved of its result lives in ``tensor`` now; what it saved of the old value is an immutable array and stays good."""
    node = result._grad_fn
    saved = getattr(node, "saved", None)
    if saved:
        storage = tensor._storage
        node.saved = [
            (storage, storage.writes, item[2], storage.version if item[3] >= 0 else ~storage.version, tensor._window)
            if item[0] is result._storage
            else item
            for item in saved
            if item[0] is not storage
        ]
