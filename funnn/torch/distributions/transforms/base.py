"""What a transform is, its inverse, and one after the other."""

from __future__ import annotations

import copy
import functools
import operator
from collections.abc import Sequence
from typing import Any

from funnn.torch import _namespace as torch
from funnn.torch.distributions import constraints
from funnn.torch.distributions.utils import sum_rightmost


class Transform:
    """A map from ``domain`` to ``codomain``. A subclass defines ``_call``, and if it is ``bijective``, ``_inverse`` and ``log_abs_det_jacobian``.

    Args:
      cache_size: 1 to remember the last pair, so that inverting a result gives back the input itself.
    """

    bijective = False
    domain: constraints.Constraint
    codomain: constraints.Constraint

    def __init__(self, cache_size: int = 0):
        if cache_size not in (0, 1):
            raise ValueError(f"cache_size must be 0 or 1, got {cache_size}")
        self._cache_size = cache_size
        self._cached = None, None
        self._inv: Transform | None = None

    @property
    def event_dim(self) -> int:
        """The number of dimensions that are mapped together, where it is the same before and after."""
        if self.domain.event_dim != self.codomain.event_dim:
            raise ValueError("Please use either .domain.event_dim or .codomain.event_dim: they differ")
        return self.domain.event_dim

    @property
    def inv(self) -> Transform:
        """The inverse map."""
        if self._inv is None:
            self._inv = _InverseTransform(self)
        return self._inv

    @property
    def sign(self) -> Any:
        """The sign of the derivative, of a monotonic map of numbers."""
        raise NotImplementedError(f"{type(self).__name__}.sign")

    def with_cache(self, cache_size: int = 1) -> Transform:
        """The same map with another cache_size."""
        if self._cache_size == cache_size:
            return self
        new = copy.copy(self)
        Transform.__init__(new, cache_size)
        return new

    def __eq__(self, other: Any) -> bool:
        return self is other

    def __ne__(self, other: Any) -> bool:
        return not self == other

    __hash__ = object.__hash__

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if self._cache_size == 0:
            return self._call(x)
        if self._cached[0] is not x:
            self._cached = x, self._call(x)
        return self._cached[1]

    def _inv_call(self, y: torch.Tensor) -> torch.Tensor:
        if self._cache_size == 0:
            return self._inverse(y)
        if self._cached[1] is not y:
            self._cached = self._inverse(y), y
        return self._cached[0]

    def _call(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError(f"{type(self).__name__}._call")

    def _inverse(self, y: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError(f"{type(self).__name__}._inverse")

    def log_abs_det_jacobian(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """log |det dy/dx| for y, the image of x."""
        raise NotImplementedError(f"{type(self).__name__}.log_abs_det_jacobian")

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def forward_shape(self, shape: Any) -> Any:
        """The shape of the image of a value of this shape."""
        return shape

    def inverse_shape(self, shape: Any) -> Any:
        """The shape of a value whose image has this shape."""
        return shape


class _InverseTransform(Transform):
    """The inverse of a transform, which keeps the cache."""

    def __init__(self, transform: Transform):
        super().__init__(transform._cache_size)
        self._inv: Transform = transform

    domain = property(lambda self: self._inv.codomain)
    codomain = property(lambda self: self._inv.domain)
    bijective = property(lambda self: self._inv.bijective)
    sign = property(lambda self: self._inv.sign)
    inv = property(lambda self: self._inv)

    def with_cache(self, cache_size: int = 1) -> Transform:
        return self._inv.with_cache(cache_size).inv

    def __eq__(self, other):
        return isinstance(other, _InverseTransform) and self._inv == other._inv

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._inv!r})"

    def __call__(self, x):
        return self._inv._inv_call(x)

    def _inv_call(self, y):
        return self._inv(y)

    def log_abs_det_jacobian(self, x, y):
        return -self._inv.log_abs_det_jacobian(y, x)

    def forward_shape(self, shape):
        return self._inv.inverse_shape(shape)

    def inverse_shape(self, shape):
        return self._inv.forward_shape(shape)


class ComposeTransform(Transform):
    """One map after the other, the first one first."""

    def __init__(self, parts: list[Transform], cache_size: int = 0):
        super().__init__(cache_size)
        self.parts = [part.with_cache(cache_size) for part in parts] if cache_size else parts

    def with_cache(self, cache_size: int = 1) -> Transform:
        return (
            self if self._cache_size == cache_size else ComposeTransform([part.with_cache(cache_size) for part in self.parts], cache_size)
        )

    def __eq__(self, other):
        return isinstance(other, ComposeTransform) and self.parts == other.parts

    __hash__ = object.__hash__

    @property
    def domain(self):
        """Where x lies: the domain of the first map, with as many dimensions mapped together as any map needs."""
        return _widened([(part.domain, part.codomain) for part in self.parts])

    @property
    def codomain(self):
        """Where y lies: the codomain of the last map, with as many dimensions mapped together as any map needs."""
        return _widened([(part.codomain, part.domain) for part in reversed(self.parts)])

    @property
    def bijective(self):
        """Whether all the maps are."""
        return all(part.bijective for part in self.parts)

    @property
    def sign(self):
        return functools.reduce(operator.mul, (part.sign for part in self.parts), 1)

    @property
    def inv(self):
        if self._inv is None:
            self._inv = ComposeTransform([part.inv for part in reversed(self.parts)])
            self._inv._inv = self
        return self._inv

    def __call__(self, x):
        return functools.reduce(lambda value, part: part(value), self.parts, x)

    def _inv_call(self, y):
        return self.inv(y)

    def log_abs_det_jacobian(self, x, y):
        if not self.parts:
            return torch.zeros_like(x)
        values = [x]
        for part in self.parts[:-1]:
            values.append(part(values[-1]))
        values.append(y)
        terms, event_dim = [], self.domain.event_dim
        for part, before, after in zip(self.parts, values, values[1:], strict=False):
            terms.append(sum_rightmost(part.log_abs_det_jacobian(before, after), event_dim - part.domain.event_dim))
            event_dim += part.codomain.event_dim - part.domain.event_dim
        return functools.reduce(operator.add, terms)

    def forward_shape(self, shape):
        return functools.reduce(lambda shape, part: part.forward_shape(shape), self.parts, shape)

    def inverse_shape(self, shape):
        return functools.reduce(lambda shape, part: part.inverse_shape(shape), reversed(self.parts), shape)

    def __repr__(self) -> str:
        parts = ",\n    ".join(map(repr, self.parts))
        return f"{type(self).__name__}(\n    {parts}\n)"


def _widened(ends: Sequence[tuple[constraints.Constraint, constraints.Constraint]]) -> constraints.Constraint:
    """The region at the start of a chain of maps, (start, end) each: with as many event dimensions as some map of the chain needs."""
    if not ends:
        return constraints.real
    dim = ends[-1][1].event_dim
    for start, end in reversed(ends):
        dim = max(dim + start.event_dim - end.event_dim, start.event_dim)
    first = ends[0][0]
    return first if dim == first.event_dim else constraints.independent(first, dim - first.event_dim)


identity_transform = ComposeTransform([])
