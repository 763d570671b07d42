"""Muon: momentum made orthogonal, as torch.optim.Muon computes it."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import optax

from funnn.optim._checks import check
from funnn.optim._numbers import Number, lerp, zeros_like
from funnn.optim._rule import Options, ParamTree, Rule, Schedule, State, transformation


def _slots(param: jax.Array, o: Options) -> State:
    return {"momentum_buffer": zeros_like(param)}


def _formula(grad: jax.Array, state: State, theta: jax.Array, o: Options) -> tuple[jax.Array, State]:
    if theta.ndim != 2:
        raise ValueError(
            f"Muon only supports 2D parameters whereas we found a parameter with size: {theta.shape}; use AdamW, or, where Repeat stacks "
            "matrices, muon(stacked=stacked_axes(layer))"
        )
    buffer = lerp(state["momentum_buffer"], grad, 1 - o.momentum)
    update = orthogonalized(lerp(grad, buffer, o.momentum) if o.nesterov else buffer, o.ns_coefficients, o.ns_steps, o.eps)
    rows, columns = theta.shape
    ratio = 0.2 * math.sqrt(max(rows, columns)) if o.adjust_lr_fn == "match_rms_adamw" else math.sqrt(max(1, rows / columns))
    return jnp.asarray(-o.lr * ratio, theta.dtype) * update.astype(theta.dtype), {"momentum_buffer": buffer}


def orthogonalized(matrix: jax.Array, coefficients: tuple[Number, Number, Number], steps: int, eps: Number) -> jax.Array:
    """About U Vᵀ of a matrix U S Vᵀ, by Newton–Schulz steps X ← a X + (b A + c A²) X with A = X Xᵀ, in bfloat16 as in torch."""
    if steps >= 100:
        raise ValueError(f"Number of steps must be less than 100 for computational efficiency; got ns_steps={steps}")
    if len(coefficients) != 3:
        raise ValueError(f"Coefficients must be a tuple of exactly 3 values; got {len(coefficients)}")
    a, b, c = (jnp.asarray(number, jnp.float32) for number in coefficients)

    def rounded(x: jax.Array) -> jax.Array:  # each of torch's operations computes in float32 and rounds once
        return jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7)

    x = rounded(matrix.astype(jnp.float32))
    x = x.T if matrix.shape[0] > matrix.shape[1] else x
    x = rounded(x / jnp.maximum(rounded(jnp.sqrt(jnp.sum(x * x))), rounded(jnp.asarray(eps, jnp.float32))))

    def improved(_: int, x: jax.Array) -> jax.Array:
        gram = rounded(x @ x.T)
        return rounded(a * x + rounded(b * gram + c * (gram @ gram)) @ x)

    found: jax.Array = jax.lax.fori_loop(0, steps, improved, x)
    return found.T if matrix.shape[0] > matrix.shape[1] else found


def _check_adjust_lr_fn(name: str | None) -> None:
    if name not in (None, "original", "match_rms_adamw"):
        raise ValueError(f"Adjust learning rate function {name} is not supported; use 'original' or 'match_rms_adamw'")


_CHECKS = {
    "lr": check(lambda number: number >= 0, "Learning rate should be >= 0 but is: {}"),
    "momentum": check(lambda number: number >= 0, "momentum should be >= 0 but is: {}"),
    "weight_decay": check(lambda number: number >= 0, "weight decay should be >= 0 but is: {}"),
    "eps": lambda eps: None,  # torch takes any
    "adjust_lr_fn": _check_adjust_lr_fn,
}
_DEFAULTS = {
    **{"lr": 1e-3, "weight_decay": 0.1, "momentum": 0.95, "nesterov": True},
    **{"ns_coefficients": (3.4445, -4.7750, 2.0315), "eps": 1e-7, "ns_steps": 5, "adjust_lr_fn": None},
}
#: Muon for one matrix. State: ``momentum_buffer``.
muon_rule = Rule(
    "Muon",
    _DEFAULTS,
    _slots,
    _formula,
    static=("ns_steps", "adjust_lr_fn"),
    checks=_CHECKS,
    counts=False,
    decoupled=True,
    real_only=True,
)


def muon(
    lr: Number | Schedule = 1e-3,
    weight_decay: Number | Schedule = 0.1,
    momentum: Number | Schedule = 0.95,
    nesterov: bool = True,
    ns_coefficients: tuple[Number, Number, Number] = (3.4445, -4.7750, 2.0315),
    eps: Number | Schedule = 1e-7,
    ns_steps: int = 5,
    adjust_lr_fn: str | None = None,
    *,
    stacked: ParamTree = None,
    mask: ParamTree = None,
) -> optax.GradientTransformation:
    r"""Muon, with torch.optim.Muon's arguments and numbers; for matrices only.

    The running mean of the gradient of a weight matrix is replaced by about the nearest orthogonal matrix, so that all its directions move
    alike.

    .. math::
      \begin{align*}
        b_t &\leftarrow \mu b_{t-1} + (1 - \mu) g_t, \qquad d_t = (1 - \mu) g_t + \mu b_t \text{ if nesterov, else } b_t \\
        \theta_t &\leftarrow (1 - \gamma \lambda) \theta_{t-1} - \gamma \, r(A, B) \, \text{NS}_k(d_t)
      \end{align*}

    Args:
      lr: learning rate :math:`\gamma` ≥ 0, or an optax schedule of the number of updates done.
      weight_decay: :math:`\lambda` ≥ 0, decoupled.
      momentum: :math:`\mu` ≥ 0.
      nesterov: mix the gradient into the mean once more.
      ns_coefficients: (a, b, c) of the Newton–Schulz polynomial.
      eps: the least norm that the matrix is divided by.
      ns_steps: :math:`k` < 100, a Python int.
      adjust_lr_fn: the factor r of an (A, B) matrix: None or 'original' √max(1, A/B), 'match_rms_adamw' 0.2 √max(A, B).
      stacked: how many leading axes of each parameter number layers, such as ``stacked_axes(layer)``: a tree of ints, or a function of the
        parameters that gives one; None is 0. Each layer's array is updated by itself.
      mask: which parameters decay, such as ``decay_mask(layer)``: a tree of bools, or a function of the parameters that gives one; None is all.

    Returns:
      An ``optax.GradientTransformation``; its ``update`` needs ``params``.

    Raises:
      ValueError: for a number out of its range, with torch's text.

    Example:
      >>> import jax.numpy as jnp
      >>> from funnn.optim import muon
      >>> optimizer, params = muon(lr=0.1, weight_decay=0), jnp.zeros((2, 3))
      >>> updates, state = optimizer.update(jnp.ones((2, 3)), optimizer.init(params), params)
      >>> updates.shape
      (2, 3)

    References:
      torch.optim.Muon; Jordan, `Muon <https://kellerjordan.github.io/posts/muon/>`_, 2024; Liu et al., `Muon is Scalable for LLM Training
      <https://arxiv.org/abs/2502.16982>`_, 2025.

    Note:
      The orthogonal matrix is computed in bfloat16, as in torch: expect two to three digits. Give biases, embeddings and other parameters
      to another optimizer (``optax.partition``); with ``optax.inject_hyperparams`` pass ``static_args='ns_steps'``.
    """
    return transformation(muon_rule, **locals())
