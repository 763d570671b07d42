"""How the families of models initialise what they are made of, in the order of ``modules()``."""

from __future__ import annotations

import math
from typing import Any

from funnn.torch import nn

_NORMS = (nn.BatchNorm2d, nn.GroupNorm)


def for_relu(model: Any, linear: str | None = None) -> None:
    """Convolutions by He's rule for what goes out, norms one and zero, biases zero.

    Args:
      model: the model.
      linear: "normal" for linear layers with deviation 0.01, "uniform" for 1/sqrt(out_features), None for their default.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, _NORMS):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear) and linear is not None:
            if linear == "normal":
                nn.init.normal_(module.weight, 0, 0.01)
            else:
                bound = 1.0 / math.sqrt(module.out_features)
                nn.init.uniform_(module.weight, -bound, bound)
            nn.init.zeros_(module.bias)


def truncated(model: Any, deviation: float, biases: bool = True) -> None:
    """Convolutions and linear layers by a normal distribution between -2 and 2; a layer's own ``stddev`` comes before ``deviation``."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.trunc_normal_(module.weight, mean=0.0, std=float(getattr(module, "stddev", deviation)), a=-2, b=2)
            if biases and module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


def divisible(value: float, divisor: int = 8) -> int:
    """The nearest multiple of ``divisor``, at least that, and at most a tenth below the value."""
    near = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return near + divisor if near < 0.9 * value else near
