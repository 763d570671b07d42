"""Adamax: Adam by the largest gradient, as torch.optim.Adamax computes it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from funnn.optim._numbers import Number, lerp, one_minus_power, plus, times, zeros_like
from funnn.optim._rule import Options, ParamTree, Rule, Schedule, State, transformation


def _slots(param: jax.Array, o: Options) -> State:
    return {"exp_avg": zeros_like(param), "exp_inf": zeros_like(param)}


def _formula(grad: jax.Array, state: State, theta: jax.Array, o: Options) -> tuple[jax.Array, State]:
    beta1, beta2 = o.betas
    exp_avg = lerp(state["exp_avg"], grad, 1 - beta1)
    exp_inf = jnp.maximum(times(beta2, state["exp_inf"]), plus(o.eps, jnp.abs(grad)))
    delta = times(-o.lr / one_minus_power(beta1, state["step"]), exp_avg) / exp_inf
    return delta, {"exp_avg": exp_avg, "exp_inf": exp_inf}


_DEFAULTS = {"lr": 2e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0, "maximize": False}
#: Adamax for one array. State: ``step``, ``exp_avg``, ``exp_inf``.
adamax_rule = Rule("Adamax", _DEFAULTS, _slots, _formula)


def adamax(
    lr: Number | Schedule = 2e-3,
    betas: tuple[Number, Number] = (0.9, 0.999),
    eps: Number | Schedule = 1e-8,
    weight_decay: Number | Schedule = 0,
    *,
    maximize: bool = False,
    mask: ParamTree = None,
) -> optax.GradientTransformation:
    r"""Adamax, with torch.optim.Adamax's arguments and numbers.

    Adam with the largest recent gradient in place of the root of the mean square, so that no entry moves by more than about ``lr``.

    .. math::
      \begin{align*}
        g_t &\leftarrow g_t + \lambda \theta_{t-1}, \qquad m_t \leftarrow \beta_1 m_{t-1} + (1 - \beta_1) g_t \\
        u_t &\leftarrow \max(\beta_2 u_{t-1}, |g_t| + \epsilon) \\
        \theta_t &\leftarrow \theta_{t-1} - \frac{\gamma}{1 - \beta_1^t} \frac{m_t}{u_t}
      \end{align*}

    Args:
      lr: learning rate :math:`\gamma` ≥ 0, or an optax schedule of the number of updates done.
      betas: :math:`\beta_1, \beta_2` in [0, 1): decay of the mean and of the maximum.
      eps: :math:`\epsilon` ≥ 0, keeps the maximum from 0.
      weight_decay: :math:`\lambda` ≥ 0, an L2 penalty added to the gradient.
      maximize: ascend instead of descend.
      mask: which parameters decay, such as ``decay_mask(layer)``: a tree of bools, or a function of the parameters that gives one; None is all.

    Returns:
      An ``optax.GradientTransformation``; its ``update`` needs ``params``.

    Raises:
      ValueError: for a number out of its range, with torch's text.

    Example:
      >>> import jax.numpy as jnp
      >>> from funnn.optim import adamax
      >>> optimizer, params = adamax(lr=0.1), jnp.array([1.0, -2.0])
      >>> updates, state = optimizer.update(jnp.array([0.5, -4.0]), optimizer.init(params), params)
      >>> [round(x, 4) for x in updates.tolist()]
      [-0.1, 0.1]

    References:
      torch.optim.Adamax; Kingma and Ba, `Adam <https://arxiv.org/abs/1412.6980>`_, 2014, section 7.1.
    """
    return transformation(adamax_rule, **locals())
