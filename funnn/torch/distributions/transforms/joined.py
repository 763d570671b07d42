"""Maps made of maps: over several dimensions, along a dimension; and a change of shape."""

from __future__ import annotations

import math
from typing import Any

from funnn.torch import _namespace as torch
from funnn.torch.distributions import constraints
from funnn.torch.distributions.transforms.base import Transform
from funnn.torch.distributions.utils import sum_rightmost


class IndependentTransform(Transform):
    """A map whose last ``reinterpreted_batch_ndims`` batch dimensions count as event dimensions."""

    def __init__(self, base_transform: Transform, reinterpreted_batch_ndims: int, cache_size: int = 0):
        super().__init__(cache_size)
        self.base_transform, self.reinterpreted_batch_ndims = base_transform.with_cache(cache_size), reinterpreted_batch_ndims

    @property
    def domain(self):
        """Where x lies: the base's domain, with more dimensions that are mapped together."""
        return constraints.independent(self.base_transform.domain, self.reinterpreted_batch_ndims)

    @property
    def codomain(self):
        """Where y lies: the base's codomain, with more dimensions that are mapped together."""
        return constraints.independent(self.base_transform.codomain, self.reinterpreted_batch_ndims)

    @property
    def bijective(self) -> bool:
        """Whether the base is."""
        return self.base_transform.bijective

    @property
    def sign(self) -> Any:
        """The sign of the base's derivative."""
        return self.base_transform.sign

    def _call(self, x):
        self._require(x, self.domain)
        return self.base_transform(x)

    def _inverse(self, y):
        self._require(y, self.codomain)
        return self.base_transform.inv(y)

    def _require(self, value: torch.Tensor, region: constraints.Constraint) -> None:
        if value.dim() < region.event_dim:
            raise ValueError(f"Too few dimensions on input: {value.dim()}, expected at least {region.event_dim}")

    def log_abs_det_jacobian(self, x, y):
        return sum_rightmost(self.base_transform.log_abs_det_jacobian(x, y), self.reinterpreted_batch_ndims)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_transform!r}, {self.reinterpreted_batch_ndims})"

    def forward_shape(self, shape):
        return self.base_transform.forward_shape(shape)

    def inverse_shape(self, shape):
        return self.base_transform.inverse_shape(shape)


class ReshapeTransform(Transform):
    """The last dimensions, of shape ``in_shape``, in the shape ``out_shape``."""

    bijective = True

    def __init__(self, in_shape: Any, out_shape: Any, cache_size: int = 0):
        super().__init__(cache_size)
        self.in_shape, self.out_shape = torch.Size(in_shape), torch.Size(out_shape)
        if math.prod(self.in_shape) != math.prod(self.out_shape):
            raise ValueError(f"in_shape, out_shape have different numbers of elements: {self.in_shape} vs {self.out_shape}")

    @property
    def domain(self):
        """Arrays of real numbers, of the dimensions of ``in_shape``."""
        return constraints.independent(constraints.real, len(self.in_shape))

    @property
    def codomain(self):
        """Arrays of real numbers, of the dimensions of ``out_shape``."""
        return constraints.independent(constraints.real, len(self.out_shape))

    def _call(self, x):
        return x.reshape(self._batch(x.shape, self.in_shape) + self.out_shape)

    def _inverse(self, y):
        return y.reshape(self._batch(y.shape, self.out_shape) + self.in_shape)

    def log_abs_det_jacobian(self, x, y):
        return torch.zeros(self._batch(x.shape, self.in_shape), dtype=x.dtype)

    def forward_shape(self, shape):
        return self._batch(shape, self.in_shape) + self.out_shape

    def inverse_shape(self, shape):
        return self._batch(shape, self.out_shape) + self.in_shape

    def _batch(self, shape: Any, event: torch.Size) -> torch.Size:
        """The shape less its last dimensions, which must be ``event``."""
        shape = torch.Size(shape)
        if len(shape) < len(event):
            raise ValueError(f"Too few dimensions on input: {shape}, expected to end in {event}")
        at = len(shape) - len(event)
        if shape[at:] != event:
            raise ValueError(f"Shape mismatch: expected {event} but got {shape[at:]}")
        return shape[:at]


class _Joined(Transform):
    """Several maps along a dimension."""

    def __init__(self, tseq: Any, dim: int, cache_size: int):
        super().__init__(cache_size)
        if not all(isinstance(transform, Transform) for transform in tseq):
            raise AssertionError(f"tseq must hold Transforms, got {tseq}")
        self.transforms, self.dim = [transform.with_cache(cache_size) for transform in tseq], dim

    @property
    def bijective(self) -> bool:
        """Whether all the maps are."""
        return all(transform.bijective for transform in self.transforms)

    def _split(self, value: torch.Tensor) -> Any:
        raise NotImplementedError

    def _join(self, parts: list) -> torch.Tensor:
        raise NotImplementedError

    def _call(self, x):
        return self._join([transform(part) for transform, part in zip(self.transforms, self._split(x), strict=True)])

    def _inverse(self, y):
        return self._join([transform.inv(part) for transform, part in zip(self.transforms, self._split(y), strict=True)])


class CatTransform(_Joined):
    """``tseq[i]`` maps ``lengths[i]`` (1 by default) elements of a dimension, one after the other as torch.cat joins."""

    def __init__(self, tseq: Any, dim: int = 0, lengths: Any = None, cache_size: int = 0):
        super().__init__(tseq, dim, cache_size)
        self.lengths = [1] * len(self.transforms) if lengths is None else list(lengths)
        if len(self.lengths) != len(self.transforms):
            raise AssertionError(f"got {len(self.lengths)} lengths for {len(self.transforms)} transforms")

    @property
    def event_dim(self) -> int:
        """The largest number of dimensions that a map takes together."""
        return max(transform.event_dim for transform in self.transforms)

    @property
    def length(self) -> int:
        """The number of elements along the dimension."""
        return sum(self.lengths)

    @property
    def domain(self):
        """Where x lies: the maps' domains, one after the other."""
        return constraints.cat([transform.domain for transform in self.transforms], self.dim, self.lengths)

    @property
    def codomain(self):
        """Where y lies: the maps' codomains, one after the other."""
        return constraints.cat([transform.codomain for transform in self.transforms], self.dim, self.lengths)

    def _split(self, value):
        return value.split(self.lengths, self.dim)

    def _join(self, parts):
        return torch.cat(parts, self.dim)

    def log_abs_det_jacobian(self, x, y):
        terms = []
        for transform, a, b in zip(self.transforms, self._split(x), self._split(y), strict=True):
            terms.append(sum_rightmost(transform.log_abs_det_jacobian(a, b), self.event_dim - transform.event_dim))
        dim = self.dim - x.dim() if self.dim >= 0 else self.dim
        dim += self.event_dim
        return torch.cat(terms, dim) if dim < 0 else sum(terms)


class StackTransform(_Joined):
    """``tseq[i]`` maps slice ``i`` of a dimension."""

    def __init__(self, tseq: Any, dim: int = 0, cache_size: int = 0):
        super().__init__(tseq, dim, cache_size)

    @property
    def domain(self):
        """Where x lies: each slice in its map's domain."""
        return constraints.stack([transform.domain for transform in self.transforms], self.dim)

    @property
    def codomain(self):
        """Where y lies: each slice in its map's codomain."""
        return constraints.stack([transform.codomain for transform in self.transforms], self.dim)

    def _split(self, value):
        if value.shape[self.dim] != len(self.transforms):
            raise AssertionError(f"dimension {self.dim} has size {value.shape[self.dim]}, expected {len(self.transforms)}: one slice a map")
        return value.unbind(self.dim)

    def _join(self, parts):
        return torch.stack(parts, self.dim)

    def log_abs_det_jacobian(self, x, y):
        return self._join([t.log_abs_det_jacobian(a, b) for t, a, b in zip(self.transforms, self._split(x), self._split(y), strict=True)])
