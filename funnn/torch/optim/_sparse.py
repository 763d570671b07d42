"""Sparse gradients, as those of ``Embedding(sparse=True)``, for the rules that take them."""

from __future__ import annotations

from typing import Any

from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.engine.ops.sparse.kernels import scatter
from funnn.engine.tensor.sparse import SparseTensor
from funnn.engine.tensor.tensor import Tensor
from funnn.optim import Rule

_INSTEAD = {"Adam": ", please consider SparseAdam instead", "AdamW": ", please consider SparseAdam instead"}


def dense_gradients(rule: Rule, group: dict[str, Any], grads: list[Tensor]) -> tuple[list[Tensor], list[Tensor] | None]:
    """The gradients as dense ones, of the same effect; for SparseAdam, of each the rows that are there.

    Raises:
      RuntimeError: the rule does not take them, or SparseAdam was given a dense one.
    """
    if rule.name == "SparseAdam":
        if not all(isinstance(grad, SparseTensor) for grad in grads):
            raise RuntimeError("SparseAdam does not support dense gradients, please consider Adam instead")
        return [grad.to_dense() for grad in grads], [_rows(grad) for grad in grads]
    if rule.name not in ("SGD", "Adagrad"):
        name = "Adam" if rule.name == "AdamW" else rule.name
        raise RuntimeError(f"{name} does not support sparse gradients{_INSTEAD.get(rule.name, '')}")
    if group["weight_decay"]:
        raise RuntimeError(
            "weight_decay option is not compatible with sparse gradients"
            if rule.name == "Adagrad"
            else "add(sparse, dense) is not supported: weight_decay does not go with sparse gradients. Use Embedding(sparse=False)."
        )
    if rule.name == "Adagrad" and not group["eps"]:
        raise NotImplementedError("Adagrad with eps=0 does not take sparse gradients here; use a small eps, such as 1e-10")
    return [grad.to_dense() if isinstance(grad, SparseTensor) else grad for grad in grads], None


def _rows(grad: SparseTensor) -> Tensor:
    """Which rows have a gradient, to be broadcast with it."""
    pattern = grad._pattern
    ones = FUNCTIONS["ones"](pattern.count, dtype=grad.dtype)
    there = scatter(ones, pattern.flat(), pattern.space()) > 0
    return there.reshape(*pattern.sizes, *[1] * (grad.dim() - len(pattern.sizes)))
