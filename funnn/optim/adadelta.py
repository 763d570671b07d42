"""Adadelta, as torch.optim.Adadelta computes it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from funnn.optim._numbers import Number, mean_of_squares, plus, times, zeros_like
from funnn.optim._rule import Options, ParamTree, Rule, Schedule, State, transformation


def _slots(param: jax.Array, o: Options) -> State:
    return {"square_avg": zeros_like(param), "acc_delta": zeros_like(param)}


def _formula(grad: jax.Array, state: State, theta: jax.Array, o: Options) -> tuple[jax.Array, State]:
    square_avg = mean_of_squares(state["square_avg"], grad, o.rho)
    delta = jnp.sqrt(plus(o.eps, state["acc_delta"])) / jnp.sqrt(plus(o.eps, square_avg)) * grad
    return times(-o.lr, delta), {"square_avg": square_avg, "acc_delta": mean_of_squares(state["acc_delta"], delta, o.rho)}


_DEFAULTS = {"lr": 1.0, "rho": 0.9, "eps": 1e-6, "weight_decay": 0, "maximize": False}
#: Adadelta for one array. State: ``step``, ``square_avg``, ``acc_delta``.
adadelta_rule = Rule("Adadelta", _DEFAULTS, _slots, _formula)


def adadelta(
    lr: Number | Schedule = 1.0,
    rho: Number | Schedule = 0.9,
    eps: Number | Schedule = 1e-6,
    weight_decay: Number | Schedule = 0,
    *,
    maximize: bool = False,
    mask: ParamTree = None,
) -> optax.GradientTransformation:
    r"""Adadelta, with torch.optim.Adadelta's arguments and numbers.

    The gradient is scaled by the ratio of the sizes of past steps and past gradients, so that the step has the parameter's units and ``lr``
    is 1.

    .. math::
      \begin{align*}
        g_t &\leftarrow g_t + \lambda \theta_{t-1}, \qquad v_t \leftarrow \rho v_{t-1} + (1 - \rho) g_t^2 \\
        d_t &= \frac{\sqrt{u_{t-1} + \epsilon}}{\sqrt{v_t + \epsilon}} g_t, \qquad u_t \leftarrow \rho u_{t-1} + (1 - \rho) d_t^2 \\
        \theta_t &\leftarrow \theta_{t-1} - \gamma d_t
      \end{align*}

    Args:
      lr: :math:`\gamma` ≥ 0, a factor on the step, or an optax schedule of the number of updates done.
      rho: :math:`\rho` in [0, 1], decay of both running means.
      eps: :math:`\epsilon` ≥ 0, inside the roots; it sets the size of the first steps.
      weight_decay: :math:`\lambda` ≥ 0, an L2 penalty added to the gradient.
      maximize: ascend instead of descend.
      mask: which parameters decay, such as ``decay_mask(layer)``: a tree of bools, or a function of the parameters that gives one; None is all.

    Returns:
      An ``optax.GradientTransformation``; its ``update`` needs ``params``.

    Raises:
      ValueError: for a number out of its range, with torch's text.

    Example:
      >>> import jax.numpy as jnp
      >>> from funnn.optim import adadelta
      >>> optimizer, params = adadelta(), jnp.array([1.0, -2.0])
      >>> updates, state = optimizer.update(jnp.array([0.5, -4.0]), optimizer.init(params), params)
      >>> [round(x, 4) for x in updates.tolist()]
      [-0.0032, 0.0032]

    References:
      torch.optim.Adadelta; Zeiler, `ADADELTA <https://arxiv.org/abs/1212.5701>`_, 2012.
    """
    return transformation(adadelta_rule, **locals())
