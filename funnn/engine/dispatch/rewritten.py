"""Backward where what was saved has been written through ``.data``: PyTorch then computes with what it finds, and counts no version.

Ordinary backward passes never come here. Where torch saved operands, the operation's derivative is computed again, from the operands as they are now; where it
saved the result, from a formula in terms of the result. What is left is refused: derivatives that torch computes from something that is not there here.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from funnn.engine.dispatch.arguments import named_arguments
from funnn.engine.memory.storage import Storage, Window
from funnn.engine.program.form import Form
from funnn.engine.program.graph import compute, record
from funnn.engine.state import thread
from funnn.engine.tape.node import AccumulateGrad
from funnn.engine.tensor.tensor import Tensor


def _softmax(gradient: Any, result: Any, *, dim: int) -> Any:
    return result * (gradient - (gradient * result).sum(dim if gradient.ndim else None, keepdims=True))


def _log_softmax(gradient: Any, result: Any, *, dim: int) -> Any:
    return gradient - jnp.exp(result) * gradient.sum(dim if gradient.ndim else None, keepdims=True)


#: Derivatives in terms of the result: (gradient, result) -> the input's gradient; with ``dim`` where the operation has it.
BY_RESULT: dict[str, Callable[..., Any]] = {
    "ExpBackward0": lambda gradient, result: gradient * result,
    "Exp2Backward0": lambda gradient, result: gradient * result * math.log(2),
    "Expm1Backward0": lambda gradient, result: gradient * (result + 1),
    "SqrtBackward0": lambda gradient, result: gradient / (2 * result),
    "RsqrtBackward0": lambda gradient, result: -0.5 * gradient * result**3,
    "ReciprocalBackward0": lambda gradient, result: -gradient * result * result,
    "TanBackward0": lambda gradient, result: gradient * (1 + result * result),
    "TanhBackward0": lambda gradient, result: gradient * (1 - result * result),
    "SigmoidBackward0": lambda gradient, result: gradient * (1 - result) * result,
    "ReluBackward0": lambda gradient, result: jnp.where(result > 0, gradient, 0),
    "SoftmaxBackward0": _softmax,
    "LogSoftmaxBackward0": _log_softmax,
}


def seen_at(storage: Storage, window: Window | None) -> Tensor:
    """A window of a storage as a Tensor without history."""
    tensor: Tensor = object.__new__(Tensor)
    tensor._storage, tensor._window = storage, window
    return tensor


def operand_now(node: Any, storage: Storage, number: int, window: Window | None) -> Any:
    """What an operand of a node shows now; also where ``.data`` of its tensor has become another tensor."""
    tracked = node.entry.tracked
    leaf = node.edges[tracked.index(number)][0] if number in tracked else None
    owner = leaf.variable if type(leaf) is AccumulateGrad else storage.moved() if hasattr(storage, "moved") else None
    now = seen_at(storage, window)._operand() if owner is None or owner._storage is storage else owner._operand()
    before = node.inputs[number]
    shape = before[0] if type(before) is tuple else before.shape
    if now.shape != shape:
        raise RuntimeError(
            f"Function {node.name()} returned an invalid gradient: the .data of an operand of shape {list(shape)} has the shape {list(now.shape)} now"
        )
    return now


def operands_now(node: Any) -> list[Any]:
    """The operands of a node's operation, those that torch saved as they are now."""
    operands = list(node.inputs)
    for storage, writes, number, version, window in node.saved:
        if storage.writes == writes or (version < 0 and storage.version != ~version):
            continue  # what torch did not save was written in place: whoever saved it says so
        if number < 0 or not _is_free(node, number):
            raise NotImplementedError(
                f"{'the result' if number < 0 else 'an operand'} of {node.name()} was written through .data before backward, and the derivative is "
                "not computed from that tensor here as PyTorch does; write to a clone(), or after backward"
            )
        operands[number] = operand_now(node, storage, number, window)
    return operands


def _is_free(node: Any, number: int) -> bool:
    """Whether the derivative for another operand is what torch computes from it and from all else that it saved."""
    torchs = node.entry.torchs
    if node.entry.op.saves is not None:
        return True
    if torchs.fixed is None or any(0 <= ~other < node.count for other in torchs.saved):
        return False
    return number not in torchs.fixed


def vjp_now(node: Any, operands: list[Any]) -> Any:
    """The derivative of a node's operation at ``operands``."""
    entry = node.entry
    if entry.again is None:
        entry.again = Form(entry.function, exact=True)
    return record([entry.again], operands, entry.again)[0][-1] if thread.tracing is None else compute(entry.again, operands)[0][-1]


@functools.lru_cache
def _bound(rule: Callable[..., Any], dim: int | None) -> Callable[..., Any]:
    return rule if dim is None else functools.partial(rule, dim=dim)


def rule_by_result(node: Any) -> tuple[Callable[..., Any], Tensor] | None:
    """The derivative of a node's operation in terms of its result, and the result, with its history; None where torch saves something else."""
    entry, saved = node.entry, node.saved
    rule = BY_RESULT.get(entry.name)
    if rule is None or entry.torchs.saved != (~0,):
        return None
    result = seen_at(saved[0][0], saved[0][4])
    result._grad_fn = node
    named = named_arguments(entry.op.pure, entry.layout) if rule in (_softmax, _log_softmax) else {}
    return _bound(rule, named.get("dim")), result
