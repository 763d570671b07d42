"""NAdam: Adam with Nesterov momentum, as torch.optim.NAdam computes it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from funnn.optim._numbers import Number, lerp, mean_of_squares, one_minus_power, plus, plus_eps_root, power, times, wide, zeros_like
from funnn.optim._rule import Options, ParamTree, Rule, Schedule, State, transformation


def _slots(param: jax.Array, o: Options) -> State:
    return {"mu_product": jnp.ones((), o.scalar_dtype), "exp_avg": zeros_like(param), "exp_avg_sq": zeros_like(param)}


def _formula(grad: jax.Array, state: State, theta: jax.Array, o: Options) -> tuple[jax.Array, State]:
    beta1, beta2 = o.betas
    step = wide(state["step"])
    mu, mu_next = (beta1 * (1 - 0.5 * power(0.96, t * o.momentum_decay)) for t in (step, step + 1))
    mu_product = state["mu_product"] * mu.astype(state["mu_product"].dtype)
    exp_avg = lerp(state["exp_avg"], grad, 1 - beta1)
    exp_avg_sq = mean_of_squares(state["exp_avg_sq"], grad, beta2)
    correction2 = one_minus_power(beta2, step)
    denom = plus(o.eps, jnp.sqrt(plus_eps_root(exp_avg_sq, correction2, o.eps_root) / correction2.astype(theta.dtype)))
    now = times(-o.lr * (1 - mu) / (1 - wide(mu_product)), grad)
    ahead = times(-o.lr * mu_next / (1 - wide(mu_product) * mu_next), exp_avg)
    return now / denom + ahead / denom, {"mu_product": mu_product, "exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}


_DEFAULTS = {
    **{"lr": 2e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0, "momentum_decay": 4e-3},
    **{"decoupled_weight_decay": False, "maximize": False, "eps_root": 0},
}
#: NAdam for one array. State: ``step``, ``mu_product``, ``exp_avg``, ``exp_avg_sq``.
nadam_rule = Rule("NAdam", _DEFAULTS, _slots, _formula)


def nadam(
    lr: Number | Schedule = 2e-3,
    betas: tuple[Number, Number] = (0.9, 0.999),
    eps: Number | Schedule = 1e-8,
    weight_decay: Number | Schedule = 0,
    momentum_decay: Number | Schedule = 4e-3,
    decoupled_weight_decay: bool = False,
    *,
    maximize: bool = False,
    eps_root: Number | Schedule = 0,
    mask: ParamTree = None,
) -> optax.GradientTransformation:
    r"""NAdam, with torch.optim.NAdam's arguments and numbers.

    Adam whose first mean looks one step ahead, with a momentum that warms up.

    .. math::
      \begin{align*}
        g_t &\leftarrow g_t + \lambda \theta_{t-1} \text{, or }
          \theta_{t-1} \leftarrow (1 - \gamma \lambda) \theta_{t-1} \text{ if decoupled} \\
        \mu_t &= \beta_1 (1 - \tfrac12 0.96^{t \psi}), \qquad M_t = \textstyle\prod_{i \le t} \mu_i \\
        m_t &\leftarrow \beta_1 m_{t-1} + (1 - \beta_1) g_t, \qquad v_t \leftarrow \beta_2 v_{t-1} + (1 - \beta_2) g_t^2 \\
        \hat m_t &= \frac{\mu_{t+1}}{1 - M_t \mu_{t+1}} m_t + \frac{1 - \mu_t}{1 - M_t} g_t \\
        \theta_t &\leftarrow \theta_{t-1} - \gamma \hat m_t / (\sqrt{v_t / (1 - \beta_2^t)} + \epsilon)
      \end{align*}

    Args:
      lr: learning rate :math:`\gamma` ≥ 0, or an optax schedule of the number of updates done.
      betas: decay rates :math:`\beta_1, \beta_2` in [0, 1) of the two running means.
      eps: :math:`\epsilon` ≥ 0, added to the root.
      weight_decay: :math:`\lambda` ≥ 0.
      momentum_decay: :math:`\psi` ≥ 0, how slowly the momentum warms up.
      decoupled_weight_decay: shrink the parameter instead of adding an L2 penalty to the gradient.
      maximize: ascend instead of descend.
      eps_root: :math:`\epsilon_r` ≥ 0, added inside the corrected root, as in optax (torch has none): :math:`\sqrt{\hat v + \epsilon_r}`.
      mask: which parameters decay, such as ``decay_mask(layer)``: a tree of bools, or a function of the parameters that gives one; None is all.

    Returns:
      An ``optax.GradientTransformation``; its ``update`` needs ``params``.

    Raises:
      ValueError: for a number out of its range, with torch's text.

    Example:
      >>> import jax.numpy as jnp
      >>> from funnn.optim import nadam
      >>> optimizer, params = nadam(lr=0.1), jnp.array([1.0, -2.0])
      >>> updates, state = optimizer.update(jnp.array([0.5, -4.0]), optimizer.init(params), params)
      >>> [round(x, 4) for x in updates.tolist()]
      [-0.1056, 0.1056]

    References:
      torch.optim.NAdam; Dozat, `Incorporating Nesterov Momentum into Adam <https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ>`_, 2016.
    """
    return transformation(nadam_rule, **locals())
