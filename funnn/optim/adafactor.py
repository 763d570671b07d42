"""Adafactor, as torch.optim.Adafactor computes it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from funnn.optim._checks import check
from funnn.optim._numbers import Number, lerp, power, times, wide, zeros_like
from funnn.optim._rule import Options, ParamTree, Rule, Schedule, State, transformation


def _slots(param: jax.Array, o: Options) -> State:
    if param.ndim < 2:
        return {"variance": zeros_like(param)}
    rows, columns = (*param.shape[:-1], 1), (*param.shape[:-2], 1, param.shape[-1])
    return {"row_var": jnp.zeros(rows, param.dtype), "col_var": jnp.zeros(columns, param.dtype)}


def _formula(grad: jax.Array, state: State, theta: jax.Array, o: Options) -> tuple[jax.Array, State]:
    smallest, floor = o.eps
    smallest = jnp.asarray(jnp.finfo(o.dtype).eps if smallest is None else smallest, theta.dtype)
    step = wide(state["step"])
    weight = power(step, o.beta2_decay)
    if "variance" in state:
        new = {"variance": lerp(state["variance"], grad * grad, weight)}
        variance = new["variance"]
    else:
        squares = grad * grad
        new = {
            "row_var": lerp(state["row_var"], jnp.mean(squares, -1, keepdims=True), weight),
            "col_var": lerp(state["col_var"], jnp.mean(squares, -2, keepdims=True), weight),
        }
        rows = new["row_var"]
        variance = rows * new["col_var"] / jnp.maximum(jnp.mean(rows, -2, keepdims=True), smallest)
    update = grad * jax.lax.rsqrt(jnp.maximum(variance, smallest * smallest))
    size = jnp.maximum(floor, wide(_rms(theta))) * jnp.minimum(o.lr, 1 / jnp.sqrt(step))
    return times(-size / jnp.maximum(1.0, wide(_rms(update)) / o.d), update), new


def _rms(x: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.mean(x * x))


def _check_eps(eps: tuple[Any, ...]) -> None:
    if eps[0] is not None:
        check(lambda number: number >= 0, "epsilon1 should be >= 0 but is: {}")(eps[0])
    check(lambda number: number >= 0, "epsilon2 should be >= 0 but is: {}")(eps[1])


_CHECKS = {
    "lr": check(lambda number: number >= 0, "Learning rate should be >= 0 but is: {}"),
    "beta2_decay": check(lambda number: number <= 0, "beta2_decay should be <= 0 but is: {}"),
    "eps": _check_eps,
    "d": check(lambda number: number >= 1, "Clipping threshold d should be >= 1 but is: {}"),
    "weight_decay": check(lambda number: number >= 0, "weight_decay should be >= 0 but is: {}"),
}


_DEFAULTS = {
    **{"lr": 1e-2, "beta2_decay": -0.8, "eps": (None, 1e-3), "d": 1.0, "weight_decay": 0.0},
    **{"maximize": False},
}
#: Adafactor for one array. State: ``step`` and ``row_var``, ``col_var`` of the last two dimensions, or ``variance`` of a vector.
adafactor_rule = Rule("Adafactor", _DEFAULTS, _slots, _formula, checks=_CHECKS, decoupled=True, real_only=True)


def adafactor(
    lr: Number | Schedule = 1e-2,
    beta2_decay: Number | Schedule = -0.8,
    eps: tuple[Number | None, Number] = (None, 1e-3),
    d: Number | Schedule = 1.0,
    weight_decay: Number | Schedule = 0.0,
    *,
    maximize: bool = False,
    stacked: ParamTree = None,
    mask: ParamTree = None,
) -> optax.GradientTransformation:
    r"""Adafactor, with torch.optim.Adafactor's arguments and numbers.

    Adam without the first mean, whose second moment of a matrix is kept as the means of its rows and columns (n + m numbers instead of
    n·m), and whose steps are relative to the size of the parameter.

    .. math::
      \begin{align*}
        \beta_t &= 1 - t^\tau, \qquad \rho_t = \min(\gamma, 1 / \sqrt t) \\
        \alpha_t &= \max(\epsilon_2, \text{RMS}(\theta_{t-1})) \rho_t \\
        R_t &\leftarrow \beta_t R_{t-1} + (1 - \beta_t) \text{mean}_\text{columns}(g_t^2) \\
        C_t &\leftarrow \beta_t C_{t-1} + (1 - \beta_t) \text{mean}_\text{rows}(g_t^2) \\
        V_t &= R_t C_t / \max(\text{mean}(R_t), \epsilon_1), \qquad U_t = g_t / \max(\sqrt{V_t}, \epsilon_1) \\
        \theta_t &\leftarrow (1 - \gamma \lambda) \theta_{t-1} - \alpha_t U_t / \max(1, \text{RMS}(U_t) / d)
      \end{align*}

    Args:
      lr: :math:`\gamma` ≥ 0, the largest relative step and the factor of the decay, or an optax schedule.
      beta2_decay: :math:`\tau` ≤ 0.
      eps: :math:`(\epsilon_1, \epsilon_2)`; None is the dtype's smallest step.
      d: the clipping threshold ≥ 1.
      weight_decay: :math:`\lambda` ≥ 0, decoupled.
      maximize: ascend instead of descend.
      stacked: how many leading axes of each parameter number layers, such as ``stacked_axes(layer)``: a tree of ints, or a function of the
        parameters that gives one; None is 0. Each layer's array is updated by itself.
      mask: which parameters decay, such as ``decay_mask(layer)``: a tree of bools, or a function of the parameters that gives one; None is all.

    Returns:
      An ``optax.GradientTransformation``; its ``update`` needs ``params``.

    Raises:
      ValueError: for a number out of its range, with torch's text.

    Example:
      >>> import jax.numpy as jnp
      >>> from funnn.optim import adafactor
      >>> optimizer, params = adafactor(lr=0.1), jnp.array([1.0, -2.0])
      >>> updates, state = optimizer.update(jnp.array([0.5, -4.0]), optimizer.init(params), params)
      >>> [round(x, 4) for x in updates.tolist()]
      [-0.1581, 0.1581]

    References:
      torch.optim.Adafactor; Shazeer and Stern, `Adafactor <https://arxiv.org/abs/1804.04235>`_, 2018 (torch differs in lr and eps, see its
      page).
    """
    return transformation(adafactor_rule, **locals())
