"""torch.nn.init: the initialisers of ``funnn.init``, written into tensors with the generator's numbers."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import jax

from funnn import init as _pure
from funnn.engine.tensor.generator import Generator, default_generator, pick
from funnn.engine.tensor.tensor import Tensor
from funnn.init import calculate_gain as calculate_gain


def _in_place(pure: Callable, draws: bool = True, warns_of_empty: bool = False, source: Callable = pick) -> Callable:
    """The initialiser that writes ``pure``'s values into a tensor; one that draws takes a ``generator``."""
    arguments = [p for name, p in inspect.signature(pure).parameters.items() if name not in ("source", "shape", "dtype")]

    @functools.wraps(pure)
    def fill(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        generator = kwargs.pop("generator", None) if draws else None
        if draws and len(args) == len(arguments) + 1:
            *args, generator = args
        if warns_of_empty and 0 in tensor.shape:
            warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
            return tensor
        if tensor.is_meta:  # there is nothing to write, and no generator moves
            return tensor
        with jax.enable_x64(True):
            tensor.detach()._write(pure(source(generator), tuple(tensor.shape), *args, dtype=tensor.dtype.numpy, **kwargs))
        return tensor

    first, last = (
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default)
        for name, default in (("tensor", inspect.Parameter.empty), ("generator", None))
    )
    fill.__signature__ = inspect.Signature([first, *arguments, *([last] if draws else [])])
    fill.__name__ = fill.__qualname__ = f"{pure.__name__}_"
    fill.__module__ = __name__
    fill.__doc__ = (pure.__doc__ or "").partition(">>>")[0].rstrip()  # an example shows the pure function's way of use
    return fill


class _NormalsOnly:
    """Normal numbers from a generator, permutations from the default one: torch's sparse_ gives its generator to the first alone."""

    uniform = property(lambda self: self._generator.uniform)
    normal = property(lambda self: self._generator.normal)
    permutation = default_generator.permutation

    def __init__(self, generator: Generator | None):
        self._generator = pick(generator)


def _deprecated(fill: Callable) -> Callable:
    old = fill.__name__[:-1]

    @functools.wraps(fill)
    def fill_and_warn(*args: Any, **kwargs: Any) -> Tensor:
        warnings.warn(f"`nn.init.{old}` is now deprecated in favor of `nn.init.{old}_`.", FutureWarning, stacklevel=2)
        return fill(*args, **kwargs)

    fill_and_warn.__name__ = fill_and_warn.__qualname__ = old
    fill_and_warn.__doc__ = f"Deprecated name of {old}_, whose arguments it takes."
    return fill_and_warn


uniform_ = _in_place(_pure.uniform)
normal_ = _in_place(_pure.normal)
trunc_normal_ = _in_place(_pure.trunc_normal)
constant_ = _in_place(_pure.constant, draws=False)
zeros_ = _in_place(_pure.zeros, draws=False)
ones_ = _in_place(_pure.ones, draws=False)
eye_ = _in_place(_pure.eye, draws=False)
dirac_ = _in_place(_pure.dirac, draws=False)
kaiming_uniform_ = _in_place(_pure.kaiming_uniform, warns_of_empty=True)
kaiming_normal_ = _in_place(_pure.kaiming_normal, warns_of_empty=True)
xavier_uniform_ = _in_place(_pure.xavier_uniform)
xavier_normal_ = _in_place(_pure.xavier_normal)
orthogonal_ = _in_place(_pure.orthogonal)
sparse_ = _in_place(_pure.sparse, source=_NormalsOnly)

uniform, normal, constant = _deprecated(uniform_), _deprecated(normal_), _deprecated(constant_)
kaiming_uniform, kaiming_normal = _deprecated(kaiming_uniform_), _deprecated(kaiming_normal_)
xavier_uniform, xavier_normal = _deprecated(xavier_uniform_), _deprecated(xavier_normal_)
eye, dirac, orthogonal, sparse = _deprecated(eye_), _deprecated(dirac_), _deprecated(orthogonal_), _deprecated(sparse_)


# Programs with initialisers of their own import these.
_no_grad_uniform_, _no_grad_normal_, _no_grad_trunc_normal_ = uniform_, normal_, trunc_normal_
_no_grad_fill_, _no_grad_zero_ = constant_, zeros_


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight, which users of torch call by this name."""
    return _pure.fans(tuple(tensor.shape))


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    """fan_in or fan_out of a weight."""
    return _pure.fan(tuple(tensor.shape), mode)
