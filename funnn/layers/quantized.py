"""Linear, Embedding and recurrent layers with weights of 8 bits, for inference."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.numpy as jnp

from funnn import init
from funnn.errors import DtypeError, ShapeError
from funnn.functional import _checks as check
from funnn.functional._int8 import quantize_rows, scaled_linear
from funnn.layers._layer import Layer, Param, Spec
from funnn.layers._text import enabled
from funnn.layers.linear import Linear
from funnn.layers.recurrent import GRU, LSTM, RNN, RNNBase
from funnn.layers.sparse import Embedding


def _integers(source: Any, shape: tuple[int, ...], *, dtype: Any) -> jax.Array:
    """Zeros: the weights come from a layer that was trained."""
    return init.zeros(source, shape, dtype=jnp.int8)


class _Quantized(Layer):
    """What both share: integers, a scale for each row, and the weight that they stand for."""

    def _entries(self, rows: int, columns: int) -> dict[str, Param | None]:
        return {"quantized_weight": Param((rows, columns), _integers), "weight_scale": Param((rows, 1), init.ones)}

    @property
    def weight(self) -> jax.Array:
        """The numbers that are computed with, scale times integer, for code that reads the weight."""
        scale: jax.Array = self.weight_scale
        return self.quantized_weight.astype(scale.dtype) * scale


class QuantizedLinear(_Quantized):
    """y = x (s q)ᵀ + b over the last axis, with integers q of 8 bits and a scale s for each output: (*, in_features) -> (*, out_features).

    Args:
      in_features, out_features: sizes of the last axis.
      bias: whether there is a bias b; default True.

    Parameters: ``quantized_weight`` (out_features, in_features) int8, ``weight_scale`` (out_features, 1) and ``bias`` (out_features,). They come from a
    trained Linear, by :func:`quantize`; ``init`` gives zeros. They take a quarter of float32's memory; a product makes the integers floating-point
    numbers, on a CPU a few rows at a time: ``python -m tests.benchmarks.quantized`` compares its time with float32's. Products of integers and of bfloat16
    were tried there and were no faster. Only the input, the scale and the bias have derivatives.

    Raises:
      ShapeError: the input's last axis is not in_features.
      DtypeError: the input is not floating point.

    >>> layer = QuantizedLinear(3, 2)
    >>> params, state = layer.init(jax.random.key(0))
    >>> {name: (x.shape, str(x.dtype)) for name, x in params.items()}
    {'quantized_weight': ((2, 3), 'int8'), 'weight_scale': ((2, 1), 'float32'), 'bias': ((2,), 'float32')}
    """

    in_features: int
    out_features: int
    bias: bool = True

    def spec(self) -> Spec:
        bias = Param((self.out_features,), init.zeros) if self.bias else None
        return {**self._entries(self.out_features, self.in_features), "bias": bias}

    def forward(self, input: jax.Array) -> jax.Array:
        input = check.floating("QuantizedLinear", "input", input)
        if not input.ndim or input.shape[-1] != self.in_features:
            raise ShapeError(f"QuantizedLinear: the input's last axis must be in_features={self.in_features}, but got {check.shape(input)}")
        bias: Any = self.bias  # here the array
        return scaled_linear(input, self.quantized_weight, self.weight_scale, bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={enabled(self.bias)}"

    @classmethod
    def from_layer(cls, layer: Linear, params: Any) -> tuple[QuantizedLinear, dict[str, Any]]:
        """Of a Linear and its parameters."""
        q, scale = quantize_rows(params["weight"])
        rest = {name: x for name, x in params.items() if name != "weight"}
        return cls(params["weight"].shape[-1], layer.out_features, layer.bias), {"quantized_weight": q, "weight_scale": scale, **rest}


class QuantizedEmbedding(_Quantized):
    """The rows s_i q_i of a table of integers q of 8 bits, with a scale s for each row: integers (*) -> vectors (*, embedding_dim).

    Args:
      num_embeddings, embedding_dim: rows and columns of the table.

    Parameters: ``quantized_weight`` (num_embeddings, embedding_dim) int8 and ``weight_scale`` (num_embeddings, 1), whose dtype the vectors have. They come
    from a trained Embedding, by :func:`quantize`; ``init`` gives zeros.

    Raises:
      DtypeError: the input is not of integers.

    >>> layer = QuantizedEmbedding(5, 3)
    >>> params, state = layer.init(jax.random.key(0))
    >>> layer.apply(params, state, jnp.array([1, 4]))[0].shape
    (2, 3)
    """

    num_embeddings: int
    embedding_dim: int

    def spec(self) -> Spec:
        return self._entries(self.num_embeddings, self.embedding_dim)

    def forward(self, input: jax.Array) -> jax.Array:
        input = check.array("input", input)
        if not jnp.issubdtype(input.dtype, jnp.integer):
            raise DtypeError(f"QuantizedEmbedding: the input must hold integers, the rows' numbers, but got {input.dtype}")
        rows, scale = jnp.take(self.quantized_weight, input, axis=0), jnp.take(self.weight_scale, input, axis=0)
        return rows.astype(scale.dtype) * scale

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"

    @classmethod
    def from_layer(cls, layer: Embedding, params: Any) -> tuple[QuantizedEmbedding, dict[str, Any]]:
        """Of an Embedding, without max_norm, and its parameters."""
        if layer.max_norm is not None:
            raise TypeError(
                f"quantize takes an Embedding without max_norm, got max_norm={layer.max_norm}: rows that are scaled can't be stored"
            )
        q, scale = quantize_rows(params["weight"])
        return cls(layer.num_embeddings, layer.embedding_dim), {"quantized_weight": q, "weight_scale": scale.astype(params["weight"].dtype)}


class _QuantizedRecurrent:
    """What the recurrent layers share: for each weight ``quantized_weight…`` and ``weight_scale…`` in its place. No Layer: constructors are the others'."""

    def spec(self: Any) -> Spec:
        found: dict[str, Any] = {}
        for name, entry in RNNBase.spec(self).items():
            if name.startswith("weight"):
                rows, columns = self._weight_shapes()[name]
                found["quantized_" + name] = Param((rows, columns), _integers)
                found[_scale_of(name)] = Param((rows, 1), init.ones)
            else:
                found[name] = entry
        return found

    def _weights(self: Any) -> list[jax.Array]:
        return [self._weight(name) if name.startswith("weight") else getattr(self, name) for name in self._weight_shapes()]

    def _weight(self, name: str) -> jax.Array:
        scale: jax.Array = getattr(self, _scale_of(name))
        weight: jax.Array = getattr(self, "quantized_" + name).astype(scale.dtype) * scale
        return weight

    @classmethod
    def from_layer(cls, layer: RNNBase, params: Any) -> tuple[Any, dict[str, Any]]:
        """Of a layer without the integers, and its parameters."""
        found = {}
        for name, x in params.items():
            if name.startswith("weight"):
                found["quantized_" + name], scale = quantize_rows(x)
                found[_scale_of(name)] = scale.astype(x.dtype)
            else:
                found[name] = x
        return cls(**{name: getattr(layer, name) for name in inspect.signature(cls).parameters}), found


def _scale_of(name: str) -> str:
    return name.replace("weight", "weight_scale", 1)


class QuantizedRNN(_QuantizedRecurrent, RNN, init=False):
    """An RNN whose weights are integers of 8 bits with a scale for each row; it computes with the numbers that these stand for.

    Its arguments and ``forward`` are RNN's. Parameters: ``quantized_weight_ih_l0`` (hidden_size, input_size) int8, ``weight_scale_ih_l0`` (hidden_size, 1), the
    same with ``hh``, and the biases. They come from a trained RNN, by :func:`quantize`; ``init`` gives zeros for integers.
    """


class QuantizedLSTM(_QuantizedRecurrent, LSTM, init=False):
    """An LSTM whose weights are integers of 8 bits with a scale for each row; it computes with the numbers that these stand for.

    Its arguments and ``forward`` are LSTM's. Parameters: ``quantized_weight_ih_l0`` (4·hidden_size, input_size) int8, ``weight_scale_ih_l0``
    (4·hidden_size, 1), the same with ``hh`` and, with a projection, ``hr``, and the biases. They come from a trained LSTM, by :func:`quantize`; ``init`` gives
    zeros for integers.

    >>> from funnn.layers import LSTM, quantize
    >>> layer = LSTM(3, 4)
    >>> small, params = quantize(layer, layer.init(jax.random.key(0))[0])
    >>> small, str(params["quantized_weight_hh_l0"].dtype), params["weight_scale_hh_l0"].shape
    (QuantizedLSTM(3, 4), 'int8', (16, 1))
    """


class QuantizedGRU(_QuantizedRecurrent, GRU, init=False):
    """A GRU whose weights are integers of 8 bits with a scale for each row; it computes with the numbers that these stand for.

    Its arguments and ``forward`` are GRU's. Parameters: ``quantized_weight_ih_l0`` (3·hidden_size, input_size) int8, ``weight_scale_ih_l0``
    (3·hidden_size, 1), the same with ``hh``, and the biases. They come from a trained GRU, by :func:`quantize`; ``init`` gives zeros for integers.
    """
