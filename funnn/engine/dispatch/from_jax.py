"""A function of jax.Arrays as a function of Tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import tree as _tree


def from_jax(function: Callable | None = None, *, name: str | None = None) -> Callable:
    """Put a pure function of JAX on the tape: it takes and gives Tensors, and gradients flow through it. Also a decorator.

    Whatever derivative the function has in JAX (``jax.custom_vjp`` and ``jax.custom_jvp`` included) is its derivative here, of any order. It is
    compiled once for each structure and shape of its arguments; arguments that are no arrays are constants of the program, so pass a number that
    changes as a tensor.

    Args:
      function: takes arrays in nested tuples, lists and dicts, and hashable constants; gives arrays in such.
      name: how its node prints, ``<nameBackward>``; the function's own name by default.

    Raises:
      TypeError: a constant that is not hashable, or a result that is no array.

    Example:
      >>> import funnn.torch as torch
      >>> import jax.numpy as jnp
      >>> @torch.from_jax
      ... def sinc(x):
      ...     return jnp.sinc(x)
      >>> x = torch.tensor([0.0, 0.5], requires_grad=True)
      >>> sinc(x).sum().backward()
      >>> sinc(x), x.grad
      (tensor([1.0000, 0.6366], grad_fn=<SincBackward>), tensor([ 0.0000, -1.2732]))
    """
    if function is None:
        return functools.partial(from_jax, name=name)
    own = name or "".join(part.capitalize() for part in getattr(function, "__name__", "function").split("_"))
    ops: dict[Any, tuple[Op | None, dict]] = {}

    @functools.wraps(function, updated=())
    def call_on_tape(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = _tree.flatten((args, kwargs))
        places = tuple([number for number, leaf in enumerate(leaves) if isinstance(leaf, (Tensor, jax.Array, np.ndarray))])
        constants = tuple([(type(leaf), leaf) for number, leaf in enumerate(leaves) if number not in places])
        try:
            op, form = ops.setdefault((structure, places, constants), (None, {}))
        except TypeError:
            kinds = sorted({kind.__name__ for kind, _ in constants})
            raise TypeError(f"{own}: arguments that are no arrays must be hashable, got types {kinds}; pass arrays or tuples") from None
        if op is None:
            op = Op(_flat(function, own, structure, places, [leaf for _, leaf in constants], form), f"{own}Backward")
            ops[structure, places, constants] = op, form
        return _tree.unflatten(call(op, tuple(leaves[number] for number in places), {}), form["structure"])

    return call_on_tape


def _flat(function: Callable, name: str, structure: Any, places: tuple, constants: list, form: dict) -> Callable:
    """The function from arrays alone to a tuple of arrays; the structure of its result is left in ``form``."""

    def pure(*arrays: Any) -> tuple:
        given, rest = dict(zip(places, arrays, strict=True)), iter(constants)
        leaves = [given[number] if number in given else next(rest) for number in range(len(places) + len(constants))]
        args, kwargs = _tree.unflatten(leaves, structure)
        results, form["structure"] = _tree.flatten(function(*args, **kwargs))
        for result in results:
            if not isinstance(result, (jax.Array, np.ndarray, np.generic)):
                raise TypeError(f"{name} must give arrays, in tuples, lists and dicts; got {type(result).__name__}")
        return tuple(results)

    pure.__name__ = name
    return pure
