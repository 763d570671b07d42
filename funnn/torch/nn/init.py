"""torch.nn.init: the initialisers of ``funnn.init``, written into tensors with the generator's numbers."""

from __future__ import annotations

import functools
import inspect
import math
import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from funnn import init as _pure
from funnn.engine.dispatch.inplace import check_writable
from funnn.engine.program.value import to_jax
from funnn.engine.state import thread
from funnn.engine.tensor.generator import Generator, default_generator, pick
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.casts import cast_on_host
from funnn.engine.types.dtype import dtype as _dtype
from funnn.engine.types.dtype import number_for
from funnn.engine.types.layout import memory_order
from funnn.init import calculate_gain as calculate_gain


class _InPlace:
    """What draws numbers of a tensor's shape as torch draws them into the tensor: in the order in which its elements lie in memory.

    The first draw is into the tensor, where normals of what is not contiguous come one by one; others are into new memory in the same order.
    """

    def __init__(self, generator: Generator | None, tensor: Tensor):
        self._generator, self._tensor, self._drawn = pick(generator), tensor, False

    def uniform(self, shape: Any, dtype: Any, low: float = 0.0, high: float = 1.0) -> Any:
        """Numbers from U[low, high)."""
        return self._draw("uniform", shape, dtype, low, high)

    def normal(self, shape: Any, dtype: Any, mean: float = 0.0, std: float = 1.0) -> Any:
        """Numbers from N(mean, std²)."""
        return self._draw("normal", shape, dtype, mean, std)

    def permutation(self, n: int) -> Any:
        """The integers 0 … n − 1 in random order, which torch's sparse_ draws from the default generator."""
        return default_generator.permutation(n)

    def _draw(self, name: str, shape: Any, dtype: Any, *options: Any) -> Any:
        if self._tensor.is_contiguous() or thread.lent is not None:
            return getattr(self._generator, name)(shape, dtype, *options)
        order = memory_order(self._tensor)
        one_by_one = name == "normal" and (not self._drawn or order != sorted(order))
        self._drawn = True
        how = {"contiguous": False} if one_by_one else {}
        numbers = self._generator.draw(name, tuple([shape[dim] for dim in order]), np.dtype(dtype), *options, **how)
        return to_jax(numbers).transpose([order.index(dim) for dim in range(len(order))])


def _in_place(
    pure: Callable, draws: bool = True, warns_of_empty: bool = False, source: Callable = _InPlace, overlapping: bool = False
) -> Callable:
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
        check_writable(tensor.detach(), fill.__name__, overlapping)
        with jax.enable_x64(True):
            tensor.detach()._write(pure(source(generator, tensor), tuple(tensor.shape), *args, dtype=tensor.dtype.numpy, **kwargs))
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


def _deprecated(fill: Callable) -> Callable:
    old = fill.__name__[:-1]

    @functools.wraps(fill)
    def fill_and_warn(*args: Any, **kwargs: Any) -> Tensor:
        warnings.warn(f"`nn.init.{old}` is now deprecated in favor of `nn.init.{old}_`.", FutureWarning, stacklevel=2)
        return fill(*args, **kwargs)

    fill_and_warn.__name__ = fill_and_warn.__qualname__ = old
    fill_and_warn.__doc__ = f"Deprecated name of {old}_, whose arguments it takes."
    return fill_and_warn


@functools.wraps(_pure.constant)
def _constant(source: Any, shape: tuple[int, ...], val: Any, *, dtype: Any) -> jax.Array:
    return _pure.constant(source, shape, cast_on_host(number_for(val, _dtype.of(dtype), math.prod(shape) == 1), dtype), dtype=dtype)


uniform_ = _in_place(_pure.uniform)
normal_ = _in_place(_pure.normal)
trunc_normal_ = _in_place(_pure.trunc_normal)
constant_ = _in_place(_constant, draws=False, overlapping=True)
zeros_ = _in_place(_pure.zeros, draws=False, overlapping=True)
ones_ = _in_place(_pure.ones, draws=False, overlapping=True)
eye_ = _in_place(_pure.eye, draws=False, overlapping=True)
dirac_ = _in_place(_pure.dirac, draws=False, overlapping=True)
kaiming_uniform_ = _in_place(_pure.kaiming_uniform, warns_of_empty=True)
kaiming_normal_ = _in_place(_pure.kaiming_normal, warns_of_empty=True)
xavier_uniform_ = _in_place(_pure.xavier_uniform)
xavier_normal_ = _in_place(_pure.xavier_normal)
orthogonal_ = _in_place(_pure.orthogonal, source=lambda generator, tensor: pick(generator))  # it draws another matrix, and copies
sparse_ = _in_place(_pure.sparse)

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
