"""torch._dynamo.external_utils: small functions around functions."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from funnn.engine.program.region import is_inside_region
from funnn.engine.tensor.tensor import Tensor
from funnn.torch._namespace import as_tensor


def is_compiling() -> bool:
    """Whether the line runs in a function that torch.compile compiles."""
    return is_inside_region()


def wrap_inline(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function in another one that only calls it."""

    @functools.wraps(fn)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return inner


def wrap_numpy(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function of NumPy arrays as one of tensors: they become arrays, and the arrays that it returns tensors. Gradients do not flow through it."""

    @functools.wraps(f)
    def wrap(*args: Any, **kwargs: Any) -> Any:
        arrays, named = jax.tree.map(lambda leaf: leaf.numpy() if isinstance(leaf, Tensor) else leaf, (args, kwargs))
        return jax.tree.map(lambda leaf: as_tensor(leaf) if isinstance(leaf, np.ndarray) else leaf, f(*arrays, **named))

    return wrap
