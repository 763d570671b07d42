"""RAdam: Adam with a rectified variance, as torch.optim.RAdam computes it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from funnn.optim._numbers import Number, lerp, mean_of_squares, one_minus_power, plus, plus_eps_root, times, wide, zeros_like
from funnn.optim._rule import Options, ParamTree, Rule, Schedule, State, transformation


def _slots(param: jax.Array, o: Options) -> State:
    return {"exp_avg": zeros_like(param), "exp_avg_sq": zeros_like(param)}


def _formula(grad: jax.Array, state: State, theta: jax.Array, o: Options) -> tuple[jax.Array, State]:
    beta1, beta2 = o.betas
    exp_avg = lerp(state["exp_avg"], grad, 1 - beta1)
    exp_avg_sq = mean_of_squares(state["exp_avg_sq"], grad, beta2)
    correction2 = one_minus_power(beta2, state["step"])
    rho_inf = 2 / (1 - beta2) - 1
    rho = rho_inf - 2 * wide(state["step"]) * (1 - correction2) / correction2
    enough = rho > 5.0
    rho = jnp.where(enough, rho, 6.0)  # any number without a root of a negative one
    rectified = jnp.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
    adaptive = times(rectified * jnp.sqrt(correction2), 1 / plus(o.eps, jnp.sqrt(plus_eps_root(exp_avg_sq, correction2, o.eps_root))))
    delta = times(-o.lr / one_minus_power(beta1, state["step"]), exp_avg) * jnp.where(enough, adaptive, 1)
    return delta, {"exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}


_DEFAULTS = {
    **{"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0},
    **{"decoupled_weight_decay": False, "maximize": False, "eps_root": 0},
}
#: RAdam for one array. State: ``step``, ``exp_avg``, ``exp_avg_sq``.
radam_rule = Rule("RAdam", _DEFAULTS, _slots, _formula)


def radam(
    lr: Number | Schedule = 1e-3,
    betas: tuple[Number, Number] = (0.9, 0.999),
    eps: Number | Schedule = 1e-8,
    weight_decay: Number | Schedule = 0,
    decoupled_weight_decay: bool = False,
    *,
    maximize: bool = False,
    eps_root: Number | Schedule = 0,
    mask: ParamTree = None,
) -> optax.GradientTransformation:
    r"""RAdam, with torch.optim.RAdam's arguments and numbers.

    Adam that divides by the second moment only once enough steps have been seen for it to be known, and less than fully at first.

    .. math::
      \begin{align*}
        g_t &\leftarrow g_t + \lambda \theta_{t-1} \text{, or }
          \theta_{t-1} \leftarrow (1 - \gamma \lambda) \theta_{t-1} \text{ if decoupled} \\
        m_t &\leftarrow \beta_1 m_{t-1} + (1 - \beta_1) g_t, \qquad v_t \leftarrow \beta_2 v_{t-1} + (1 - \beta_2) g_t^2 \\
        \rho_\infty &= 2 / (1 - \beta_2) - 1, \qquad \rho_t = \rho_\infty - 2 t \beta_2^t / (1 - \beta_2^t) \\
        r_t &= \sqrt{\frac{(\rho_t - 4)(\rho_t - 2) \rho_\infty}{(\rho_\infty - 4)(\rho_\infty - 2) \rho_t}}
          \frac{\sqrt{1 - \beta_2^t}}{\sqrt{v_t} + \epsilon} \text{ if } \rho_t > 5 \text{, else } 1 \\
        \theta_t &\leftarrow \theta_{t-1} - \gamma \frac{m_t}{1 - \beta_1^t} r_t
      \end{align*}

    Args:
      lr: learning rate :math:`\gamma` ≥ 0, or an optax schedule of the number of updates done.
      betas: decay rates :math:`\beta_1, \beta_2` in [0, 1) of the two running means.
      eps: :math:`\epsilon` ≥ 0, added to the root.
      weight_decay: :math:`\lambda` ≥ 0.
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
      >>> from funnn.optim import radam
      >>> optimizer, params = radam(lr=0.1), jnp.array([1.0, -2.0])
      >>> updates, state = optimizer.update(jnp.array([0.5, -4.0]), optimizer.init(params), params)
      >>> [round(x, 4) for x in updates.tolist()]
      [-0.05, 0.4]

    References:
      torch.optim.RAdam; Liu et al., `On the Variance of the Adaptive Learning Rate and Beyond <https://arxiv.org/abs/1908.03265>`_, 2019.

    Note:
      :math:`\rho_t` is a small difference of large numbers: without 64-bit types the first rectified steps are good to four digits.
    """
    return transformation(radam_rule, **locals())
