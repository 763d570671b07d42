"""Constraints: regions that parameters and values lie in, each with ``check(value)``, which gives True where a value does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from funnn.torch import _namespace as torch

__all__ = [
    *("Constraint", "boolean", "cat", "corr_cholesky", "dependent", "dependent_property", "greater_than", "greater_than_eq", "independent"),
    *("integer_interval", "interval", "half_open_interval", "is_dependent", "less_than", "lower_cholesky", "lower_triangular"),
    *("MixtureSameFamilyConstraint", "multinomial", "nonnegative", "nonnegative_integer", "one_hot", "positive", "positive_semidefinite"),
    *("positive_definite", "positive_integer", "real", "real_vector", "simplex", "square", "stack", "symmetric", "unit_interval"),
]


class Constraint:
    """A region. ``event_dim`` is the number of last dimensions that are checked together, ``is_discrete`` whether it is a set of points."""

    is_discrete = False
    event_dim = 0

    def check(self, value: torch.Tensor) -> torch.Tensor:
        """For each element of the batch, whether it is in the region."""
        raise NotImplementedError(f"{type(self).__name__}.check")

    def __repr__(self) -> str:
        bounds = (
            [f"{field.name}={getattr(self, field.name)}" for field in dataclasses.fields(self)] if dataclasses.is_dataclass(self) else []
        )
        return f"{type(self).__name__.removeprefix('_')}({', '.join(bounds)})"


_bounded = dataclasses.dataclass(eq=False, repr=False)


# -- numbers


class _Boolean(Constraint):
    """0 and 1."""

    is_discrete = True

    def check(self, value):
        return (value == 0) | (value == 1)


class _Real(Constraint):
    """All numbers but NaN."""

    def check(self, value):
        return value == value


@_bounded
class _GreaterThan(Constraint):
    """Numbers > ``lower_bound``."""

    lower_bound: Any

    def check(self, value):
        return value > self.lower_bound


@_bounded
class _GreaterThanEq(Constraint):
    """Numbers ≥ ``lower_bound``."""

    lower_bound: Any

    def check(self, value):
        return value >= self.lower_bound


@_bounded
class _LessThan(Constraint):
    """Numbers < ``upper_bound``."""

    upper_bound: Any

    def check(self, value):
        return value < self.upper_bound


@_bounded
class _Interval(Constraint):
    """Numbers from ``lower_bound`` to ``upper_bound``, both included."""

    lower_bound: Any
    upper_bound: Any

    def check(self, value):
        return (value >= self.lower_bound) & (value <= self.upper_bound)


class _HalfOpenInterval(_Interval):
    """Numbers from ``lower_bound``, included, to ``upper_bound``, not included."""

    def check(self, value):
        return (value >= self.lower_bound) & (value < self.upper_bound)


class _IntegerInterval(_Interval):
    """Integers from ``lower_bound`` to ``upper_bound``, both included."""

    is_discrete = True

    def check(self, value):
        return (value % 1 == 0) & super().check(value)


class _IntegerGreaterThan(_GreaterThanEq):
    """Integers ≥ ``lower_bound``."""

    is_discrete = True

    def check(self, value):
        return (value % 1 == 0) & super().check(value)


# -- vectors and matrices


class _Simplex(Constraint):
    """Vectors of numbers ≥ 0 whose sum is 1, to within 10⁻⁶."""

    event_dim = 1

    def check(self, value):
        return (value >= 0).all(-1) & ((value.sum(-1) - 1).abs() < 1e-6)


class _OneHot(Constraint):
    """Vectors of zeros and a single 1."""

    is_discrete = True
    event_dim = 1

    def check(self, value):
        return ((value == 0) | (value == 1)).all(-1) & (value.sum(-1) == 1)


class _Multinomial(Constraint):
    """Vectors of counts ≥ 0 whose sum is at most ``upper_bound``."""

    is_discrete = True
    event_dim = 1

    def __init__(self, upper_bound: Any):
        self.upper_bound = upper_bound

    def check(self, value):
        return (value >= 0).all(-1) & (value.sum(-1) <= self.upper_bound)


class _Matrix(Constraint):
    event_dim = 2


class _LowerTriangular(_Matrix):
    """Matrices with zeros above the diagonal."""

    def check(self, value):
        return (value.tril() == value).flatten(-2).all(-1)


class _LowerCholesky(_LowerTriangular):
    """Matrices with zeros above the diagonal, and numbers > 0 on it."""

    def check(self, value):
        return super().check(value) & (value.diagonal(dim1=-2, dim2=-1) > 0).all(-1)


class _CorrCholesky(_LowerCholesky):
    """Lower triangular matrices of rows of length 1, with numbers > 0 on the diagonal."""

    def check(self, value):
        tolerance = torch.finfo(value.dtype).eps * value.shape[-1] * 10  # of a row's norm, which is 1
        norms = torch.linalg.norm(value.detach(), dim=-1)
        return super().check(value) & ((norms - 1).abs() <= tolerance).all(-1)


class _Square(_Matrix):
    """Matrices of as many rows as columns."""

    def check(self, value):
        return torch.full(value.shape[:-2], value.shape[-2] == value.shape[-1], dtype=torch.bool)


class _Symmetric(_Square):
    """Matrices equal to their transpose, to within 10⁻⁶."""

    def check(self, value):
        square = super().check(value)
        return torch.isclose(value, value.mT, atol=1e-6).flatten(-2).all(-1) if bool(square.all()) else square


class _PositiveSemidefinite(_Symmetric):
    """Symmetric matrices whose eigenvalues are ≥ 0."""

    def check(self, value):
        symmetric = super().check(value)
        return torch.linalg.eigvalsh(value).ge(0).all(-1) if bool(symmetric.all()) else symmetric


class _PositiveDefinite(_Symmetric):
    """Symmetric matrices that have a Cholesky factor: their eigenvalues are > 0."""

    def check(self, value):
        symmetric = super().check(value)
        return torch.linalg.cholesky_ex(value).info == 0 if bool(symmetric.all()) else symmetric


# -- made of others


class _Dependent(Constraint):
    """A placeholder where the region depends on other parameters; it cannot be checked."""

    def __init__(self, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented):
        self._is_discrete, self._event_dim = is_discrete, event_dim

    @property
    def is_discrete(self) -> bool:
        """Whether it is a set of points, if that is known."""
        return self._known("is_discrete")

    @property
    def event_dim(self) -> int:
        """The number of last dimensions that are checked together, if that is known."""
        return self._known("event_dim")

    def _known(self, name: str) -> Any:
        value = getattr(self, f"_{name}")
        if value is NotImplemented:
            raise NotImplementedError(f".{name} cannot be determined statically; give it to constraints.dependent({name}=…)")
        return value

    def __call__(self, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented) -> _Dependent:
        return _Dependent(
            is_discrete=self._is_discrete if is_discrete is NotImplemented else is_discrete,
            event_dim=self._event_dim if event_dim is NotImplemented else event_dim,
        )

    def check(self, value):
        raise ValueError("Cannot determine validity of dependent constraint")


def is_dependent(constraint: Any) -> bool:
    """Whether the region depends on other parameters."""
    return isinstance(constraint, _Dependent)


class _DependentProperty(property, _Dependent):
    """A property that gives a constraint; of the class itself, a dependent one. A decorator, with arguments or without."""

    def __init__(self, function: Callable | None = None, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented):
        property.__init__(self, function)
        _Dependent.__init__(self, is_discrete=is_discrete, event_dim=event_dim)

    def __call__(self, function: Callable) -> _DependentProperty:
        return _DependentProperty(function, is_discrete=self._is_discrete, event_dim=self._event_dim)


class _IndependentConstraint(Constraint):
    """The last ``reinterpreted_batch_ndims`` dimensions of another region, all of which must be in it."""

    def __init__(self, base_constraint: Constraint, reinterpreted_batch_ndims: int):
        self.base_constraint, self.reinterpreted_batch_ndims = base_constraint, reinterpreted_batch_ndims

    @property
    def is_discrete(self) -> bool:
        """Whether the other region is a set of points."""
        return self.base_constraint.is_discrete

    @property
    def event_dim(self) -> int:
        """The number of last dimensions that are checked together: the other region's, and the reinterpreted ones."""
        return self.base_constraint.event_dim + self.reinterpreted_batch_ndims

    def check(self, value):
        result = self.base_constraint.check(value)
        if result.dim() < self.reinterpreted_batch_ndims:
            expected = self.event_dim
            raise ValueError(f"Expected value.dim() >= {expected} but got {value.dim()}")
        return result if self.reinterpreted_batch_ndims == 0 else result.flatten(-self.reinterpreted_batch_ndims).all(-1)

    def __repr__(self) -> str:
        return f"IndependentConstraint({self.base_constraint!r}, {self.reinterpreted_batch_ndims})"


class MixtureSameFamilyConstraint(Constraint):
    """The support of a component for the values of a mixture, which lack the dimension of the components."""

    def __init__(self, base_constraint: Constraint):
        if not isinstance(base_constraint, Constraint):
            raise TypeError(f"base_constraint must be a Constraint, got {type(base_constraint).__name__}")
        self.base_constraint = base_constraint

    @property
    def is_discrete(self) -> bool:
        """Whether the other region is a set of points."""
        return self.base_constraint.is_discrete

    @property
    def event_dim(self) -> int:
        """The number of last dimensions that are checked together, as in the other region."""
        return self.base_constraint.event_dim

    def check(self, value):
        result = self.base_constraint.check(value.unsqueeze(-1 - self.event_dim))
        if value.dim() < self.event_dim:
            raise ValueError(f"Expected value.dim() >= {self.event_dim} but got {value.dim()}")
        events = value.dim() - self.event_dim
        return result.flatten(events).all(-1)

    def __repr__(self) -> str:
        return f"MixtureSameFamilyConstraint({self.base_constraint!r})"


class _Joined(Constraint):
    """Several regions along a dimension of the value: slice ``i`` belongs to ``cseq[i]``."""

    def __init__(self, cseq: Any, dim: int = 0):
        self.cseq, self.dim = list(cseq), dim
        if not all(isinstance(constraint, Constraint) for constraint in self.cseq):
            raise AssertionError(f"cseq must hold Constraints, got {self.cseq}")

    @property
    def is_discrete(self) -> bool:
        """Whether one of the regions is a set of points."""
        return any(constraint.is_discrete for constraint in self.cseq)

    @property
    def event_dim(self) -> int:
        """The largest number of last dimensions that one of the regions checks together, and the one along which they lie if it is among them."""
        dim = max(constraint.event_dim for constraint in self.cseq)
        return dim + 1 if self.dim + dim < 0 else dim


class _Cat(_Joined):
    """Regions one after the other along ``dim``: the next ``lengths[i]`` elements (1 by default) belong to ``cseq[i]``."""

    def __init__(self, cseq: Any, dim: int = 0, lengths: Any = None):
        super().__init__(cseq, dim)
        self.lengths = [1] * len(self.cseq) if lengths is None else list(lengths)

    @property
    def event_dim(self) -> int:
        """The largest number of last dimensions that one of the regions checks together."""
        return max(constraint.event_dim for constraint in self.cseq)

    def check(self, value):
        parts = value.split(self.lengths, self.dim)
        return torch.cat([constraint.check(part) for constraint, part in zip(self.cseq, parts, strict=True)], self.dim)


class _Stack(_Joined):
    """Slice ``i`` along ``dim`` belongs to the region ``cseq[i]``."""

    def check(self, value):
        parts = value.unbind(self.dim)
        return torch.stack([constraint.check(part) for constraint, part in zip(self.cseq, parts, strict=True)], self.dim)


dependent, dependent_property = _Dependent(), _DependentProperty
independent = _IndependentConstraint
boolean, one_hot, simplex = _Boolean(), _OneHot(), _Simplex()
nonnegative_integer, positive_integer = _IntegerGreaterThan(0), _IntegerGreaterThan(1)
integer_interval, interval, half_open_interval = _IntegerInterval, _Interval, _HalfOpenInterval
greater_than, greater_than_eq, less_than = _GreaterThan, _GreaterThanEq, _LessThan
real, nonnegative, positive, unit_interval = _Real(), _GreaterThanEq(0.0), _GreaterThan(0.0), _Interval(0.0, 1.0)
real_vector = independent(real, 1)
multinomial = _Multinomial
square, symmetric, positive_semidefinite, positive_definite = _Square(), _Symmetric(), _PositiveSemidefinite(), _PositiveDefinite()
lower_triangular, lower_cholesky, corr_cholesky = _LowerTriangular(), _LowerCholesky(), _CorrCholesky()
cat, stack = _Cat, _Stack
