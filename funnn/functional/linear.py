"""Linear and bilinear maps of the last axis."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from funnn.errors import DtypeError, ShapeError
from funnn.functional import _checks as check
from funnn.functional._dispatch import public
from funnn.functional._half_product import product


def _number(function: str, name: str, x: jax.Array) -> jax.Array:
    x = check.array(name, x)
    if x.dtype == jnp.bool_:
        raise DtypeError(f'"{function}" not implemented for bool: {name} must hold numbers. Convert it, e.g. {name}.astype(jnp.float32).')
    return x


@public(only_here=("precision", "preferred_element_type"))
def linear(
    input: jax.Array,
    weight: jax.Array,
    bias: jax.Array | None = None,
    *,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
) -> jax.Array:
    """Apply the affine map ``y = x Wᵀ + b`` to the last axis.

    Args:
      input: ``x``, of shape (*, in_features) with any number of leading axes, also none.
      weight: ``W``, of shape (out_features, in_features), or (in_features,) for a single output without an axis of its own.
      bias: ``b``, of shape (out_features,) or broadcastable to the result; default none.
      precision: of the product, as of ``jax.lax.dot_general``; default that of ``jax.default_matmul_precision``.
      preferred_element_type: the dtype of the sums and of the result; default the input's.

    Returns:
      An array of shape (*, out_features), or (*) for a weight of rank 1, of the input's dtype or of preferred_element_type.

    Raises:
      ShapeError: the last axes of input and weight differ, or the bias does not fit.
      DtypeError: input, weight and bias differ in dtype, or are boolean.

    Source: torch.nn.functional.linear. Half precision is accumulated in float32.

    Example:
      >>> import jax.numpy as jnp
      >>> linear(jnp.array([[1.0, 2.0]]), jnp.array([[3.0, 4.0], [5.0, 6.0]]), jnp.array([0.5, 0.0])).tolist()
      [[11.5, 17.0]]
    """
    input = _number("linear", "input", input)
    weight = check.like("linear", "weight", weight, input)
    if input.ndim == 0 or weight.ndim == 0:
        raise ShapeError(f"both arguments to linear need to be at least 1D, but they are {input.ndim}D and {weight.ndim}D")
    if weight.ndim > 2:
        raise ShapeError(f"linear: weight must have shape (out_features, in_features), but got {check.shape(weight)}")
    if input.shape[-1] != weight.shape[-1]:
        rows, columns = math.prod(input.shape[:-1]), math.prod(weight.shape[:-1])
        raise ShapeError(
            f"mat1 and mat2 shapes cannot be multiplied ({rows}x{input.shape[-1]} and {weight.shape[-1]}x{columns}): "
            f"linear got input of shape {check.shape(input)} and weight of shape {check.shape(weight)}, whose last axes must be equal. "
            f"Give an input with {weight.shape[-1]} features or a weight with in_features={input.shape[-1]}."
        )
    # The contraction names weight's last axis, so that no transpose is ever written out.
    dimensions = (((input.ndim - 1,), (weight.ndim - 1,)), ((), ()))
    if precision is preferred_element_type is None:
        output = product(input, weight, dimensions)
    else:
        output = lax.dot_general(input, weight, dimensions, precision=precision, preferred_element_type=preferred_element_type)
    if bias is None:
        return output
    bias = check.like("linear", "bias", bias, input)
    if bias.ndim > output.ndim or any(b not in (1, n) for b, n in zip(bias.shape[::-1], output.shape[::-1], strict=False)):
        raise ShapeError(
            f"linear: the expanded size of the bias {check.shape(output)} must match its existing size {check.shape(bias)}. "
            f"Give a bias of shape {[*weight.shape[:-1]]}."
        )
    return jnp.add(output, bias.astype(output.dtype))


@public
def bilinear(input1: jax.Array, input2: jax.Array, weight: jax.Array, bias: jax.Array | None = None) -> jax.Array:
    """Apply the bilinear map ``y_k = x₁ᵀ W_k x₂ + b_k`` to the last axes.

    Args:
      input1: ``x₁``, of shape (*, in1_features).
      input2: ``x₂``, of shape (*, in2_features), with the same leading axes.
      weight: ``W``, of shape (out_features, in1_features, in2_features).
      bias: ``b``, of shape (out_features,); default none.

    Returns:
      An array of shape (*, out_features), of the inputs' dtype.

    Raises:
      ShapeError: the shapes do not fit.
      DtypeError: the arguments differ in dtype, or are boolean.

    Source: torch.nn.functional.bilinear.

    Example:
      >>> import jax.numpy as jnp
      >>> bilinear(jnp.array([1.0, 2.0]), jnp.array([3.0]), jnp.ones((1, 2, 1))).tolist()
      [9.0]
    """
    input1 = _number("bilinear", "input1", input1)
    input2, weight = check.like("bilinear", "input2", input2, input1), check.like("bilinear", "weight", weight, input1)
    if input1.ndim != input2.ndim or input1.shape[:-1] != input2.shape[:-1]:
        raise ShapeError(f"bilinear(): input batch dimensions do not match: got {check.shape(input1)} and {check.shape(input2)}")
    if weight.ndim != 3 or not input1.ndim or weight.shape[1:] != (input1.shape[-1], input2.shape[-1]):
        raise ShapeError(
            f"bilinear(): weight must have shape (out_features, in1_features, in2_features), but got {check.shape(weight)} for inputs of "
            f"size {check.shape(input1)} and {check.shape(input2)}"
        )
    rows, (out, first, second) = input1.shape[:-1], weight.shape
    # x₁ W as one product over all outputs, then its product with x₂ row by row
    wide = check.accumulator(input1.dtype) if jnp.issubdtype(input1.dtype, jnp.floating) else input1.dtype
    half = lax.dot_general(input1.reshape(math.prod(rows), first), weight, (((1,), (1,)), ((), ())), preferred_element_type=wide)
    output = jnp.sum(half * input2.reshape(math.prod(rows), 1, second), -1, dtype=wide).astype(input1.dtype).reshape(*rows, out)
    if bias is None:
        return output
    bias = check.like("bilinear", "bias", bias, input1)
    if bias.shape != (out,):
        raise ShapeError(f"bilinear(): bias must have shape [{out}], but got {check.shape(bias)}")
    return output + bias
