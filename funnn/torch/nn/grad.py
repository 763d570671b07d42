"""The gradients of convolutions as functions: ``conv2d_input`` and its like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from funnn import functional as F
from funnn.torch._tensor import Tensor
from funnn.torch.autograd import enable_grad, grad, is_grad_enabled


def _leaf(like: Tensor, size: Any) -> Tensor:
    """A tensor of that size, of whose values a gradient with respect to it does not depend."""
    return like.new_zeros(tuple(size)).requires_grad_()


def _publish(dims: int) -> None:
    convolve: Callable = getattr(F, f"conv{dims}d")

    def of_input(
        input_size: Any, weight: Tensor, grad_output: Tensor, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
    ) -> Tensor:
        recorded = is_grad_enabled()
        with enable_grad():
            input = _leaf(weight, input_size)
            output = convolve(input, weight, None, stride, padding, dilation, groups)
        return grad(output, input, grad_output, create_graph=recorded and (weight.requires_grad or grad_output.requires_grad))[0]

    def of_weight(
        input: Tensor, weight_size: Any, grad_output: Tensor, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
    ) -> Tensor:
        recorded = is_grad_enabled()
        with enable_grad():
            weight = _leaf(input, weight_size)
            output = convolve(input, weight, None, stride, padding, dilation, groups)
        return grad(output, weight, grad_output, create_graph=recorded and (input.requires_grad or grad_output.requires_grad))[0]

    for function, what in ((of_input, "input"), (of_weight, "weight")):
        function.__name__ = function.__qualname__ = f"conv{dims}d_{what}"
        function.__doc__ = (
            f"The gradient of conv{dims}d with respect to its {what}, given its size, the other operand and the output's gradient."
        )
        globals()[function.__name__] = function


for _dims in (1, 2, 3):
    _publish(_dims)
