"""torch._foreach_add and its kin: an operation on each tensor of a list, as users' optimizers call them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from funnn.engine.dispatch.inplace import check_writable
from funnn.engine.dispatch.public import overridable
from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.engine.tensor.tensor import Tensor

_BOTH = (
    "abs acos add addcdiv addcmul asin atan ceil clamp_max clamp_min cos cosh div erf erfc exp expm1 floor frac lerp lgamma log log10 log1p log2 "
    "maximum minimum mul neg pow reciprocal round rsqrt sigmoid sign sin sinh sqrt sub tan tanh trunc"
)
_WITH_NUMBERS = {"maximum": ("maximum", "clamp_min"), "minimum": ("minimum", "clamp_max")}
_WITH_NUMBERS |= {f"{name}_": (f"{numbers}_",) * 2 for name, (_, numbers) in _WITH_NUMBERS.items()}
_ELSEWHERE: dict[str, Callable] = {
    "norm": lambda x, ord=2, dtype=None: FUNCTIONS["linalg.vector_norm"](x, ord, dtype=dtype),
    "powsum": lambda x, ord=2, dtype=None: x.to(dtype or x.dtype).abs().pow(ord).sum(),
    "pow": lambda x, exponent: FUNCTIONS["pow"](x, exponent),  # either may be the list
    **{
        name: lambda x, other, tensors=tensors, numbers=numbers: getattr(x, tensors if isinstance(other, Tensor) else numbers)(other)
        for name, (tensors, numbers) in _WITH_NUMBERS.items()
    },
    **{
        name: lambda x, a, b, value=1, name=name: getattr(x, name)(a, b, value=value)
        for name in ("addcdiv", "addcmul", "addcdiv_", "addcmul_")
    },
}


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _each(name: str) -> Callable:
    own = _ELSEWHERE.get(name) or (lambda x, *args, **kwargs: getattr(x, name)(*args, **kwargs))

    def for_each(*args: Any, **kwargs: Any) -> Any:
        lists = [value for value in args if _is_list(value)]
        if not lists or any(not isinstance(item, Tensor) for item in lists[0]):
            raise TypeError(
                f"_foreach_{name}(): argument 'self' must be a list or tuple of Tensors; got {[type(value).__name__ for value in args]}"
            )
        count = len(lists[0])
        if count == 0:
            raise RuntimeError("Tensor list must have at least one tensor.")
        spread = functools.partial(_spread, count=count, per_tensor=name.startswith("addc"))
        columns = [spread(value) for value in args]
        named = {key: spread(value) for key, value in kwargs.items()}
        if name.endswith("_"):  # all are looked at before the first is written
            for item in lists[0]:
                check_writable(item, name, overlapping=True)
        results = [own(*(column[i] for column in columns), **{key: column[i] for key, column in named.items()}) for i in range(count)]
        return args[0] if name.endswith("_") else tuple(results)

    for_each.__name__ = for_each.__qualname__ = f"_foreach_{name}"
    for_each.__doc__ = f"``{name}`` of each tensor of a list; other arguments are one for all, or a list of one for each."
    return for_each


def _spread(value: Any, count: int, per_tensor: bool) -> list:
    """An argument's value for each tensor."""
    if per_tensor and isinstance(value, Tensor) and value.dim() == 1:
        value = value.tolist()
    if not _is_list(value):
        return [value] * count
    if len(value) != count:
        raise RuntimeError(f"Tensor lists must have the same number of tensors, got {count} and {len(value)}")
    return list(value)


_NAMES = [*_BOTH.split(), *(f"{name}_" for name in _BOTH.split()), "clone", "copy_", "max", "mm", "norm", "powsum", "zero_"]

#: By torch's names.
FOREACH = {f"_foreach_{name}": overridable(_each(name)) for name in _NAMES}
