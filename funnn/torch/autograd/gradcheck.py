"""Derivatives against finite differences."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from funnn.engine.ops.kit.table import FUNCTIONS as ops
from funnn.engine.tape.grad_mode import enable_grad, no_grad
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.transform.derivatives import jvp
from funnn.engine.transform.differentiate import grad
from funnn.engine.transform.transform import as_leaf
from funnn.engine.transform.vmap import vmap


class GradcheckError(RuntimeError):
    """A derivative is not what finite differences say, or gradcheck can't judge it."""


def gradcheck(
    func: Callable,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Whether the derivatives of ``func`` at ``inputs`` are those of finite differences, (f(x + eps) − f(x − eps)) / 2·eps.

    Args:
      func: a function of Tensors that returns a Tensor or a tuple of Tensors.
      inputs: a Tensor or a tuple; those that require grad are checked, and should be float64.
      eps, atol, rtol: the step; the error allowed is atol + rtol·|numerical|.
      raise_exception: whether a difference raises, or is only a False.
      nondet_tol: how far two backward passes may differ.
      check_undefined_grad: whether gradients that are None must act as zeros.
      check_grad_dtypes: whether gradients must have their input's dtype.
      check_batched_grad, check_batched_forward_grad: whether vmap over vjp (jvp) must give the same as a loop.
      check_forward_ad, check_backward_ad: which modes are checked.
      fast_mode: compare products with one random vector instead of whole Jacobians.

    Raises:
      GradcheckError: a difference, with both Jacobians.
      ValueError: no input that requires grad; batched checks without their mode.
    """
    if not (check_forward_ad or check_backward_ad):
        raise AssertionError("Expected at least one of check_forward_ad or check_backward_ad to be True")
    if check_batched_grad and not check_backward_ad:
        raise AssertionError("Setting check_batched_grad=True requires check_backward_ad to be True")
    if check_batched_forward_grad and not check_forward_ad:
        raise AssertionError("Setting check_batched_forward_grad=True requires check_forward_ad to be True")
    try:
        _Check(func, inputs, eps, atol, rtol, fast_mode).run(
            nondet_tol,
            check_undefined_grad,
            check_grad_dtypes,
            check_batched_grad,
            check_batched_forward_grad,
            check_forward_ad,
            check_backward_ad,
        )
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


class _Check:
    """One function at one place."""

    def __init__(self, func: Callable, inputs: Any, eps: float, atol: float, rtol: float, fast: bool):
        self.inputs = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
        self.eps, self.atol, self.rtol, self.fast = eps, atol, rtol, fast
        self.func = func
        self.places = [n for n, item in enumerate(self.inputs) if isinstance(item, Tensor) and item.requires_grad]
        if not self.places:
            raise ValueError("gradcheck expects at least one input tensor to require gradient, but none of them have requires_grad=True.")
        for n in self.places:
            item = self.inputs[n]
            if item.element_size() < (16 if item.is_complex() else 8):
                warnings.warn(
                    f"Input #{n} requires gradient and is not a double precision floating point or complex. This check will likely fail if all the "
                    "inputs are not of double precision floating point or complex.",
                    stacklevel=4,
                )
            window = item._window
            if window is not None and any(step == 0 and size > 1 for size, step in zip(window.shape, window.stride, strict=True)):
                raise RuntimeError(
                    f"The {n}th input has a dimension with stride 0. gradcheck only supports inputs that are non-overlapping"
                )
            item.retain_grad()

    def outputs(self, inputs: tuple) -> tuple:
        outputs = self.func(*inputs)
        items = tuple(outputs) if isinstance(outputs, (tuple, list)) else (outputs,)
        if not any(isinstance(item, Tensor) for item in items):
            raise ValueError(f"gradcheck expects a function that returns a Tensor or a tuple of Tensors, got {type(outputs).__name__}")
        return tuple(item for item in items if isinstance(item, Tensor) and (item.is_floating_point() or item.is_complex()))

    def run(
        self, nondet_tol: float, undefined: bool, dtypes: bool, batched: bool, batched_forward: bool, forward: bool, backward: bool
    ) -> None:
        with enable_grad():
            outputs = self.outputs(self.inputs)
        smooth = [o for o in outputs if o.requires_grad]
        if not smooth:
            self._check_nothing_moves(outputs)
            return
        numerical = [self._numerical(n, len(outputs)) for n in self.places]
        if forward:
            self._compare("forward", numerical, self._forward_jacobian(outputs), outputs)
            if batched_forward:
                self._check_batched_forward()
        if not backward:
            return
        analytical = self._jacobian(outputs, dtypes)
        for number, (first, again) in enumerate(zip(analytical, self._jacobian(outputs, dtypes), strict=True)):
            for a, b in zip(first, again, strict=True):
                if np.abs(a - b).max(initial=0) > nondet_tol:
                    raise GradcheckError(
                        f"Backward is not reentrant, i.e., running backward with same input and grad_output multiple times gives different values "
                        f"for input {number}, although analytical gradient matches numerical gradient. The tolerance for nondeterminism was "
                        f"{nondet_tol}."
                    )
        self._compare("backward", numerical, analytical, outputs)
        if batched:
            self._check_batched(outputs)
        if undefined:
            self._check_undefined(outputs)

    # -- Jacobians, as lists [input][output] of matrices (elements of the input, elements of the output) over the real parts

    def _numerical(self, place: int, count: int) -> list[np.ndarray]:
        values = self._values(self.inputs[place])
        rows: list[list[np.ndarray]] = [[] for _ in range(count)]
        for direction in self._steps(values):
            ends = []
            for sign in (1, -1):
                with no_grad():
                    moved = self._like(self.inputs[place], values + sign * self.eps * direction)
                    given = tuple(moved if n == place else self._copy(item) for n, item in enumerate(self.inputs))
                    ends.append([_reals(self._values(o)) for o in self.outputs(given)])
            for row, high, low in zip(rows, *ends, strict=True):
                row.append((high - low) / (2 * self.eps))
        return [np.array(row).reshape(len(row), -1) for row in rows]

    def _steps(self, values: np.ndarray) -> list[np.ndarray]:
        """The directions to move an input in: its elements, and the imaginary parts of complex ones; in fast mode, one."""
        if self.fast:
            direction = np.random.RandomState(0).rand(*_reals(values).shape)
            direction /= np.linalg.norm(direction)
            return [_complex(direction, values)]
        return [_complex(unit, values) for unit in np.eye(_reals(values).size)]

    def _jacobian(self, outputs: tuple, dtypes: bool = False) -> list[list[np.ndarray]]:
        """From backward: the gradient in unit directions of the output, whose real inner product with a step of the input is the derivative."""
        entries: list[list[np.ndarray]] = [[] for _ in self.places]
        leaves = [self.inputs[n] for n in self.places]
        for output in outputs:
            columns: list[list[np.ndarray]] = [[] for _ in leaves]
            values = self._values(output)
            for unit in np.eye(_reals(values).size) if output.requires_grad else ():
                found = grad(output, leaves, self._like(output, _complex(unit, values)), retain_graph=True, allow_unused=True)
                for column, gradient, leaf in zip(columns, found, leaves, strict=True):
                    if gradient is not None and dtypes and gradient.dtype is not leaf.dtype:
                        raise GradcheckError(f"Gradient of an input of dtype {leaf.dtype} has dtype {gradient.dtype}")
                    if gradient is not None and gradient._shape() != leaf._shape():
                        raise GradcheckError("Analytical gradient has incorrect size")
                    column.append(_reals(self._values(leaf) * 0 if gradient is None else self._values(gradient)))
            for entry, column, leaf in zip(entries, columns, leaves, strict=True):
                size = _reals(self._values(leaf)).size
                matrix = np.array(column).reshape(-1, size).T if column else np.zeros((size, _reals(values).size))
                entry.append(np.array([_reals(step) @ matrix for step in self._steps(self._values(leaf))]))
        return entries

    def _forward_jacobian(self, outputs: tuple) -> list[list[np.ndarray]]:
        entries = []
        for place in self.places:
            leaf = self.inputs[place]
            rows: list[list[np.ndarray]] = [[] for _ in outputs]
            for direction in self._steps(self._values(leaf)):
                for row, tangent in zip(rows, self._push(place, self._like(leaf, direction)), strict=True):
                    row.append(_reals(self._values(tangent)))
            entries.append([np.array(row).reshape(len(row), -1) for row in rows])
        return entries

    def _push(self, place: int, tangent: Tensor) -> tuple:
        def outputs_of(item: Tensor) -> tuple:
            return self.outputs(tuple(item if n == place else given for n, given in enumerate(self.inputs)))

        with no_grad():
            return jvp(outputs_of, (self.inputs[place].detach(),), (tangent,))[1]

    # -- checks

    def _compare(self, mode: str, numerical: list, analytical: list, outputs: tuple) -> None:
        for place, expected, got in zip(self.places, numerical, analytical, strict=True):
            for number, (a, n) in enumerate(zip(got, expected, strict=True)):
                if a.shape != n.shape or not np.allclose(a, n, self.rtol, self.atol):
                    how = " computed with forward mode" if mode == "forward" else ""
                    raise GradcheckError(
                        f"Jacobian{how} mismatch for output {number} with respect to input {place},\nnumerical:{_text(n)}\nanalytical:{_text(a)}\n"
                    )

    def _check_nothing_moves(self, outputs: tuple) -> None:
        for place in self.places:
            if any(np.abs(n).max(initial=0) > self.atol for n in self._numerical(place, len(outputs))):
                raise GradcheckError(
                    "Numerical gradient for function expected to be zero: no output requires grad, but they depend on the inputs"
                )

    def _check_batched(self, outputs: tuple) -> None:
        leaves = [self.inputs[n] for n in self.places]
        for output in (o for o in outputs if o.requires_grad):
            rows = self._like(output, np.random.RandomState(1).rand(2, *output._shape()))
            together = grad(output, leaves, rows, retain_graph=True, allow_unused=True, is_grads_batched=True)
            for number in range(2):
                alone = grad(output, leaves, rows[number], retain_graph=True, allow_unused=True)
                for a, b in zip(together, alone, strict=True):
                    if a is not None and not np.allclose(self._values(a[number]), self._values(b), self.rtol, self.atol):
                        raise GradcheckError("While computing batched gradients, got other values by vmap than by a loop over vjp")

    def _check_batched_forward(self) -> None:
        for place in self.places:
            leaf = self.inputs[place]
            rows = self._like(leaf, np.random.RandomState(1).rand(2, *leaf._shape()))
            together = vmap(lambda row, place=place: self._push(place, row))(rows)
            for number in range(2):
                for a, b in zip(together, self._push(place, rows[number]), strict=True):
                    if not np.allclose(self._values(a[number]), self._values(b), self.rtol, self.atol):
                        raise GradcheckError(
                            "While computing batched gradients in forward mode, got other values by vmap than by a loop over jvp"
                        )

    def _check_undefined(self, outputs: tuple) -> None:
        """Each output's gradient missing in turn must act as zeros."""
        leaves = [self.inputs[n] for n in self.places]
        smooth = [o for o in outputs if o.requires_grad]
        for left_out in smooth if len(smooth) > 1 else ():
            rest = [o for o in smooth if o is not left_out]
            ones = [self._like(o, self._values(o) * 0 + 1) for o in rest]
            zeros = self._like(left_out, self._values(left_out) * 0)
            missing = grad(rest, leaves, ones, retain_graph=True, allow_unused=True)
            with_zeros = grad([*rest, left_out], leaves, [*ones, zeros], retain_graph=True, allow_unused=True)
            for a, b, leaf in zip(missing, with_zeros, leaves, strict=True):
                nothing = self._values(leaf) * 0
                pair = [nothing if g is None else self._values(g) for g in (a, b)]
                if not np.allclose(*pair, self.rtol, self.atol):
                    raise GradcheckError(
                        "Expected backward function to handle undefined output grads: a gradient of None must act as zeros"
                    )

    # -- values

    @staticmethod
    def _values(tensor: Tensor) -> np.ndarray:
        return tensor.detach()._host().copy()

    @staticmethod
    def _like(tensor: Tensor, values: np.ndarray) -> Tensor:
        return ops["tensor"](np.asarray(values), dtype=tensor.dtype)

    @staticmethod
    def _copy(item: Any) -> Any:
        return item.detach().clone() if isinstance(item, Tensor) else item


def _text(matrix: np.ndarray) -> str:
    return repr(ops["tensor"](matrix))


def _reals(values: np.ndarray) -> np.ndarray:
    """All elements, the imaginary parts after the real ones."""
    return np.concatenate([values.real.ravel(), values.imag.ravel()]) if np.iscomplexobj(values) else values.ravel()


def _complex(reals: np.ndarray, like: np.ndarray) -> np.ndarray:
    if np.iscomplexobj(like):
        return (reals[: like.size] + 1j * reals[like.size :]).reshape(like.shape)
    return reals.reshape(like.shape)


def gradgradcheck(
    func: Callable,
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """Whether second derivatives are those of finite differences: gradcheck of the backward pass, in the inputs and in ``grad_outputs``.

    ``grad_outputs`` are drawn at random by default. The other arguments are those of :func:`gradcheck`.
    """
    if not (check_fwd_over_rev or check_rev_over_rev):
        raise AssertionError("Expected at least one of check_fwd_over_rev or check_rev_over_rev to be True")
    inputs = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)

    def outputs_of(given: tuple) -> list[Tensor]:
        outputs = func(*given)
        items = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
        return [item for item in items if isinstance(item, Tensor) and item.requires_grad]

    if grad_outputs is None:
        grad_outputs = tuple(ops["randn"](o.shape, dtype=o.dtype, requires_grad=True) for o in outputs_of(inputs))
    grad_outputs = tuple(grad_outputs) if isinstance(grad_outputs, (tuple, list)) else (grad_outputs,)
    count = len(grad_outputs)
    tracked = [n for n, item in enumerate(inputs) if isinstance(item, Tensor) and item.requires_grad]

    def backward(*given: Any) -> tuple:
        with enable_grad():
            items = [as_leaf(item) if n in tracked and not item.requires_grad else item for n, item in enumerate(given[:-count])]
            found = grad(outputs_of(tuple(items)), [items[n] for n in tracked], given[-count:], create_graph=True, allow_unused=True)
        return tuple(item for item in found if item is not None)

    return gradcheck(
        backward,
        (*inputs, *grad_outputs),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad,
        check_forward_ad=check_fwd_over_rev,
        check_backward_ad=check_rev_over_rev,
        fast_mode=fast_mode,
    )
