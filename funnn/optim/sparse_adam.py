"""Adam of the rows that have a gradient, as torch.optim.SparseAdam computes it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from funnn.optim._checks import check
from funnn.optim._numbers import Number, lerp, one_minus_power, plus, times, zeros_like
from funnn.optim._rule import Options, Rule, Schedule, State, transformation


def _slots(param: jax.Array, o: Options) -> State:
    return {"exp_avg": zeros_like(param), "exp_avg_sq": zeros_like(param)}


def _formula(grad: jax.Array, state: State, theta: jax.Array, o: Options) -> tuple[jax.Array, State]:
    beta1, beta2 = o.betas
    present = state.get("present")
    if present is None:
        present = jnp.any(grad != 0, axis=tuple(range(1, grad.ndim)), keepdims=True)
    exp_avg = jnp.where(present, lerp(state["exp_avg"], grad, 1 - beta1), state["exp_avg"])
    exp_avg_sq = jnp.where(present, lerp(state["exp_avg_sq"], grad * grad, 1 - beta2), state["exp_avg_sq"])
    size = o.lr * jnp.sqrt(one_minus_power(beta2, state["step"])) / one_minus_power(beta1, state["step"])
    delta = jnp.where(present, times(-size, exp_avg / plus(o.eps, jnp.sqrt(exp_avg_sq))), 0)
    return delta, {"exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}


_CHECKS = {
    "lr": check(lambda number: number > 0, "Invalid learning rate: {}; expected a number > 0"),
    "eps": check(lambda number: number > 0, "Invalid epsilon value: {}; expected a number > 0, usually 1e-8"),
}


_DEFAULTS = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "maximize": False}
#: SparseAdam for one array. State: ``step``, ``exp_avg``, ``exp_avg_sq``, and ``present`` where it is known which rows have a gradient.
sparse_adam_rule = Rule("SparseAdam", _DEFAULTS, _slots, _formula, checks=_CHECKS, real_only=True)


def sparse_adam(
    lr: Number | Schedule = 1e-3,
    betas: tuple[Number, Number] = (0.9, 0.999),
    eps: Number | Schedule = 1e-8,
    maximize: bool = False,
) -> optax.GradientTransformation:
    r"""Adam that leaves rows without a gradient alone, with torch.optim.SparseAdam's arguments and numbers.

    For embeddings: a row of the parameter whose gradient is all zero was not looked up, and neither it nor its running means move.

    .. math::
      \begin{align*}
        m_t &\leftarrow \beta_1 m_{t-1} + (1 - \beta_1) g_t, \qquad v_t \leftarrow \beta_2 v_{t-1} + (1 - \beta_2) g_t^2 \\
        \theta_t &\leftarrow \theta_{t-1} - \gamma \frac{\sqrt{1 - \beta_2^t}}{1 - \beta_1^t} \frac{m_t}{\sqrt{v_t} + \epsilon}
      \end{align*}

    Args:
      lr: learning rate :math:`\gamma` > 0, or an optax schedule of the number of updates done.
      betas: decay rates in [0, 1) of the two running means.
      eps: :math:`\epsilon` > 0, added to the (uncorrected) root.
      maximize: ascend instead of descend.

    Returns:
      An ``optax.GradientTransformation``; its ``update`` needs ``params``.

    Raises:
      ValueError: for a number out of its range, with torch's text.

    Example:
      >>> import jax.numpy as jnp
      >>> from funnn.optim import sparse_adam
      >>> optimizer, params = sparse_adam(lr=0.1), jnp.array([1.0, -2.0])
      >>> updates, state = optimizer.update(jnp.array([0.5, -4.0]), optimizer.init(params), params)
      >>> [round(x, 4) for x in updates.tolist()]
      [-0.1, 0.1]

    References:
      torch.optim.SparseAdam.

    Note:
      torch reads from the sparse layout which rows are there. Gradients here are dense arrays, so a row that was looked up and whose
      gradient is exactly zero counts as absent.
    """
    return transformation(sparse_adam_rule, **locals())
