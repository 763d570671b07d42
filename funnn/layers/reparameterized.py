"""Layers whose weight is computed from other parameters: of a given length, or of a given largest singular value."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from funnn import init
from funnn.functional._lengths import lengths
from funnn.layers import lift
from funnn.layers._layer import Buffer, Layer, Param, Spec
from funnn.layers._sizing import with_size_one
from funnn.layers.conv import ConvTransposeNd


class Reparameterized(Layer):
    """A layer that runs with a computed array in the place of one of its parameters: the base of WeightNorm and SpectralNorm."""

    base_layer: Layer
    name: str = "weight"

    def __post_init__(self) -> None:
        entry = with_size_one(self.base_layer).entries().get(self.name)
        if not isinstance(entry, Param):
            names = [name for name, entry in with_size_one(self.base_layer).entries().items() if isinstance(entry, Param)]
            raise ValueError(f"{type(self).__name__}: {self.name!r} is no parameter of {self.base_layer!r}; it has {names}")

    def computed(self) -> jax.Array:
        """Inside ``forward``: the array that stands in the place of the parameter."""
        raise NotImplementedError("Reparameterized is the base of WeightNorm and SpectralNorm; a subclass defines computed")

    def derive(self, params: Any, state: Any) -> tuple[Any, Any]:
        """Initial params and state with those of this layer, which depend on its base's weight."""
        return params, state

    def init(self, key: Any, *example: Any, dtype: Any = jnp.float32, **named: Any) -> tuple[Any, Any]:
        """As of every layer; what is computed from the base's weight comes after it."""
        return self.derive(*super().init(key, *example, dtype=dtype, **named))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        with lift.substituted(self.base_layer, {self.name: self.computed()}) as layer:
            return layer(*args, **kwargs)

    @property
    def weight(self) -> jax.Array:
        """The weight that the layer computes with."""
        return self.computed() if self.name == "weight" else self.base_layer.weight

    @property
    def bias(self) -> Any:
        """The bias of the layer inside."""
        return self.base_layer.bias

    def _shape(self) -> tuple[int, ...]:
        entry: Any = with_size_one(self.base_layer).entries()[self.name]
        return tuple(entry.shape)


class WeightNorm(Reparameterized):
    """A layer with the weight w = g · v/‖v‖: length and direction are parameters of their own.

    Args:
      base_layer: the layer, whose own parameter is v.
      name: of its parameter; default "weight".
      dim: the axis whose slices have lengths of their own; None is one length for all. Default 0.

    Parameters: ``g``, of the weight's shape with size 1 along the other axes, at first ‖v‖, so that the layer computes what it did; and those of
    ``base_layer``. Source: Salimans and Kingma, "Weight normalization" (2016); torch.nn.utils.parametrizations.weight_norm.

    Raises:
      ValueError: the layer has no such parameter, or it has no such axis.

    >>> from funnn.layers import Linear
    >>> layer = WeightNorm(Linear(3, 2))
    >>> params, state = layer.init(jax.random.key(0))
    >>> y, _ = layer.apply(params, state, jnp.ones(3))
    >>> bool(jnp.allclose(y, Linear(3, 2).apply(params["base_layer"], {}, jnp.ones(3))[0])), params["g"].shape
    (True, (2, 1))
    """

    dim: int | None = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        rank = len(self._shape())
        if self.dim is not None and not -rank <= self.dim < rank:
            raise ValueError(f"WeightNorm: dim must be None or an axis of the {self.name} of rank {rank}, but got dim={self.dim}")

    def spec(self) -> Spec:
        shape = self._shape()
        kept = None if self.dim is None else self.dim % len(shape)
        return {"g": Param(() if kept is None else tuple(n if axis == kept else 1 for axis, n in enumerate(shape)), init.ones)}

    def _length(self, v: jax.Array) -> jax.Array:
        return lengths(v, None if self.dim is None else tuple(axis for axis in range(v.ndim) if axis != self.dim % v.ndim))

    def derive(self, params: Any, state: Any) -> tuple[Any, Any]:
        return {**params, "g": self._length(params["base_layer"][self.name])}, state

    def computed(self) -> jax.Array:
        v = getattr(self.base_layer, self.name)
        return v * (self.g / self._length(v))

    def extra_repr(self) -> str:
        return f"name={self.name!r}, dim={self.dim}"


class SpectralNorm(Reparameterized):
    """A layer with the weight w/σ, where σ is the largest singular value of w as a matrix; a vector is scaled to length 1.

    Args:
      base_layer: the layer.
      name: of its parameter; default "weight".
      n_power_iterations: steps u ← Wv/‖Wv‖, v ← Wᵀu/‖Wᵀu‖ at every call in training; default 1.
      eps: the least length that is divided by; default 1e-12.
      dim: the axis that counts the matrix's rows; default 0, and 1 of transposed convolutions.

    Parameters: those of ``base_layer``. State: ``u`` (rows,) and ``v`` (columns,), which approximate the singular vectors; ``init`` does 15 steps.
    Source: Miyato et al., "Spectral normalization for generative adversarial networks" (2018); torch.nn.utils.parametrizations.spectral_norm.

    Raises:
      ValueError: the layer has no such parameter, it has no such axis, or n_power_iterations is not positive.

    >>> from funnn.layers import Linear
    >>> layer = SpectralNorm(Linear(4, 4))
    >>> params, state = layer.init(jax.random.key(0))
    >>> for _ in range(50):
    ...     _, state = layer.apply(params, state, jnp.ones(4), train=True)
    >>> w = layer.apply(params, state, method="computed")[0]
    >>> bool(abs(jnp.linalg.norm(w, 2) - 1) < 1e-4)
    True
    """

    n_power_iterations: int = 1
    eps: float = 1e-12
    dim: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        rank = len(self._shape())
        if self.n_power_iterations < 1:
            raise ValueError(f"SpectralNorm: n_power_iterations must be positive, but got n_power_iterations={self.n_power_iterations}")
        if not -rank <= self._axis() < rank:
            raise ValueError(f"SpectralNorm: dim must be an axis of the {self.name} of rank {rank}, but got dim={self.dim}")

    def _axis(self) -> int:
        return self.dim if self.dim is not None else int(isinstance(self.base_layer, ConvTransposeNd))

    def spec(self) -> Spec:
        shape = self._shape()
        if len(shape) == 1:
            return {}
        rows = shape[self._axis()]
        return {"u": Buffer((rows,), self._unit), "v": Buffer((math.prod(shape) // rows if rows else 0,), self._unit)}

    def _unit(self, source: Any, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        return self._scaled(init.normal(source, shape, dtype=dtype))

    def _scaled(self, x: jax.Array) -> jax.Array:
        return x / jnp.maximum(jnp.linalg.norm(x), self.eps)

    def _matrix(self, weight: jax.Array) -> jax.Array:
        return jnp.moveaxis(weight, self._axis(), 0).reshape(weight.shape[self._axis()], -1)

    def _iterate(self, matrix: jax.Array, v: jax.Array, steps: int) -> tuple[jax.Array, jax.Array]:
        matrix = lax.stop_gradient(matrix)
        for _ in range(steps):
            u = self._scaled(matrix @ v)
            v = self._scaled(u @ matrix)
        return u, v

    def derive(self, params: Any, state: Any) -> tuple[Any, Any]:
        weight = params["base_layer"][self.name]
        if weight.ndim == 1:
            return params, state
        u, v = self._iterate(self._matrix(weight), state["v"].astype(weight.dtype), 15)
        return params, {**state, "u": u.astype(state["u"].dtype), "v": v.astype(state["v"].dtype)}

    def computed(self) -> jax.Array:
        weight = getattr(self.base_layer, self.name)
        if weight.ndim == 1:
            return self._scaled(weight)
        matrix = self._matrix(weight)
        u, v = self.u.astype(weight.dtype), self.v.astype(weight.dtype)
        if self.training:
            u, v = self._iterate(matrix, v, self.n_power_iterations)
            self.u: Any = u.astype(self.u.dtype)
            self.v: Any = v.astype(self.v.dtype)
        return weight / (u @ (matrix @ v))

    def extra_repr(self) -> str:
        return f"name={self.name!r}, n_power_iterations={self.n_power_iterations}, eps={self.eps}, dim={self._axis()}"
