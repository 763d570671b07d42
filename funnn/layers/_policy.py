"""The types of numbers that a layer keeps, computes in and gives out."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Policy:
    """Mixed precision of a layer: ``layer.with_policy(Policy())``.

    Args:
      params: the type in which ``init`` draws parameters, and in which they stay; default float32.
      compute: the type to which parameters and inputs are cast when the layer runs; default bfloat16.
      output: the type of what the layer gives out; default that of ``params``.
      precision: of matrix products and convolutions, forward and backward, as ``jax.default_matmul_precision`` takes it: "highest", "high", "default",
        "tensorfloat32", … Default None, that of the caller. It makes a difference on GPUs and TPUs, where float32 is multiplied in fewer bits by default.

    Only arrays of floating point are cast; integers, complex numbers, keys and the layer's state (running statistics) are not. The state is of
    float32, or of ``compute`` if that is wider. Gradients of the parameters come in their own type. float16 has a small range: scale the loss,
    and the gradients back.

    Raises:
      TypeError: a type is not of floating point.
      ValueError: JAX knows no such precision.

    >>> from funnn.layers import Linear
    >>> layer = Linear(2, 3).with_policy(Policy(output=jnp.bfloat16))
    >>> params, state = layer.init(jax.random.key(0))
    >>> y, _ = layer.apply(params, state, jnp.ones(2))
    >>> params["weight"].dtype, y.dtype
    (dtype('float32'), dtype(bfloat16))
    """

    params: Any = jnp.float32
    compute: Any = jnp.bfloat16
    output: Any = None
    precision: str | None = None

    def __post_init__(self) -> None:
        for name in ("params", "compute", "output"):
            given = getattr(self, name)
            dtype = jnp.dtype(self.params if name == "output" and given is None else given)
            if not jnp.issubdtype(dtype, jnp.floating):
                raise TypeError(f"Policy: {name} must be a floating-point type such as jnp.bfloat16, but got {dtype}")
            object.__setattr__(self, name, dtype)
        try:
            with self.multiplying():
                pass
        except ValueError as error:
            raise ValueError(f'Policy: JAX knows no precision {self.precision!r}; give "highest", "high", "default" or None') from error

    @property
    def state(self) -> Any:
        """The type in which ``init`` makes floating-point buffers, and in which they stay."""
        return jnp.promote_types(jnp.float32, self.compute)

    def multiplying(self) -> Any:
        """The context in which matrix products have the precision."""
        return contextlib.nullcontext() if self.precision is None else jax.default_matmul_precision(self.precision)

    def __repr__(self) -> str:
        last = "" if self.precision is None else f", precision={self.precision!r}"
        return f"Policy(params={self.params}, compute={self.compute}, output={self.output}{last})"


def cast(tree: Any, dtype: Any) -> Any:
    """The tree with its arrays of floating point in another type."""
    return jax.tree.map(
        lambda leaf: leaf.astype(dtype) if hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, tree
    )


def cast_params(layer: Any, params: Any, dtype: Any) -> Any:
    """A layer's parameters in another type, except those of layers inside it that have a policy of their own."""
    children = layer.children()
    return {
        name: (value if children[name]._policy is not None else cast_params(children[name], value, dtype))
        if name in children
        else cast(value, dtype)
        for name, value in params.items()
    }
