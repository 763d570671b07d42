"""Averaged stochastic gradient descent, as torch.optim.ASGD computes it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from funnn.optim._numbers import Number, power, times, wide, zeros_like
from funnn.optim._rule import Options, ParamTree, Rule, Schedule, State, transformation


def _slots(param: jax.Array, o: Options) -> State:
    return {"eta": jnp.asarray(o.lr, o.scalar_dtype), "mu": jnp.ones((), o.scalar_dtype), "ax": zeros_like(param)}


def _formula(grad: jax.Array, state: State, theta: jax.Array, o: Options) -> tuple[jax.Array, State]:
    step, eta = wide(state["step"]), wide(state["eta"])
    delta = times(-o.lambd * eta, theta) + times(-eta, grad)
    moved = theta + delta
    ax = jnp.where(state["mu"] == 1, moved, state["ax"] + times(state["mu"], moved - state["ax"]))
    eta, mu = o.lr / power(1 + o.lambd * o.lr * step, o.alpha), 1 / jnp.maximum(1, step - o.t0)
    return delta, {"eta": eta, "mu": mu, "ax": ax}


_DEFAULTS = {
    **{"lr": 1e-2, "lambd": 1e-4, "alpha": 0.75, "t0": 1e6, "weight_decay": 0},
    **{"maximize": False},
}
#: ASGD for one array. State: ``step``, ``eta``, ``mu``, ``ax`` (the average).
asgd_rule = Rule("ASGD", _DEFAULTS, _slots, _formula)


def asgd(
    lr: Number | Schedule = 1e-2,
    lambd: Number | Schedule = 1e-4,
    alpha: Number | Schedule = 0.75,
    t0: Number | Schedule = 1e6,
    weight_decay: Number | Schedule = 0,
    maximize: bool = False,
    *,
    mask: ParamTree = None,
) -> optax.GradientTransformation:
    r"""Averaged SGD, with torch.optim.ASGD's arguments and numbers.

    SGD with a falling step size that also keeps the average of the parameters from step ``t0`` on; the average is the state ``ax``.

    .. math::
      \begin{align*}
        g_t &\leftarrow g_t + \lambda \theta_{t-1}, \qquad \theta_t \leftarrow (1 - \Lambda \eta_t) \theta_{t-1} - \eta_t g_t \\
        a_t &\leftarrow a_{t-1} + \mu_t (\theta_t - a_{t-1}) \\
        \eta_{t+1} &= \gamma / (1 + \Lambda \gamma t)^\alpha, \qquad \mu_{t+1} = 1 / \max(1, t - t_0)
      \end{align*}

    Args:
      lr: learning rate :math:`\gamma` ≥ 0, or an optax schedule of the number of updates done.
      lambd: :math:`\Lambda`, the decay term.
      alpha: :math:`\alpha`, the power of the step size's fall.
      t0: :math:`t_0`, the step at which averaging starts.
      weight_decay: :math:`\lambda` ≥ 0, an L2 penalty added to the gradient.
      maximize: ascend instead of descend.
      mask: which parameters decay, such as ``decay_mask(layer)``: a tree of bools, or a function of the parameters that gives one; None is all.

    Returns:
      An ``optax.GradientTransformation``; its ``update`` needs ``params``.

    Raises:
      ValueError: for a number out of its range, with torch's text.

    Example:
      >>> import jax.numpy as jnp
      >>> from funnn.optim import asgd
      >>> optimizer, params = asgd(lr=0.1), jnp.array([1.0, -2.0])
      >>> updates, state = optimizer.update(jnp.array([0.5, -4.0]), optimizer.init(params), params)
      >>> [round(x, 4) for x in updates.tolist()]
      [-0.05, 0.4]

    References:
      torch.optim.ASGD; Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992.
    """
    return transformation(asgd_rule, **locals())
