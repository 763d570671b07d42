"""Which methods and functions ask classes and modes that override functions, beside those of the table's rows, which all do."""

from __future__ import annotations

from funnn.engine.dispatch.public import overridable
from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.engine.tensor.tensor import Tensor

_METHODS = (
    *(
        "to",
        "type",
        "type_as",
        "cpu",
        "cuda",
        "half",
        "bfloat16",
        "float",
        "double",
        "bool",
        "byte",
        "char",
        "short",
        "int",
        "long",
        "cfloat",
    ),
    *("cdouble", "where", "copy_", "new_zeros", "new_ones", "new_empty", "new_full", "new_tensor", "uniform_", "normal_", "random_"),
    *("bernoulli_", "exponential_", "cauchy_", "log_normal_", "geometric_", "to_dense", "__deepcopy__", "__reversed__"),
)
_PROPERTIES = ("T", "mT", "mH", "H", "real", "imag", "data")


def let_the_rest_ask() -> None:
    """Make functions and methods that no row made ask first; those that only ask something of a tensor (``asks = False``) do not."""
    for name, old in list(FUNCTIONS.items()):
        if not hasattr(old, "asks") and not old.__module__.startswith("funnn.functional"):
            FUNCTIONS[name] = overridable(old)
            if getattr(Tensor, name, None) is old:
                setattr(Tensor, name, FUNCTIONS[name])
    for name in _METHODS:
        setattr(Tensor, name, overridable(getattr(Tensor, name)))
    for name in _PROPERTIES:
        old = vars(next(kind for kind in Tensor.__mro__ if name in vars(kind)))[name]
        setattr(Tensor, name, property(overridable(old.fget), old.fset, old.fdel, old.__doc__))
