"""Layers that switch inputs off at random in training."""

from __future__ import annotations

from typing import Any, ClassVar

import jax

from funnn import functional as F
from funnn.layers._layer import Layer


class DropoutNd(Layer):
    """What all share: the probability ``p`` and torch's ``inplace``."""

    p: float = 0.5
    inplace: bool = False

    def __post_init__(self) -> None:
        if self.p < 0 or self.p > 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {self.p}")

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(DropoutNd):
    """In training each element is zeroed with probability ``p`` and the others are scaled by 1/(1−p); otherwise y = x.

    ``apply`` needs ``key`` in training. Srivastava et al., "Dropout" (2014); source: torch.nn.Dropout.

    Raises:
      ValueError: p outside [0, 1].
    """

    function: ClassVar[Any] = staticmethod(F.dropout)

    def forward(self, input: jax.Array) -> jax.Array:
        return type(self).function(input, self.p, self.training, self.inplace, key=self.make_key() if self.p else None)


class Dropout1d(Dropout):
    """Dropout of whole channels of (N, C, L) or (C, L). Tompson et al., 2015; source: torch.nn.Dropout1d."""

    function = staticmethod(F.dropout1d)


class Dropout2d(Dropout):
    """Dropout of whole channels of (N, C, H, W). Tompson et al., 2015; source: torch.nn.Dropout2d."""

    function = staticmethod(F.dropout2d)


class Dropout3d(Dropout):
    """Dropout of whole channels of (N, C, D, H, W) or (C, D, H, W). Tompson et al., 2015; source: torch.nn.Dropout3d."""

    function = staticmethod(F.dropout3d)


class AlphaDropout(Dropout):
    """Dropout for SELU networks: dropped elements take SELU's lower limit, and mean and variance stay as they were.

    Klambauer et al., 2017; source: torch.nn.AlphaDropout.
    """

    function = staticmethod(F.alpha_dropout)


class FeatureAlphaDropout(Dropout):
    """AlphaDropout of whole channels (N, C, *). Source: torch.nn.FeatureAlphaDropout."""

    function = staticmethod(F.feature_alpha_dropout)
