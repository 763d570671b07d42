"""Layers that switch inputs off at random in training."""

from __future__ import annotations

from funnn import functional as F
from funnn.layers._layer import Layer


class Dropout(Layer):
    """In training each element is zeroed with probability ``p`` and the others are scaled by 1/(1−p); otherwise y = x.

    ``apply`` needs ``key`` in training. Srivastava et al., "Dropout" (2014); source: torch.nn.Dropout.

    Raises:
      ValueError: p outside [0, 1].
    """

    p: float = 0.5
    inplace: bool = False

    def __post_init__(self):
        if self.p < 0 or self.p > 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {self.p}")

    def forward(self, x):
        return F.dropout(x, self.p, self.training, self.inplace, key=self.make_key())

    def extra_repr(self):
        return f"p={self.p}, inplace={self.inplace}"
