"""The last layer of a classifier and its loss in one."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY
from typing import Any

import jax

from funnn import functional as F
from funnn.errors import ArgumentError, ShapeError
from funnn.functional.linear_cross_entropy import LinearCrossEntropyOptions
from funnn.layers._layer import Spec
from funnn.layers._text import enabled
from funnn.layers.linear import Linear
from funnn.layers.loss import Loss, given


class LinearCrossEntropyLoss(Loss):
    """Cross entropy of a linear layer's output, which need not be held whole: (N, in_features) and classes (N,) to a scalar.

    Args:
      in_features: size of the input's last axis.
      num_classes: C.
      out_features: further axes of the logits (N, C, *out_features), as for a loss per position.
      bias: whether the linear layer has one.
      reduction, weight, ignore_index, label_smoothing: as in CrossEntropyLoss.
      options: LinearCrossEntropyOptions(), which compute the logits in chunks of rows; default the whole at once.

    Parameters: ``linear.weight`` (C · ∏ out_features, in_features) and, with bias, ``linear.bias``, as in Linear.

    Raises:
      ShapeError: weight is not of shape (num_classes,).
      ArgumentError: label_smoothing outside [0, 1].

    Source: torch.nn.LinearCrossEntropyLoss.
    """

    in_features: int
    num_classes: int
    _: KW_ONLY
    out_features: tuple[int, ...] = ()
    bias: bool = False
    reduction: str = "mean"
    weight: Any = None
    ignore_index: int | None = None
    label_smoothing: float = 0.0
    options: LinearCrossEntropyOptions | None = None

    def __post_init__(self) -> None:
        if self.weight is not None and tuple(self.weight.shape) != (self.num_classes,):
            raise ShapeError(f"expected weight shape to be {(self.num_classes,)}, got {tuple(self.weight.shape)}")
        if not 0 <= self.label_smoothing <= 1:
            raise ArgumentError(f"expected label_smoothing to be in range [0, 1], got {self.label_smoothing}")
        self.linear = Linear(self.in_features, math.prod(self.out_features, start=self.num_classes), bias=self.bias)

    def spec(self) -> Spec:
        return {"weight": given(self.weight)}

    def forward(self, input: jax.Array, target: jax.Array) -> jax.Array:
        shape = (self.num_classes, *self.out_features)
        bias: Any = self.linear.bias  # here the array
        return F.linear_cross_entropy(
            input,
            self.linear.weight.reshape((*shape, self.in_features)),
            target,
            linear_bias=None if bias is None else bias.reshape(shape),
            weight=self.weight,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            options=self.options,
        )

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, num_classes={self.num_classes}, out_features={self.out_features}, bias={enabled(self.bias)}, "
            f"reduction={self.reduction}, ignore_index={self.ignore_index}, label_smoothing={self.label_smoothing}, options={self.options}"
        )
