"""The base of all distributions: shapes, checks, text, and the broadcasting of named parameters."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from funnn.engine.transform.differentiate import grad
from funnn.torch import _namespace as torch
from funnn.torch.distributions import constraints
from funnn.torch.distributions.utils import as_tensors, lazy_property, logits_to_probs, probs_to_logits

__all__ = ["Distribution", "ExponentialFamily"]


class Distribution:
    """A distribution over tensors of shape ``event_shape``, in a batch of shape ``batch_shape``.

    A subclass declares ``arg_constraints`` (parameter -> constraint) and ``support``, and defines ``log_prob``, ``rsample`` (or ``sample``) and
    what else it knows. With :meth:`_set` it stores its parameters broadcast; :meth:`expand` then needs no code of its own.

    Args:
      batch_shape, event_shape: see above.
      validate_args: whether parameters and values are checked, which costs time; by default as ``set_default_validate_args`` says.
    Raises:
      ValueError: a parameter violates its constraint, or a value is outside the support.
    """

    has_rsample = False
    has_enumerate_support = False
    _validate_args = __debug__
    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """The parameters that ``arg_constraints`` names, which :meth:`_set` stores."""

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions made from now on check their arguments."""
        if value not in (True, False):
            raise ValueError(f"set_default_validate_args() takes True or False, got {value!r}")
        Distribution._validate_args = value

    def __init__(self, batch_shape: Any = (), event_shape: Any = (), validate_args: bool | None = None):
        self._batch_shape, self._event_shape = torch.Size(batch_shape), torch.Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()

    # -- parameters

    def _set(self, validate_args: bool | None, event_shape: Any = (), **parameters: Any) -> None:
        """Store parameters as attributes, broadcast over their batch dimensions, and initialise the base with that batch shape."""
        tensors = as_tensors(*parameters.values())
        dims = [_event_dim(self.arg_constraints, name) for name in parameters]
        batch_shape = torch.broadcast_shapes(*(tensor.shape[: tensor.dim() - dim] for tensor, dim in zip(tensors, dims, strict=True)))
        for name, tensor, dim in zip(parameters, tensors, dims, strict=True):
            shape = batch_shape + tensor.shape[tensor.dim() - dim :]
            self.__dict__[name] = tensor if tensor.shape == shape else tensor.expand(shape)
        Distribution.__init__(self, batch_shape, event_shape, validate_args)

    def _check_parameters(self) -> None:
        try:
            declared = self.arg_constraints
        except NotImplementedError:
            declared = {}
            warnings.warn(
                f"{self.__class__} does not define `arg_constraints`. Please set `arg_constraints = {{}}` or initialize the distribution "
                "with `validate_args=False` to turn off validation.",
                stacklevel=4,
            )
        for name, constraint in declared.items():
            if constraints.is_dependent(constraint) or (name not in self.__dict__ and _is_lazy(type(self), name)):
                continue
            value = getattr(self, name)
            if not bool(constraint.check(value).all()):
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) of distribution {self!r} to satisfy "
                    f"the constraint {constraint!r}, but found invalid values:\n{value}"
                )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Distribution:
        """The distribution with its parameters expanded to a batch shape."""
        new = self._get_checked_instance(type(self), _instance)
        batch_shape = torch.Size(batch_shape)
        kept = {name: value for name, value in self.__dict__.items() if name in self.arg_constraints or not _is_lazy(type(self), name)}
        new.__dict__.update({name: self._expanded(name, value, batch_shape) for name, value in kept.items()})
        new._batch_shape = batch_shape
        return new

    def _expanded(self, name: str, value: Any, batch_shape: torch.Size) -> Any:
        if isinstance(value, Distribution):
            return value.expand(batch_shape)
        if isinstance(value, torch.Tensor) and name in self.arg_constraints:
            dim = _event_dim(self.arg_constraints, name)
            return value.expand(batch_shape + value.shape[value.dim() - dim :])
        return value

    def _get_checked_instance(self, cls: type, _instance: Any = None) -> Any:
        """``_instance``, or a new object of this one's type for ``expand`` to fill."""
        return type(self).__new__(type(self)) if _instance is None else _instance

    # -- what it is

    @property
    def batch_shape(self) -> torch.Size:
        """The shape over which parameters are batched."""
        return self._batch_shape

    @property
    def event_shape(self) -> torch.Size:
        """The shape of one value (without batching)."""
        return self._event_shape

    @property
    def arg_constraints(self) -> dict[str, Any]:
        """Parameter -> the constraint that it satisfies."""
        raise NotImplementedError(f"{type(self).__name__} does not define arg_constraints")

    @property
    def support(self) -> Any:
        """The constraint that values satisfy."""
        raise self._missing("support")

    @property
    def mean(self) -> torch.Tensor:
        """The expected value."""
        raise self._missing("mean")

    @property
    def mode(self) -> torch.Tensor:
        """The most probable value."""
        raise self._missing("mode")

    @property
    def variance(self) -> torch.Tensor:
        """The variance."""
        raise self._missing("variance")

    @property
    def stddev(self) -> torch.Tensor:
        """The square root of the variance."""
        return self.variance.sqrt()

    # -- what it does

    def sample(self, sample_shape: Any = ()) -> torch.Tensor:
        """Values of shape sample_shape + batch_shape + event_shape, without gradient."""
        with torch.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> torch.Tensor:
        """The same with the gradients of the parameters, where ``has_rsample``."""
        raise self._missing("rsample")

    def sample_n(self, n: int) -> torch.Tensor:
        """``sample((n,))``."""
        warnings.warn("sample_n(n) will be deprecated. Use .sample((n,)) instead.", UserWarning, stacklevel=2)
        return self.sample((n,))

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """The logarithm of the density or probability at ``value``."""
        raise self._missing("log_prob")

    def cdf(self, value: torch.Tensor) -> torch.Tensor:
        """The probability of at most ``value``."""
        raise self._missing("cdf")

    def icdf(self, value: torch.Tensor) -> torch.Tensor:
        """The inverse of ``cdf``."""
        raise self._missing("icdf")

    def enumerate_support(self, expand: bool = True) -> torch.Tensor:
        """All values of a discrete distribution, along a new first dimension."""
        raise self._missing("enumerate_support")

    def entropy(self) -> torch.Tensor:
        """The entropy in nats, of shape batch_shape."""
        raise self._missing("entropy")

    def perplexity(self) -> torch.Tensor:
        """exp of the entropy."""
        return torch.exp(self.entropy())

    def _missing(self, what: str) -> NotImplementedError:
        return NotImplementedError(f"{type(self).__name__}.{what} is not defined")

    # -- helpers

    def _extended_shape(self, sample_shape: Any = ()) -> torch.Size:
        """sample_shape + batch_shape + event_shape."""
        return torch.Size(sample_shape) + self._batch_shape + self._event_shape

    def _validate_sample(self, value: torch.Tensor) -> None:
        """Raise ValueError unless ``value`` fits the shapes and lies in the support."""
        if not isinstance(value, torch.Tensor):
            raise ValueError(f"The value argument to log_prob must be a Tensor, got {type(value).__name__}")
        events = value.dim() - len(self._event_shape)
        if value.shape[events:] != self._event_shape:
            raise ValueError(f"The right-most size of value must match event_shape: {value.shape} vs {self._event_shape}.")
        expected = self._extended_shape()
        for size, wanted in zip(reversed(value.shape), reversed(expected), strict=False):
            if size != wanted and 1 not in (size, wanted):
                raise ValueError(f"Value is not broadcastable with batch_shape+event_shape: {value.shape} vs {expected}.")
        try:
            support = self.support
        except NotImplementedError:
            warnings.warn(
                f"{self.__class__} does not define `support` to enable sample validation. Please initialize the distribution with "
                "`validate_args=False` to turn off validation.",
                stacklevel=3,
            )
            return
        if not bool(support.check(value).all()):
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) to be within the support ({support!r}) of the "
                f"distribution {self!r}, but found invalid values:\n{value}"
            )

    def _checked(self, value: Any) -> Any:
        """``value``, after its validation where arguments are validated."""
        if self._validate_args:
            self._validate_sample(value)
        return value

    def __repr__(self) -> str:
        shown = {name: self.__dict__[name] for name in self.arg_constraints if name in self.__dict__}
        texts = [f"{name}: {value if value.numel() == 1 else value.size()}" for name, value in shown.items()]
        return f"{type(self).__name__}({', '.join(texts)})"


def _event_dim(declared: dict[str, Any], name: str) -> int:
    return declared[name].event_dim if name in declared else 0


def _is_lazy(cls: type, name: str) -> bool:
    return isinstance(getattr(cls, name, None), lazy_property)


class ExponentialFamily(Distribution):
    """Distributions of density exp(⟨t(x), θ⟩ − F(θ) + k(x)), with natural parameters θ and log normaliser F."""

    @property
    def _natural_params(self) -> tuple[torch.Tensor, ...]:
        raise self._missing("_natural_params")

    def _log_normalizer(self, *natural_params: torch.Tensor) -> torch.Tensor:
        raise self._missing("_log_normalizer")

    @property
    def _mean_carrier_measure(self) -> float:
        raise self._missing("_mean_carrier_measure")

    def entropy(self) -> torch.Tensor:
        """F(θ) − ⟨θ, ∇F(θ)⟩ − E[k(x)]."""
        constant = -self._mean_carrier_measure
        natural = [parameter.detach().requires_grad_() for parameter in self._natural_params]
        normalizer = self._log_normalizer(*natural)
        result = constant + normalizer
        for parameter, slope in zip(natural, grad(normalizer.sum(), natural, create_graph=True), strict=True):
            result = result - (parameter * slope).reshape(self._batch_shape + (-1,)).sum(-1)
        return result


class ProbsOrLogits:
    """What distributions share that take either ``probs`` or ``logits``: the one that was not given is computed when asked for."""

    _is_binary = True

    def _given(self, probs: Any, logits: Any) -> dict[str, Any]:
        """The parameter that was given, by name."""
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        return {"logits": logits} if probs is None else {"probs": probs}

    @lazy_property
    def logits(self) -> torch.Tensor:
        """Log odds of ``probs``, or its logarithm."""
        return probs_to_logits(self.probs, self._is_binary)

    @lazy_property
    def probs(self) -> torch.Tensor:
        """Probabilities of ``logits``."""
        return logits_to_probs(self.logits, self._is_binary)

    @property
    def _param(self) -> torch.Tensor:
        return self.__dict__["probs" if "probs" in self.__dict__ else "logits"]

    @property
    def param_shape(self) -> torch.Size:
        """The shape of the parameter that was given."""
        return self._param.shape
