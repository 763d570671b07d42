"""RMSprop, as torch.optim.RMSprop computes it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from funnn.optim._checks import nonnegative
from funnn.optim._numbers import Number, lerp, may_be_nonzero, mean_of_squares, plus, times, zeros_like
from funnn.optim._rule import Options, ParamTree, Rule, Schedule, State, transformation


def _slots(param: jax.Array, o: Options) -> State:
    names = {"square_avg": True, "momentum_buffer": may_be_nonzero(o.momentum), "grad_avg": o.centered}
    return {name: zeros_like(param) for name, needed in names.items() if needed}


def _formula(grad: jax.Array, state: State, theta: jax.Array, o: Options) -> tuple[jax.Array, State]:
    new = {"square_avg": mean_of_squares(state["square_avg"], grad, o.alpha)}
    variance = new["square_avg"]
    if o.centered:
        new["grad_avg"] = lerp(state["grad_avg"], grad, 1 - o.alpha)
        variance = variance - new["grad_avg"] * new["grad_avg"]
    step = grad / plus(o.eps, jnp.sqrt(variance))
    if "momentum_buffer" in state:
        moving = jnp.asarray(o.momentum > 0)  # torch leaves the buffer alone while momentum is 0
        buffer = times(o.momentum, state["momentum_buffer"]) + step
        step = jnp.where(moving, buffer, step)
        new["momentum_buffer"] = jnp.where(moving, buffer, state["momentum_buffer"])
    return times(-o.lr, step), new


_DEFAULTS = {
    **{"lr": 1e-2, "alpha": 0.99, "eps": 1e-8, "weight_decay": 0, "momentum": 0},
    **{"centered": False, "maximize": False},
}
#: RMSprop for one array. State: ``step``, ``square_avg``, with momentum ``momentum_buffer``, centered ``grad_avg``.
rmsprop_rule = Rule("RMSprop", _DEFAULTS, _slots, _formula, checks={"alpha": nonnegative("alpha value", "usually 0.99")})


def rmsprop(
    lr: Number | Schedule = 1e-2,
    alpha: Number | Schedule = 0.99,
    eps: Number | Schedule = 1e-8,
    weight_decay: Number | Schedule = 0,
    momentum: Number | Schedule = 0,
    centered: bool = False,
    *,
    maximize: bool = False,
    mask: ParamTree = None,
) -> optax.GradientTransformation:
    r"""RMSprop, with torch.optim.RMSprop's arguments and numbers.

    The gradient is divided by the root of a running mean of its square; ``eps`` is outside the root, as in torch.

    .. math::
      \begin{align*}
        g_t &\leftarrow g_t + \lambda \theta_{t-1}, \qquad v_t \leftarrow \alpha v_{t-1} + (1 - \alpha) g_t^2 \\
        \bar g_t &\leftarrow \alpha \bar g_{t-1} + (1 - \alpha) g_t, \quad \tilde v_t = v_t - \bar g_t^2 \text{ if centered, else } v_t \\
        b_t &\leftarrow \mu b_{t-1} + g_t / (\sqrt{\tilde v_t} + \epsilon), \qquad \theta_t \leftarrow \theta_{t-1} - \gamma b_t
      \end{align*}

    Args:
      lr: learning rate :math:`\gamma` ≥ 0, or an optax schedule of the number of updates done.
      alpha: :math:`\alpha` ≥ 0, decay of the running means.
      eps: :math:`\epsilon` ≥ 0, added to the root.
      weight_decay: :math:`\lambda` ≥ 0, an L2 penalty added to the gradient.
      momentum: :math:`\mu` ≥ 0. A plain 0 keeps no buffer.
      centered: divide by the standard deviation, the mean gradient taken off.
      maximize: ascend instead of descend.
      mask: which parameters decay, such as ``decay_mask(layer)``: a tree of bools, or a function of the parameters that gives one; None is all.

    Returns:
      An ``optax.GradientTransformation``; its ``update`` needs ``params``.

    Raises:
      ValueError: for a number out of its range, with torch's text.

    Example:
      >>> import jax.numpy as jnp
      >>> from funnn.optim import rmsprop
      >>> optimizer, params = rmsprop(lr=0.01), jnp.array([1.0, -2.0])
      >>> updates, state = optimizer.update(jnp.array([0.5, -4.0]), optimizer.init(params), params)
      >>> [round(x, 4) for x in updates.tolist()]
      [-0.1, 0.1]

    References:
      torch.optim.RMSprop; Hinton's lecture 6e of Neural Networks for Machine Learning, 2012; Graves, `Generating Sequences
      <https://arxiv.org/abs/1308.0850>`_, 2013 (centered).
    """
    return transformation(rmsprop_rule, **locals())
