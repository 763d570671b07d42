"""Writing into a tensor: what is allowed, and what it does to the history."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.memory.grown import whole_memory
from funnn.engine.memory.storage import covers, plan_window, write_through, write_window
from funnn.engine.memory.strides import is_dense
from funnn.engine.state import thread
from funnn.engine.tape.node import Gate
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.tensor.written_views import refused_write
from funnn.engine.types.dtype import dtype

_copy_slices = Op(write_window, "CopySlices", scalars=("starts",))
_copy_through = Op(write_through, "CopySlices", scalars=("own", "at"))  # of a base that is itself a window, as clone() may make it
_LEAF = "a leaf Variable that requires grad is being used in an in-place operation."


def check_writable(tensor: Tensor, name: str | None, overlapping: bool = False, joined: bool = False) -> None:
    """Raise torch's errors for in-place operations on leaves, on some views and, unless ``overlapping`` is allowed, on expanded tensors.

    ``name`` is torch's of the operation; None of what is none, but writes an ``out`` or running statistics. ``joined`` says that what is written into
    the tensor needs gradients.
    """
    if thread.levels and name is not None:
        check_captured(tensor, name)
    if tensor._storage.inference and not thread.inference:
        raise RuntimeError(
            "Inplace update to inference tensor outside InferenceMode is not allowed. Write to a clone() made outside inference_mode instead."
        )
    if thread.grad and (tensor.requires_grad or joined):
        if tensor._made is not None:
            raise refused_write(tensor)
        if tensor.requires_grad:
            of_leaf = tensor._base is not None and _is_leaf(tensor._base)
            if of_leaf or _is_leaf(tensor):
                raise RuntimeError(f"{'a view of ' if of_leaf else ''}{_LEAF} Do it under torch.no_grad(), or on a copy: tensor.clone().")
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


def check_captured(tensor: Tensor, name: str) -> None:
    """Raise torch's error where a function that is being differentiated by torch.func writes into a tensor from outside."""
    storage = tensor._storage
    for level in reversed(thread.levels):
        if storage.level == level.first:
            return
        if any(storage is memory and tensor is not outside and tensor._base is not outside for memory, outside in level.entered):
            return  # it is an argument, or a view of one, on the memory of a tensor outside
        if level.differentiates:
            raise RuntimeError(
                f"During a grad (vjp, jvp, grad, etc) transform, the function provided attempted to call in-place operation (aten::{name}) that would "
                "mutate a captured Tensor. This is not supported; please rewrite the function being transformed to explicitly accept the mutated "
                "Tensor(s) as inputs."
            )


LIE_TOGETHER = (
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
            check_writable(target, None)
        for operand in operands:
            if isinstance(operand, (tuple, list)):
                check_out(name, target, operand)
            elif isinstance(operand, Tensor) and _on_one_memory(operand, target) and _lie_together(target, operand, name in _APART):
                raise RuntimeError(LIE_TOGETHER)


def _on_one_memory(one: Tensor, other: Tensor) -> bool:
    storage = getattr(one, "_storage", None)
    return storage is not None and whole_memory(storage, None)[0] is whole_memory(other._storage, None)[0]


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
        if (
            source is not written
            and isinstance(source, Tensor)
            and _on_one_memory(source, written)
            and _lie_together(written, source, False)
        ):
            raise RuntimeError(LIE_TOGETHER)


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


def assign(tensor: Tensor, result: Tensor, name: str | None, overlapping: bool = False) -> Tensor:
    """Make ``result``, computed from ``tensor`` or not, the new value and history of ``tensor``; for ``name`` see :func:`check_writable`."""
    check_writable(tensor, name, overlapping, result.requires_grad)
    shape, kind = tensor._shape(), tensor.dtype
    if result._shape() != shape:
        raise RuntimeError(f"output with shape {list(shape)} doesn't match the broadcast shape {list(result._shape())}")
    operation = result._grad_fn
    if result.dtype is not kind:
        check_castable(result.dtype, kind)
        result = result.to(kind)
    if not (thread.grad and (result.requires_grad or tensor.requires_grad)):
        tensor._write(result._operand())
        return tensor
    rebase_history(tensor, result, operation, (tensor._grad_fn, tensor._output))
    return tensor


def rebase_history(tensor: Tensor, result: Tensor, operation: Any, edge: tuple[Any, ...] | None) -> None:
    """Write ``result``, of the shape and type of ``tensor``, and give its history to ``tensor``: where that is a view, through the history of its base.

    ``operation`` is the node that took the tensor, and ``edge`` the one from there to what made the tensor.
    """
    base = tensor._base
    if base is None:
        tensor._write(result._operand())
        tensor._set_history(*(result._edge() if result.requires_grad else (None, 0)))
        _saved_results_move(result, tensor)
        return
    if edge is not None:
        _pass_by_hooks(tensor, operation, edge)
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
    _saved_results_move(result, tensor)


def _pass_by_hooks(view: Tensor, operation: Any, edge: tuple[Any, ...]) -> None:
    """Lead the gradient of what the view held straight to its base, as torch does, where somebody listens at the nodes between the two."""
    base, node = view._base, edge[0]
    while node is not None and node is not base._grad_fn and node.edges:
        if node.__dict__:
            direct = Tensor._history_of_view(base, view._view_window())
            operation.edges = tuple([direct if other == edge else other for other in operation.edges])
            return
        node = node.edges[0] and node.edges[0][0]


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
