"""The floating-point operations of matrix products and convolutions, counted in a program that is traced and not run."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from jax.extend import core

_LABEL = re.compile(r"funnn:(\d+)")


def label(number: int) -> str:
    """The text for ``jax.named_scope`` that :func:`count` counts by."""
    return f"funnn:{number}"


def count(jaxpr: Any, inside: int = 0) -> Counter[int]:
    """Operations by the innermost label around them; those without are counted under ``inside``.

    A multiply-add is two operations. Counted are products (2·B·M·N·K) and convolutions (2·outputs·C_in/groups·kernel, and for a transposed one
    2·inputs·C_out/groups·kernel), as torch.utils.flop_counter does; element-wise work, reductions, normalisations, sorting, decompositions and
    transforms are not, nor what a library does in one call (cuDNN's recurrent and attention kernels). A scan's body counts once a step, the largest
    branch of a cond, the body of a while loop once, whose steps are not known.
    """
    found: Counter[int] = Counter()
    for equation in jaxpr.eqns:
        names = _LABEL.findall(str(equation.source_info.name_stack))
        here = int(names[-1]) if names else inside
        kind = equation.primitive.name
        if kind == "dot_general":
            found[here] += _product(equation)
        elif kind == "conv_general_dilated":
            found[here] += _convolution(equation)
        elif kind == "cond":
            branches: list[Counter[int]] = [count(branch.jaxpr, here) for branch in equation.params["branches"]]
            largest: Counter[int] = max(branches, key=Counter.total)
            found += largest
        else:
            times = equation.params["length"] if kind == "scan" else 1
            for part in _parts(equation.params):
                found += Counter({name: times * number for name, number in count(part, here).items()})
    return found


def _product(equation: Any) -> int:
    left, right = (variable.aval for variable in equation.invars)
    (contracted, _), (batched, _) = equation.params["dimension_numbers"]
    shared = math.prod(left.shape[i] for i in (*contracted, *batched))
    flops: int = 2 * left.size * right.size // max(shared, 1)
    return flops


def _convolution(equation: Any) -> int:
    inputs, kernel = (variable.aval for variable in equation.invars)
    channels = kernel.shape[equation.params["dimension_numbers"].rhs_spec[0]]
    if any(step > 1 for step in equation.params["lhs_dilation"]):  # transposed: most of what it reads are zeros put between
        groups = equation.params["feature_group_count"]
        flops: int = 2 * inputs.size * (kernel.size // kernel.shape[equation.params["dimension_numbers"].rhs_spec[1]]) // groups
    else:
        flops = 2 * equation.outvars[0].aval.size * kernel.size // max(channels, 1)
    return flops


def _parts(params: dict[str, Any]) -> Iterator[Any]:
    """The programs inside an operation."""
    for value in params.values():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(item, core.ClosedJaxpr):
                yield item.jaxpr
            elif isinstance(item, core.Jaxpr):
                yield item
