"""Which arguments of torch's functions must be Tensors: a number in their place is a TypeError."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

#: Parameters that take a Tensor (or None, where they are optional) in every function that has them, but for those of ``_FREE``.
_TENSORS = """
    A B L LD LU LU_data LU_pivots abs anchor angle append b batch1 batch2 bias boundaries condition count end g grad_output grid imag index indices
    input input1 input2 x1 x2 log_probs mask mat mat1 mat2 negative offsets output per_sample_weights pivots positive prepend prob real
    running_mean running_var self sorted_sequence source src target targets tau tensor tensor1 tensor2 tensors the_template theta v values vec vec1
    vec2 weight weights window x y
"""
#: Functions whose second operand, ``other``, must be a Tensor too.
_PAIRS = """
    allclose arctan2 atan2 cross dist equal expand_as fmax fmin gcd heaviside hypot igamma igammac inner is_same_size isclose kron lcm ldexp
    linalg.cross linalg.matmul linalg.tensorsolve logaddexp logaddexp2 logical_and logical_or logical_xor matmul maximum minimum nextafter ormqr
    reshape_as type_as vdot view_as special.gammainc special.gammaincc special.logaddexp
"""
#: Functions whose first operand may be a number; of the latter, one of two must be a Tensor.
_NUMBER_FIRST = "add sub mul div true_divide floor_divide divide multiply subtract where bucketize searchsorted"
_EITHER = """
    pow remainder float_power xlogy bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift special.xlog1py special.zeta
    special.chebyshev_polynomial_t special.chebyshev_polynomial_u special.chebyshev_polynomial_v special.chebyshev_polynomial_w
    special.shifted_chebyshev_polynomial_t special.shifted_chebyshev_polynomial_u special.shifted_chebyshev_polynomial_v
    special.shifted_chebyshev_polynomial_w special.hermite_polynomial_h special.hermite_polynomial_he special.laguerre_polynomial_l
    special.legendre_polynomial_p
"""
#: Function -> its parameters that are no Tensors though of such a name.
_FREE: dict[str, tuple[str, ...]] = {
    "result_type": ("tensor", "tensor1", "tensor2", "input"),
    "frombuffer": ("count",),
    **dict.fromkeys((*_NUMBER_FIRST.split(), *_EITHER.split()), ("input",)),
    **dict.fromkeys(("moveaxis", "movedim", "set_"), ("source",)),
    **dict.fromkeys(("select", "select_copy"), ("index",)),
    **dict.fromkeys(("index_put", "_unsafe_masked_index", "_unsafe_masked_index_put_accumulate", "unravel_index"), ("indices",)),
    **dict.fromkeys(("slice_copy", "slice_scatter", "linspace", "logspace", "range"), ("end",)),
    **{"lerp": ("weight",), "copy_": ("src",), "scatter": ("src",)},
}
_NAMES, _WITH_OTHER, _ONE_OF_TWO = frozenset(_TENSORS.split()), frozenset(_PAIRS.split()), frozenset(_EITHER.split())
_REFUSED = (int, float, complex, str, list, tuple)
_ONE_OF = "one of"  # stands for the first two parameters where one must be a Tensor


def tensors_of(name: str, like: Callable) -> dict[str, int]:
    """The parameters of the function that must be Tensors, with their positions."""
    if name in _ONE_OF_TWO:
        return {_ONE_OF: 0}
    if name.startswith("signal."):
        return {}
    plain = name.removesuffix("_")
    wanted = (_NAMES | {"other"} if plain in _WITH_OTHER else _NAMES).difference(_FREE.get(name, ()), _FREE.get(plain, ()))
    parameters = inspect.signature(like).parameters
    return {parameter: position for position, parameter in enumerate(parameters) if parameter in wanted and _alone(parameters[parameter])}


def _alone(parameter: inspect.Parameter) -> bool:
    """Whether the parameter is one tensor, or any number of them, ``*tensors``; not a list of them."""
    return parameter.name != "tensors" or parameter.kind is parameter.VAR_POSITIONAL


def tensors_only(name: str, run: Callable, wanted: dict[str, int]) -> Callable:
    """``run``, after a look at the arguments that must be Tensors (or arrays, in a pure function)."""
    if not wanted:
        return run

    @functools.wraps(run)
    def checked(*args: Any, **kwargs: Any) -> Any:
        for parameter, position in wanted.items():
            value = args[position] if position < len(args) else kwargs.get(parameter)
            if parameter == "tensors":
                _check_each(args[position:])
            elif parameter == _ONE_OF:
                if len(args) == 2 and all(isinstance(arg, _REFUSED) or getattr(arg, "weak_type", False) for arg in args):
                    raise TypeError(f"{name.rpartition('.')[2]}(): one of two operands must be Tensor, got two numbers")
            elif isinstance(value, _REFUSED):
                raise TypeError(
                    f"{name.rpartition('.')[2]}(): argument '{parameter}' (position {position + 1}) must be Tensor, not {type(value).__name__}; "
                    "make one with torch.tensor(…)"
                )
        return run(*args, **kwargs)

    return checked


def _check_each(tensors: tuple) -> None:
    for number, value in enumerate(tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors):
        if isinstance(value, _REFUSED):
            raise TypeError(f"expected Tensor as element {number} in argument 0, but got {type(value).__name__}")
