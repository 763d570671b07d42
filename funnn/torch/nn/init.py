"""torch.nn.init: the initialisers of ``funnn.init``, written into tensors with the generator's numbers."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import jax

from funnn import init as _pure
from funnn.init import calculate_gain as calculate_gain
from funnn.torch._random import Generator, pick
from funnn.torch._tensor import Tensor


def _in_place(pure: Callable, warns_of_empty: bool = False) -> Callable:
    @functools.wraps(pure)
    def fill(tensor: Tensor, *args: Any, generator: Generator | None = None, **kwargs: Any) -> Tensor:
        if warns_of_empty and 0 in tensor.shape:
            warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
            return tensor
        with jax.enable_x64(True):
            tensor.detach()._write(pure(pick(generator), tuple(tensor.shape), *args, dtype=tensor.dtype.numpy, **kwargs))
        return tensor

    parameters = [p for name, p in inspect.signature(pure).parameters.items() if name not in ("source", "shape", "dtype")]
    first = inspect.Parameter("tensor", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    last = inspect.Parameter("generator", inspect.Parameter.KEYWORD_ONLY, default=None)
    fill.__signature__ = inspect.Signature([first, *parameters, last])
    fill.__name__ = fill.__qualname__ = f"{pure.__name__}_"
    return fill


def _deprecated(fill: Callable) -> Callable:
    old = fill.__name__[:-1]

    @functools.wraps(fill)
    def run(*args: Any, **kwargs: Any) -> Tensor:
        warnings.warn(f"`nn.init.{old}` is now deprecated in favor of `nn.init.{old}_`.", FutureWarning, stacklevel=2)
        return fill(*args, **kwargs)

    run.__name__ = run.__qualname__ = old
    return run


uniform_ = _in_place(_pure.uniform)
normal_ = _in_place(_pure.normal)
constant_ = _in_place(_pure.constant)
zeros_ = _in_place(_pure.zeros)
ones_ = _in_place(_pure.ones)
kaiming_uniform_ = _in_place(_pure.kaiming_uniform, warns_of_empty=True)
kaiming_normal_ = _in_place(_pure.kaiming_normal, warns_of_empty=True)
xavier_uniform_ = _in_place(_pure.xavier_uniform)
xavier_normal_ = _in_place(_pure.xavier_normal)

uniform, normal, constant = _deprecated(uniform_), _deprecated(normal_), _deprecated(constant_)
kaiming_uniform, kaiming_normal = _deprecated(kaiming_uniform_), _deprecated(kaiming_normal_)
xavier_uniform, xavier_normal = _deprecated(xavier_uniform_), _deprecated(xavier_normal_)
