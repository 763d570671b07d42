"""Adam, as torch.optim.Adam computes it."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from funnn.optim._rule import (
    Number,
    Rule,
    Schedule,
    State,
    compute_dtype,
    decayed,
    known,
    require_nonnegative,
    scalar,
    times,
    transformation,
    zeros_like,
)


def _init(param: jax.Array, *, amsgrad: bool = False, **_: Any) -> State:
    names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if amsgrad else ("exp_avg", "exp_avg_sq")
    return {"step": jnp.zeros((), jnp.float32)} | {name: zeros_like(param) for name in names}


def _bias_correction(beta: Number, step: jax.Array) -> jax.Array:
    """1 - beta**step, as -expm1(step · log beta): float32 would lose half its digits where beta**step is near 1."""
    if isinstance(beta, (jax.Array, np.ndarray)):
        log = jnp.log(beta)
    else:
        log = math.log(beta) if beta > 0 else -math.inf
    return -jnp.expm1(step.astype(jnp.result_type(float)) * log)


def _lerp(start: jax.Array, end: jax.Array, weight: Number) -> jax.Array:
    """start + weight · (end - start), from the nearer side as torch.lerp does it, so that weight 1 gives exactly end."""
    step = end - start
    return jnp.where(weight < 0.5, start + times(weight, step), end - times(1 - weight, step))


def _update(
    grad: jax.Array,
    state: State,
    param: jax.Array,
    *,
    lr: Number = 1e-3,
    betas: tuple[Number, Number] = (0.9, 0.999),
    eps: Number = 1e-8,
    weight_decay: Number = 0,
    amsgrad: bool = False,
    maximize: bool = False,
    decoupled_weight_decay: bool = False,
) -> tuple[jax.Array, State]:
    options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
    flags = {"amsgrad": amsgrad, "maximize": maximize, "decoupled_weight_decay": decoupled_weight_decay}
    if jnp.iscomplexobj(param):  # a complex number is two real parameters, as in torch
        real = {name: value if name == "step" else _to_real(value) for name, value in state.items()}
        delta, real = _update(_to_real(grad.astype(param.dtype)), real, _to_real(param), **options, **flags)
        return _to_complex(delta), {name: value if name == "step" else _to_complex(value) for name, value in real.items()}

    dtype = compute_dtype(param)
    lr, beta1, beta2, weight_decay = map(scalar, (lr, *betas, weight_decay))
    step = state["step"] + 1
    theta, grad, exp_avg, exp_avg_sq = (x.astype(dtype) for x in (param, grad, state["exp_avg"], state["exp_avg_sq"]))
    if maximize:
        grad = -grad
    if not decoupled_weight_decay:
        grad = decayed(grad, theta, weight_decay)
    exp_avg = _lerp(exp_avg, grad, 1 - beta1)
    exp_avg_sq = times(beta2, exp_avg_sq) + times(1 - beta2, grad) * grad
    new = {"step": step, "exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}
    largest = exp_avg_sq
    if amsgrad:
        largest = new["max_exp_avg_sq"] = jnp.maximum(state["max_exp_avg_sq"].astype(dtype), exp_avg_sq)
    root = jnp.sqrt(_bias_correction(beta2, step))
    denom = jnp.sqrt(largest) / root.astype(dtype) + jnp.asarray(eps, dtype)
    delta = times(-lr / _bias_correction(beta1, step), exp_avg) / denom
    if decoupled_weight_decay:
        # torch first shrinks the parameter by (1 - lr · weight_decay), then adds the rest.
        delta = decayed(delta, theta, -lr * weight_decay)
    return delta.astype(param.dtype), {name: value if name == "step" else value.astype(param.dtype) for name, value in new.items()}


def _to_real(x: jax.Array) -> jax.Array:
    return jnp.stack([x.real, x.imag], axis=-1)


def _to_complex(x: jax.Array) -> jax.Array:
    return jax.lax.complex(x[..., 0], x[..., 1])


def _validate(*, lr: Number, betas: tuple[Number, Number], eps: Number, weight_decay: Number, **_: Any) -> None:
    require_nonnegative("learning rate", lr, "use maximize=True to ascend")
    require_nonnegative("epsilon value", eps, "usually 1e-8")
    for index, beta in enumerate(betas):
        value = known(beta)
        if value is not None and not 0 <= value < 1:
            raise ValueError(f"Invalid beta parameter at index {index}: {beta}; expected 0 <= beta < 1, usually {(0.9, 0.999)[index]}")
    require_nonnegative("weight_decay value", weight_decay, "0 switches it off")


#: Adam for one array. State: ``step``, ``exp_avg``, ``exp_avg_sq`` and, with amsgrad, ``max_exp_avg_sq``. The flag decoupled_weight_decay
#: makes it AdamW.
adam_rule = Rule("Adam", _init, _update, _validate, flags=("amsgrad", "maximize", "decoupled_weight_decay"))


def adam(
    lr: Number | Schedule = 1e-3,
    betas: tuple[Number, Number] = (0.9, 0.999),
    eps: Number | Schedule = 1e-8,
    weight_decay: Number | Schedule = 0,
    amsgrad: bool = False,
    *,
    maximize: bool = False,
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
    return transformation(adam_rule, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad, maximize=maximize)
