"""The gradients of convolutions as functions: ``conv2d_input`` and its like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from funnn import functional as F
from funnn.engine.tape.grad_mode import enable_grad, is_grad_enabled
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.transform.differentiate import grad


def _gradient(output_of: Callable[[Tensor], Tensor], size: Any, other: Tensor, grad_output: Tensor) -> Tensor:
    """The gradient of ``output_of`` with respect to an operand of that size, of whose values it does not depend; ``other`` is the other one."""
    recorded = is_grad_enabled()
    with enable_grad():
        leaf = other.new_zeros(tuple(size))._set_requires_grad()
        output = output_of(leaf)
    return grad(output, leaf, grad_output, create_graph=recorded and (other.requires_grad or grad_output.requires_grad))[0]


def _publish(dims: int) -> None:
    convolve: Callable = getattr(F, f"conv{dims}d")

    def of_input(
        input_size: Any, weight: Tensor, grad_output: Tensor, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
    ) -> Tensor:
        options = None, stride, padding, dilation, groups
        return _gradient(lambda input: convolve(input, weight, *options), input_size, weight, grad_output)

    def of_weight(
        input: Tensor, weight_size: Any, grad_output: Tensor, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
    ) -> Tensor:
        options = None, stride, padding, dilation, groups
        return _gradient(lambda weight: convolve(input, weight, *options), weight_size, input, grad_output)

    for function, what in ((of_input, "input"), (of_weight, "weight")):
        function.__name__ = function.__qualname__ = f"conv{dims}d_{what}"
        function.__doc__ = (
            f"The gradient of conv{dims}d with respect to its {what}, given its size, the other operand and the output's gradient."
        )
        globals()[function.__name__] = function


for _dims in (1, 2, 3):
    _publish(_dims)
