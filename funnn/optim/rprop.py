"""Resilient backpropagation, as torch.optim.Rprop computes it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from funnn.optim._checks import known
from funnn.optim._numbers import Number, zeros_like
from funnn.optim._rule import Options, Rule, Schedule, State, transformation


def _slots(param: jax.Array, o: Options) -> State:
    return {"prev": zeros_like(param), "step_size": jnp.full_like(param, o.lr, dtype=param.dtype)}


def _formula(grad: jax.Array, state: State, theta: jax.Array, o: Options) -> tuple[jax.Array, State]:
    (shrink, grow), (least, most) = ([jnp.asarray(number, theta.dtype) for number in pair] for pair in (o.etas, o.step_sizes))
    agreement = jnp.sign(grad * state["prev"])
    factor = jnp.where(agreement > 0, grow, jnp.where(agreement < 0, shrink, 1))
    step_size = jnp.clip(state["step_size"] * factor, least, most)
    grad = jnp.where(agreement < 0, 0, grad)  # after a turn the entry waits, and the next step starts afresh
    return -jnp.sign(grad) * step_size, {"prev": grad, "step_size": step_size}


def _check_etas(etas: tuple[Any, ...]) -> None:
    low, high = map(known, etas)
    if low is not None and high is not None and not 0 < low < 1 < high:
        raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}; expected 0 < etas[0] < 1 < etas[1], usually (0.5, 1.2)")


_DEFAULTS = {"lr": 1e-2, "etas": (0.5, 1.2), "step_sizes": (1e-6, 50), "maximize": False}
#: Rprop for one array. State: ``step``, ``prev``, ``step_size`` (at first lr).
rprop_rule = Rule("Rprop", _DEFAULTS, _slots, _formula, checks={"etas": _check_etas})


def rprop(
    lr: Number | Schedule = 1e-2,
    etas: tuple[Number, Number] = (0.5, 1.2),
    step_sizes: tuple[Number, Number] = (1e-6, 50),
    *,
    maximize: bool = False,
) -> optax.GradientTransformation:
    r"""Rprop, with torch.optim.Rprop's arguments and numbers.

    Only the sign of the gradient counts: each entry has its own step size, which grows while the sign stays and shrinks when it turns. For
    full batches.

    .. math::
      \begin{align*}
        s_t &= \text{sign}(g_t g_{t-1}), \qquad \eta_t \leftarrow \text{clip}(\eta_{t-1}
          \cdot \{\eta_+, \eta_-, 1\}[s_t > 0, s_t < 0, s_t = 0]) \\
        g_t &\leftarrow 0 \text{ where } s_t < 0, \qquad \theta_t \leftarrow \theta_{t-1} - \eta_t \, \text{sign}(g_t)
      \end{align*}

    Args:
      lr: the first step size :math:`\eta_0` ≥ 0; later changes have no effect.
      etas: :math:`(\eta_-, \eta_+)` with 0 < η₋ < 1 < η₊.
      step_sizes: the least and the largest step size.
      maximize: ascend instead of descend.

    Returns:
      An ``optax.GradientTransformation``; its ``update`` needs ``params``.

    Raises:
      ValueError: for a number out of its range, with torch's text.

    Example:
      >>> import jax.numpy as jnp
      >>> from funnn.optim import rprop
      >>> optimizer, params = rprop(lr=0.1), jnp.array([1.0, -2.0])
      >>> updates, state = optimizer.update(jnp.array([0.5, -4.0]), optimizer.init(params), params)
      >>> [round(x, 4) for x in updates.tolist()]
      [-0.1, 0.1]

    References:
      torch.optim.Rprop; Riedmiller and Braun, A direct adaptive method for faster backpropagation learning: the RPROP algorithm, 1993.
    """
    return transformation(rprop_rule, **locals())
