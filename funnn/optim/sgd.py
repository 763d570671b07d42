"""Stochastic gradient descent with momentum, as torch.optim.SGD computes it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from funnn.optim._checks import known
from funnn.optim._numbers import Number, may_be_nonzero, times, zeros_like
from funnn.optim._rule import Options, ParamTree, Rule, Schedule, State, transformation


def _slots(param: jax.Array, o: Options) -> State:
    return {"step": jnp.zeros((), jnp.float32), "momentum_buffer": zeros_like(param)} if may_be_nonzero(o.momentum) else {}


def _formula(grad: jax.Array, state: State, theta: jax.Array, o: Options) -> tuple[jax.Array, State]:
    if "momentum_buffer" in state:
        step, old = state["step"], state["momentum_buffer"]
        buffer = jnp.where(step == 0, grad, times(o.momentum, old) + times(1 - o.dampening, grad))
        moving = jnp.asarray("momentum" in o.nonzero or o.momentum != 0)  # torch leaves the buffer alone while momentum is 0
        grad = jnp.where(moving, grad + times(o.momentum, buffer) if o.nesterov else buffer, grad)
        state = {"step": step + moving.astype(step.dtype), "momentum_buffer": jnp.where(moving, buffer, old)}
    return times(-o.lr, grad), state


def _relation(o: Options) -> None:
    m, d = known(o.momentum), known(o.dampening)
    if o.nesterov and ((m is not None and m <= 0) or (d is not None and d != 0)):
        raise ValueError(
            f"Nesterov momentum requires a momentum and zero dampening; got momentum={o.momentum}, dampening={o.dampening}. "
            "Pass momentum > 0 and dampening=0, or nesterov=False"
        )


_DEFAULTS = {"lr": 1e-3, "momentum": 0, "dampening": 0, "weight_decay": 0, "nesterov": False, "maximize": False}

#: SGD for one array. State, only with momentum: ``momentum_buffer`` and ``step``, the number of momentum steps done. torch tells the first
#: step, which is undamped, by the buffer's absence; a pure function cannot (the state would change its structure, and whether a retrace
#: happened would matter), so it reads ``step == 0``.
sgd_rule = Rule("SGD", _DEFAULTS, _slots, _formula, relation=_relation, counts=False)


def sgd(
    lr: Number | Schedule = 1e-3,
    momentum: Number | Schedule = 0,
    dampening: Number | Schedule = 0,
    weight_decay: Number | Schedule = 0,
    nesterov: bool = False,
    *,
    maximize: bool = False,
    mask: ParamTree = None,
) -> optax.GradientTransformation:
    r"""Stochastic gradient descent, with torch.optim.SGD's arguments and numbers.

    Each parameter moves against its gradient. Momentum replaces the gradient by a running sum of past gradients, which speeds up directions
    that stay the same and averages out those that flip; Nesterov's variant looks one step of that sum ahead.

    With :math:`g_t` the gradient (negated if ``maximize``), :math:`\theta` the parameter, :math:`\gamma` = ``lr``,
    :math:`\mu` = ``momentum``, :math:`\tau` = ``dampening``, :math:`\lambda` = ``weight_decay`` and :math:`b` the momentum buffer:

    .. math::
      \begin{align*}
        g_t &\leftarrow g_t + \lambda \theta_{t-1} \\
        b_1 &\leftarrow g_1, \qquad b_t \leftarrow \mu b_{t-1} + (1 - \tau) g_t \quad (t > 1) \\
        d_t &\leftarrow g_t + \mu b_t \text{ if nesterov, else } b_t \text{ if } \mu \ne 0 \text{, else } g_t \\
        \theta_t &\leftarrow \theta_{t-1} - \gamma d_t
      \end{align*}

    Args:
      lr: learning rate :math:`\gamma` ≥ 0, or an optax schedule of the number of updates done.
      momentum: :math:`\mu` ≥ 0. A plain 0 keeps no buffer.
      dampening: :math:`\tau`, how much of each new gradient is left out of the buffer (not of the first).
      weight_decay: :math:`\lambda` ≥ 0, an L2 penalty added to the gradient.
      nesterov: use Nesterov momentum; needs ``momentum`` > 0 and ``dampening`` = 0.
      maximize: ascend instead of descend.
      mask: which parameters decay, such as ``decay_mask(layer)``: a tree of bools, or a function of the parameters that gives one; None is all.

    Returns:
      An ``optax.GradientTransformation``; its ``update`` needs ``params``.

    Raises:
      ValueError: for a number out of its range, with torch's text.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> from funnn.optim import sgd
      >>> loss = lambda params: jnp.sum(params["x"] ** 2)
      >>> params = {"x": jnp.array([1.0, -2.0])}
      >>> optimizer = sgd(lr=0.1, momentum=0.9)
      >>> state = optimizer.init(params)
      >>> for _ in range(3):
      ...     updates, state = optimizer.update(jax.grad(loss)(params), state, params)
      ...     params = optax.apply_updates(params, updates)
      >>> print(f"{loss(params):.3f}")
      0.019

    References:
      torch.optim.SGD, https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html; Sutskever et al., `On the importance of
      initialization and momentum in deep learning <https://proceedings.mlr.press/v28/sutskever13.html>`_, 2013.

    Note:
      As in torch, and not in the paper, the learning rate multiplies the buffer and not each gradient that enters it, so that a change of
      ``lr`` rescales the whole sum; and the first gradient enters undamped. ``optax.sgd`` has neither dampening nor weight decay.
    """
    return transformation(sgd_rule, **locals())
