"""torch.optim.LBFGS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from funnn.engine.state import thread
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.tree import map_items
from funnn.optim._checks import CHECKS
from funnn.optim._numbers import to_complex, to_real
from funnn.optim.lbfgs import lbfgs_step
from funnn.torch.optim.optimizer import Optimizer


class LBFGS(Optimizer):
    """L-BFGS, whose ``step`` needs a closure; the computation is :func:`funnn.optim.lbfgs.lbfgs_step`. Source: torch.optim.LBFGS.

    How often ``step`` calls the closure depends on values, so it can't be part of a function under torch.compile; the closure can:
    ``optimizer.step(torch.compile(closure))``, with one compiled closure for all steps.
    """

    _by_elements = False

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ):
        options = {"lr": lr, "max_iter": max_iter, "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval}
        tolerances = {"tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change}
        super().__init__(params, {**options, **tolerances, "history_size": history_size, "line_search_fn": line_search_fn})
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    def _check_options(self, options: dict[str, Any]) -> None:
        CHECKS["lr"](options["lr"])

    def step(self, closure: Callable) -> Any:
        """Up to ``max_iter`` iterations; ``closure`` clears the gradients, computes the loss, calls backward and returns the loss."""
        if len(self.param_groups) != 1:
            raise AssertionError(f"Expected exactly one param_group, but got {len(self.param_groups)}")
        group = self.param_groups[0]
        lr = group["lr"]
        point = _Point(group["params"], closure)
        state = self.state[group["params"][0]]
        inside = {name: _plain(value) for name, value in state.items()}
        with jax.enable_x64(True):
            lbfgs_step(point, inside, {**group, "lr": _plain(lr.reshape(()) if isinstance(lr, Tensor) else lr)})
            state.update({name: _tensors(value) for name, value in inside.items()})
        for name in ("d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad", "prev_loss"):  # torch's order
            if name in state:
                state[name] = state.pop(name)
        return point.first


class _Point:
    """The parameters as one flat real vector, with the closure's loss."""

    def __init__(self, params: list[Tensor], closure: Callable):
        self.params, self.closure, self.first = params, closure, None

    def evaluate(self) -> tuple[float, Any]:
        before = thread.grad
        try:
            thread.grad = True
            loss = self.closure()
        finally:
            thread.grad = before
        self.first = loss if self.first is None else self.first
        gradients = [p.grad.to_dense()._read() if p.grad is not None else jnp.zeros(p._shape(), p.dtype.numpy) for p in self.params]
        return float(loss.detach() if isinstance(loss, Tensor) else loss), _flat(gradients)

    def move(self, t: Any, direction: Any) -> None:
        for param, array in zip(self.params, _moved([p._read() for p in self.params], t, direction), strict=True):
            param._write(array)

    def along(self, t: Any, direction: Any) -> tuple[float, Any]:
        start = [p._read() for p in self.params]
        self.move(t, direction)
        result = self.evaluate()
        for param, array in zip(self.params, start, strict=True):
            param._write(array)
        return result


@jax.jit
def _flat(arrays: list) -> jax.Array:
    return jnp.concatenate([to_real(array).reshape(-1) for array in arrays])


@jax.jit
def _moved(arrays: list, t: Any, direction: jax.Array) -> list:
    moved, start = [], 0
    for array in arrays:
        real = to_real(array)
        part = direction[start : start + real.size].reshape(real.shape)
        start += real.size
        real = real + jnp.asarray(t, real.dtype) * part
        moved.append(to_complex(real) if jnp.iscomplexobj(array) else real)
    return moved


def _plain(value: Any) -> Any:
    """An entry of the state for the computation: vectors as arrays, numbers as NumPy's."""
    return map_items(lambda item: item if not isinstance(item, Tensor) else item._read() if item.ndim else item._host()[()], value)


def _tensors(value: Any) -> Any:
    """An entry of the computation's state as torch keeps it."""
    arrays = (jax.Array, np.generic, np.ndarray)
    return map_items(lambda item: Tensor._wrap(jnp.asarray(item)) if isinstance(item, arrays) else item, value)
