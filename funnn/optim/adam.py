"""Adam and AdamW, as torch.optim computes them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from funnn.optim._numbers import Number, lerp, mean_of_squares, one_minus_power, plus, plus_eps_root, times, zeros_like
from funnn.optim._rule import Options, ParamTree, Rule, Schedule, State, transformation


def _slots(param: jax.Array, o: Options) -> State:
    return {name: zeros_like(param) for name in ("exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if o.amsgrad else []))}


def _formula(grad: jax.Array, state: State, theta: jax.Array, o: Options) -> tuple[jax.Array, State]:
    beta1, beta2 = o.betas
    exp_avg = lerp(state["exp_avg"], grad, 1 - beta1)
    largest = exp_avg_sq = mean_of_squares(state["exp_avg_sq"], grad, beta2)
    new = {"exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}
    if o.amsgrad:
        largest = new["max_exp_avg_sq"] = jnp.maximum(state["max_exp_avg_sq"], exp_avg_sq)
    correction2 = one_minus_power(beta2, state["step"])
    denom = plus(o.eps, jnp.sqrt(plus_eps_root(largest, correction2, o.eps_root)) / jnp.sqrt(correction2).astype(theta.dtype))
    return times(-o.lr / one_minus_power(beta1, state["step"]), exp_avg) / denom, new


_DEFAULTS = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0, "amsgrad": False, "maximize": False, "eps_root": 0}

#: Adam for one array. State: ``step``, ``exp_avg``, ``exp_avg_sq`` and, with amsgrad, ``max_exp_avg_sq``. The flag decoupled_weight_decay
#: makes it AdamW.
adam_rule = Rule("Adam", {**_DEFAULTS, "decoupled_weight_decay": False}, _slots, _formula)


def adam(
    lr: Number | Schedule = 1e-3,
    betas: tuple[Number, Number] = (0.9, 0.999),
    eps: Number | Schedule = 1e-8,
    weight_decay: Number | Schedule = 0,
    amsgrad: bool = False,
    *,
    maximize: bool = False,
    eps_root: Number | Schedule = 0,
    mask: ParamTree = None,
) -> optax.GradientTransformation:
    r"""Adam, with torch.optim.Adam's arguments and numbers.

    Each entry of a parameter has its own step size: a running mean of its gradient, divided by the root of a running mean of the squared
    gradient. The step is then about ``lr`` whatever the gradient's scale. Both means start at 0 and are corrected for it.

    With :math:`g_t` the gradient (negated if ``maximize``), :math:`\theta` the parameter, :math:`\gamma` = ``lr``,
    :math:`\beta_1, \beta_2` = ``betas``, :math:`\epsilon` = ``eps`` and :math:`\lambda` = ``weight_decay``:

    .. math::
      \begin{align*}
        g_t &\leftarrow g_t + \lambda \theta_{t-1} \\
        m_t &\leftarrow \beta_1 m_{t-1} + (1 - \beta_1) g_t \\
        v_t &\leftarrow \beta_2 v_{t-1} + (1 - \beta_2) g_t^2 \\
        u_t &\leftarrow \max(u_{t-1}, v_t) \text{ if amsgrad, else } v_t \\
        \theta_t &\leftarrow \theta_{t-1} - \frac{\gamma}{1 - \beta_1^t} \,
          \frac{m_t}{\sqrt{u_t} / \sqrt{1 - \beta_2^t} + \epsilon}
      \end{align*}

    torch calls :math:`m, v, u` exp_avg, exp_avg_sq and max_exp_avg_sq, and so does the state.

    Args:
      lr: learning rate :math:`\gamma` ≥ 0, or an optax schedule of the number of updates done.
      betas: decay rates :math:`\beta_1, \beta_2` in [0, 1) of the two running means.
      eps: :math:`\epsilon` ≥ 0, added to the root; it bounds the step of entries whose gradient is tiny.
      weight_decay: :math:`\lambda` ≥ 0, an L2 penalty added to the gradient (so it is rescaled too; AdamW decouples it).
      amsgrad: divide by the largest :math:`v` so far.
      maximize: ascend instead of descend.
      eps_root: :math:`\epsilon_r` ≥ 0, added inside the corrected root, as in optax (torch has none): :math:`\sqrt{\hat v + \epsilon_r}`.
      mask: which parameters decay, such as ``decay_mask(layer)``: a tree of bools, or a function of the parameters that gives one; None is all.

    Returns:
      An ``optax.GradientTransformation``; its ``update`` needs ``params``.

    Raises:
      ValueError: for a number out of its range, with torch's text.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> from funnn.optim import adam
      >>> loss = lambda params: jnp.sum(params["x"] ** 2)
      >>> params = {"x": jnp.array([1.0, -2.0])}
      >>> optimizer = adam(lr=optax.linear_schedule(0.5, 0.1, 10))
      >>> state = optimizer.init(params)
      >>> for _ in range(3):
      ...     updates, state = optimizer.update(jax.grad(loss)(params), state, params)
      ...     params = optax.apply_updates(params, updates)
      >>> print(f"{loss(params):.3f}")
      0.484

    References:
      torch.optim.Adam, https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html; Kingma and Ba, `Adam: A Method for Stochastic
      Optimization <https://arxiv.org/abs/1412.6980>`_, 2014; Reddi et al., `On the Convergence of Adam and Beyond
      <https://openreview.net/forum?id=ryQu7f-RZ>`_, 2018.

    Note:
      As in torch, ``eps`` is added after the corrected root, and AMSGrad takes the maximum of the uncorrected :math:`v` and corrects that;
      the paper (and ``optax.amsgrad``) differ there. 16-bit parameters are updated in float32 and rounded once, where torch rounds after
      each operation.
    """
    return transformation(adam_rule, **locals())


def adamw(
    lr: Number | Schedule = 1e-3,
    betas: tuple[Number, Number] = (0.9, 0.999),
    eps: Number | Schedule = 1e-8,
    weight_decay: Number | Schedule = 1e-2,
    amsgrad: bool = False,
    *,
    maximize: bool = False,
    eps_root: Number | Schedule = 0,
    mask: ParamTree = None,
) -> optax.GradientTransformation:
    r"""Adam with decoupled weight decay, with torch.optim.AdamW's arguments and numbers.

    As :func:`adam`, but the decay does not pass through the running means: :math:`\theta_t \leftarrow (1 - \gamma \lambda) \theta_{t-1}`
    comes first, then Adam's step with the gradient as it is.

    Args:
      lr: learning rate :math:`\gamma` ≥ 0, or an optax schedule of the number of updates done.
      betas: decay rates in [0, 1) of the two running means.
      eps: added to the root, ≥ 0.
      weight_decay: :math:`\lambda` ≥ 0; the parameter shrinks by lr · weight_decay of itself at each step.
      amsgrad: divide by the largest second moment so far.
      maximize: ascend instead of descend.
      eps_root: :math:`\epsilon_r` ≥ 0, added inside the corrected root, as in optax (torch has none): :math:`\sqrt{\hat v + \epsilon_r}`.
      mask: which parameters decay, such as ``decay_mask(layer)``: a tree of bools, or a function of the parameters that gives one; None is all.

    Returns:
      An ``optax.GradientTransformation``; its ``update`` needs ``params``.

    Raises:
      ValueError: for a number out of its range, with torch's text.

    Example:
      >>> import jax.numpy as jnp
      >>> from funnn.optim import adamw
      >>> optimizer, params = adamw(lr=0.1, weight_decay=0.5), jnp.array([2.0])
      >>> updates, _ = optimizer.update(jnp.array([1.0]), optimizer.init(params), params)
      >>> print(f"{updates[0]:.4f}")  # -0.1 of Adam, -0.1 · 0.5 · 2 of the decay
      -0.2000

    References:
      torch.optim.AdamW; Loshchilov and Hutter, `Decoupled Weight Decay Regularization <https://arxiv.org/abs/1711.05101>`_, 2017.
    """
    return transformation(adam_rule, **locals(), decoupled_weight_decay=True)
