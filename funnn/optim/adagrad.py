"""Adagrad, as torch.optim.Adagrad computes it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from funnn.optim._numbers import Number, plus, times, wide
from funnn.optim._rule import Options, ParamTree, Rule, Schedule, State, transformation


def _slots(param: jax.Array, o: Options) -> State:
    return {"sum": jnp.full_like(param, o.initial_accumulator_value, dtype=param.dtype)}


def _formula(grad: jax.Array, state: State, theta: jax.Array, o: Options) -> tuple[jax.Array, State]:
    total = state["sum"] + grad * grad
    return times(-o.lr / (1 + (wide(state["step"]) - 1) * o.lr_decay), grad) / plus(o.eps, jnp.sqrt(total)), {"sum": total}


_DEFAULTS = {
    **{"lr": 1e-2, "lr_decay": 0, "weight_decay": 0, "initial_accumulator_value": 0, "eps": 1e-10},
    **{"maximize": False},
}
#: Adagrad for one array. State: ``step``, ``sum``.
adagrad_rule = Rule("Adagrad", _DEFAULTS, _slots, _formula)


def adagrad(
    lr: Number | Schedule = 1e-2,
    lr_decay: Number | Schedule = 0,
    weight_decay: Number | Schedule = 0,
    initial_accumulator_value: Number = 0,
    eps: Number | Schedule = 1e-10,
    *,
    maximize: bool = False,
    mask: ParamTree = None,
) -> optax.GradientTransformation:
    r"""Adagrad, with torch.optim.Adagrad's arguments and numbers.

    Each entry's step is divided by the root of the sum of its squared gradients so far: what moves often moves less.

    .. math::
      \begin{align*}
        g_t &\leftarrow g_t + \lambda \theta_{t-1}, \qquad s_t \leftarrow s_{t-1} + g_t^2 \\
        \theta_t &\leftarrow \theta_{t-1} - \frac{\gamma}{1 + (t - 1) \eta} \frac{g_t}{\sqrt{s_t} + \epsilon}
      \end{align*}

    Args:
      lr: learning rate :math:`\gamma` ≥ 0, or an optax schedule of the number of updates done.
      lr_decay: :math:`\eta` ≥ 0.
      weight_decay: :math:`\lambda` ≥ 0, an L2 penalty added to the gradient.
      initial_accumulator_value: :math:`s_0` ≥ 0.
      eps: :math:`\epsilon` ≥ 0, added to the root.
      maximize: ascend instead of descend.
      mask: which parameters decay, such as ``decay_mask(layer)``: a tree of bools, or a function of the parameters that gives one; None is all.

    Returns:
      An ``optax.GradientTransformation``; its ``update`` needs ``params``.

    Raises:
      ValueError: for a number out of its range, with torch's text.

    Example:
      >>> import jax.numpy as jnp
      >>> from funnn.optim import adagrad
      >>> optimizer, params = adagrad(lr=0.1), jnp.array([1.0, -2.0])
      >>> updates, state = optimizer.update(jnp.array([0.5, -4.0]), optimizer.init(params), params)
      >>> [round(x, 4) for x in updates.tolist()]
      [-0.1, 0.1]

    References:
      torch.optim.Adagrad; Duchi, Hazan and Singer, `Adaptive Subgradient Methods <https://jmlr.org/papers/v12/duchi11a.html>`_, 2011.
    """
    return transformation(adagrad_rule, **locals())
