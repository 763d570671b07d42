"""L-BFGS with a strong Wolfe line search, as torch.optim.LBFGS computes it.

It asks for as many losses as it needs in one step, so it is no optax transformation but a loop in Python over a flat vector; only the
arithmetic on vectors is compiled. :func:`lbfgs_step` is the one implementation: :func:`lbfgs` drives it for a function of a pytree,
funnn.torch's LBFGS for a closure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

Vector = jax.Array
State = dict[str, Any]
Line = Callable[[Any, Vector], tuple[float, Vector]]

DEFAULTS = {
    **{"lr": 1, "max_iter": 20, "max_eval": None, "tolerance_grad": 1e-7, "tolerance_change": 1e-9},
    **{"history_size": 100, "line_search_fn": None},
}


class Problem(Protocol):
    """A loss at a point that can be moved."""

    def evaluate(self) -> tuple[float, Vector]:
        """The loss and the flat gradient at the point."""

    def move(self, t: Any, direction: Vector) -> None:
        """Move the point by t · direction."""

    def along(self, t: Any, direction: Vector) -> tuple[float, Vector]:
        """The loss and the gradient at t · direction from the point, which stays."""


@jax.jit
def _dot(a: Vector, b: Vector) -> jax.Array:
    return jnp.dot(a, b)


@jax.jit
def _largest(a: Vector) -> jax.Array:
    return jnp.max(jnp.abs(a))


@jax.jit
def _size(a: Vector) -> jax.Array:
    return jnp.sum(jnp.abs(a))


@jax.jit
def _plus(a: Vector, t: Any, b: Vector) -> Vector:
    return a + jnp.asarray(t, b.dtype) * b


@jax.jit
def _remove(q: Vector, y: Vector, s: Vector, ro: Any) -> tuple[Vector, jax.Array]:
    alpha = jnp.dot(s, q) * ro
    return q - alpha * y, alpha


@jax.jit
def _restore(r: Vector, y: Vector, s: Vector, ro: Any, alpha: Any) -> Vector:
    restored: Vector = r + (alpha - jnp.dot(y, r) * ro) * s
    return restored


def _number(array: jax.Array) -> Any:
    """A NumPy scalar in the vector's dtype, which rounds as torch's tensors without dimensions do."""
    return np.asarray(array)[()]


def _direction(grad: Vector, state: State, history_size: int) -> Vector:
    """−H · grad with the inverse Hessian of the history: Nocedal's two loops."""
    al = state.setdefault("al", [None] * history_size)
    history = list(zip(state["old_dirs"], state["old_stps"], state["ro"], strict=True))
    q = -grad
    for i in range(len(history) - 1, -1, -1):
        q, alpha = _remove(q, *history[i])
        al[i] = _number(alpha)
    r = q * jnp.asarray(state["H_diag"], q.dtype)
    for i, one in enumerate(history):
        r = _restore(r, *one, al[i])
    return r


def lbfgs_step(problem: Problem, state: State, options: dict[str, Any]) -> float:
    """Up to ``max_iter`` iterations; ``state`` has torch's entries and is changed. Returns the loss at the start."""
    lr, tolerance_grad, tolerance_change = options["lr"], options["tolerance_grad"], options["tolerance_change"]
    max_iter, history_size, search = options["max_iter"], options["history_size"], options["line_search_fn"]
    max_eval = max_iter * 5 // 4 if options["max_eval"] is None else options["max_eval"]
    if search not in (None, "strong_wolfe"):
        raise RuntimeError(f"only 'strong_wolfe' is supported; got line_search_fn={search!r}")
    state.setdefault("func_evals", 0)
    state.setdefault("n_iter", 0)
    first_loss, grad = problem.evaluate()
    loss, evals, n_iter = first_loss, 1, 0
    state["func_evals"] += 1
    if _number(_largest(grad)) <= tolerance_grad:
        return first_loss
    remembered: list[Any] = [state.get(name) for name in ("d", "t", "prev_flat_grad", "prev_loss")]
    d, t, previous, previous_loss = remembered
    while n_iter < max_iter:
        n_iter += 1
        state["n_iter"] += 1
        if state["n_iter"] == 1:
            d = -grad
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
        else:
            _remember(state, _plus(grad, -1.0, previous), d * jnp.asarray(t, d.dtype), history_size)
            d = _direction(grad, state, history_size)
        previous, previous_loss = grad, loss
        t = min(1.0, 1.0 / _number(_size(grad))) * lr if state["n_iter"] == 1 else lr
        slope = _number(_dot(grad, d))
        if slope > -tolerance_change:
            break
        new_evals = 0
        if search is not None:
            limits = {"tolerance_change": tolerance_change, "max_ls": max_eval - evals}
            loss, grad, t, new_evals = strong_wolfe(problem.along, t, d, loss, grad, slope, **limits)
            problem.move(t, d)
        else:
            problem.move(t, d)
            if n_iter != max_iter:  # the last iteration's loss would be for nobody
                loss, grad = problem.evaluate()
                new_evals = 1
        evals += new_evals
        state["func_evals"] += new_evals
        if n_iter == max_iter or evals >= max_eval or _number(_largest(grad)) <= tolerance_grad:
            break
        if _number(_largest(d)) * abs(t) <= tolerance_change or abs(loss - previous_loss) < tolerance_change:
            break
    history = {name: state.pop(name, None) for name in ("old_dirs", "old_stps", "ro", "H_diag")}
    state.update({"d": d, "t": t, **history, "prev_flat_grad": previous, "prev_loss": previous_loss})
    return first_loss


def _remember(state: State, y: Vector, s: Vector, history_size: int) -> None:
    """Take a change of the gradient and the step that made it into the history, if they curve upwards."""
    curvature = _number(_dot(y, s))
    if curvature <= 1e-10:
        return
    for name, value in (("old_dirs", y), ("old_stps", s), ("ro", 1.0 / curvature)):
        if len(state[name]) == history_size:
            state[name].pop(0)
        state[name].append(value)
    state["H_diag"] = curvature / _number(_dot(y, y))


def _cubic_minimum(x1: Any, f1: Any, g1: Any, x2: Any, f2: Any, g2: Any, bounds: tuple[Any, ...] | None = None) -> Any:
    """Where the cubic through two points with slopes is least, inside the bounds."""
    low, high = bounds or (min(x1, x2), max(x1, x2))
    d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
    square = d1**2 - g1 * g2
    if not square >= 0:
        return (low + high) / 2.0
    root = np.sqrt(square)
    if x1 <= x2:
        best = x2 - (x2 - x1) * ((g2 + root - d1) / (g2 - g1 + 2 * root))
    else:
        best = x1 - (x1 - x2) * ((g1 + root - d1) / (g1 - g2 + 2 * root))
    return min(max(best, low), high)


def strong_wolfe(
    along: Line,
    t: Any,
    d: Vector,
    loss: float,
    grad: Vector,
    slope: Any,
    c1: float = 1e-4,
    c2: float = 0.9,
    tolerance_change: float = 1e-9,
    max_ls: int = 25,
) -> tuple[float, Vector, Any, int]:
    """A step t with loss(t) ≤ loss(0) + c1·t·slope and |slope(t)| ≤ c2·|slope|: bracket it, then narrow the bracket by cubics.

    Returns the loss and gradient there, t and the number of evaluations.
    """
    reach = _number(_largest(d))

    def point(t: Any) -> tuple[Any, float, Vector, Any]:
        loss_t, grad_t = along(t, d)
        return t, loss_t, grad_t, _number(_dot(grad_t, d))

    new, before = point(t), (0, loss, grad, slope)
    iteration, bracket, done = 0, None, False
    while iteration < max_ls:
        t, f, _, g = new
        if f > loss + c1 * t * slope or (iteration > 1 and f >= before[1]):
            bracket = [before, new]
        elif abs(g) <= -c2 * slope:
            bracket, done = [new], True
        elif g >= 0:
            bracket = [before, new]
        if bracket is not None:
            break
        bounds = (t + 0.01 * (t - before[0]), t * 10)
        t = _cubic_minimum(before[0], before[1], before[3], t, f, g, bounds)
        before, new = new, point(t)
        iteration += 1
    if bracket is None:
        bracket = [(0, loss, grad, slope), new]
    evaluations = iteration + 1
    low, high = (0, 1) if bracket[0][1] <= bracket[-1][1] else (1, 0)
    stuck = False
    while not done and iteration < max_ls:
        (x1, f1, _, g1), (x2, f2, _, g2) = bracket
        if abs(x2 - x1) * reach < tolerance_change:
            break
        least, most = min(x1, x2), max(x1, x2)
        t = _cubic_minimum(x1, f1, g1, x2, f2, g2)
        margin = 0.1 * (most - least)
        near = min(most - t, t - least) < margin
        if near and (stuck or t >= most or t <= least):  # too near an end for the second time: go in by a tenth
            t = most - margin if abs(t - most) < abs(t - least) else least + margin
            near = False
        stuck = near
        new = point(t)
        iteration, evaluations = iteration + 1, evaluations + 1
        if new[1] > loss + c1 * t * slope or new[1] >= bracket[low][1]:
            bracket[high] = new
            low, high = (0, 1) if bracket[0][1] <= bracket[1][1] else (1, 0)
            continue
        if abs(new[3]) <= -c2 * slope:
            done = True
        elif new[3] * (bracket[high][0] - bracket[low][0]) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = new
    t, f, g, _ = bracket[low]
    return f, g, t, evaluations


def lbfgs(function: Callable[..., Any], params: Any, state: State | None = None, **options: Any) -> tuple[Any, float, State]:
    """One step of torch.optim.LBFGS, up to ``max_iter`` iterations, on a function of a pytree.

    Args:
      function: a loss of the parameters; it is compiled.
      params: the parameters, real.
      state: what the step before returned; None at first.
      **options: torch's, with torch's defaults: lr, max_iter, max_eval, tolerance_grad, tolerance_change, history_size, line_search_fn
        (None or 'strong_wolfe').

    Returns:
      The parameters after the step, the loss before it, and the state.

    Example:
      >>> import jax.numpy as jnp
      >>> from funnn.optim import lbfgs
      >>> params, loss, state = lbfgs(lambda p: jnp.sum((p - 3) ** 2), jnp.zeros(2), line_search_fn="strong_wolfe")
      >>> print(params, loss)
      [3. 3.] 18.0
    """
    flat, unflatten = ravel_pytree(params)
    value_and_grad = jax.jit(jax.value_and_grad(lambda vector: function(unflatten(vector))))

    class Tree:
        at = flat

        def evaluate(self) -> tuple[float, Vector]:
            loss, grad = value_and_grad(self.at)
            return float(loss), grad

        def move(self, t: Any, direction: Vector) -> None:
            self.at = _plus(self.at, t, direction)

        def along(self, t: Any, direction: Vector) -> tuple[float, Vector]:
            loss, grad = value_and_grad(_plus(self.at, t, direction))
            return float(loss), grad

    problem, state = Tree(), dict(state or {})
    loss = lbfgs_step(problem, state, {**DEFAULTS, **options})
    return unflatten(problem.at), loss, state
