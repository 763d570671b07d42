"""MobileNet V2, of "MobileNetV2: inverted residuals and linear bottlenecks"."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import funnn.torch as torch
from funnn.torch import nn
from funnn.torchvision.models._api import model, weights_of
from funnn.torchvision.models._initialisation import divisible, for_relu
from funnn.torchvision.ops.misc import Conv2dNormActivation

MobileNet_V2_Weights = weights_of("MobileNet_V2_Weights", __name__)

#: Expansion, channels, blocks and first stride of each stage.
_STAGES = [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]]


class InvertedResidual(nn.Module):
    """A 1x1 convolution to more channels, a 3x3 one in each channel, and a 1x1 one to few; beside the identity where shapes allow."""

    def __init__(self, inp: int, oup: int, stride: int, expand_ratio: int, norm_layer: Callable[..., Any] | None = None) -> None:
        super().__init__()
        if stride not in (1, 2):
            raise ValueError(f"stride should be 1 or 2 instead of {stride}")
        norm = norm_layer or nn.BatchNorm2d
        wide = round(inp * expand_ratio)
        block = partial(Conv2dNormActivation, norm_layer=norm, activation_layer=nn.ReLU6)
        layers: list[Any] = [block(inp, wide, kernel_size=1)] if expand_ratio != 1 else []
        layers += [block(wide, wide, stride=stride, groups=wide), nn.Conv2d(wide, oup, 1, 1, 0, bias=False), norm(oup)]
        self.conv = nn.Sequential(*layers)
        self.stride, self.use_res_connect, self.out_channels, self._is_cn = stride, stride == 1 and inp == oup, oup, stride > 1

    def forward(self, x: Any) -> Any:
        """Features of features."""
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


class MobileNetV2(nn.Module):
    """Stages of :class:`InvertedResidual` blocks.

    Args:
      num_classes: how many numbers come out.
      width_mult: the factor of all channels.
      inverted_residual_setting: expansion, channels, blocks and first stride of each stage.
      round_nearest: what channels are multiples of.
      block: makes a block.
      norm_layer: makes the normalisation of a number of channels.
      dropout: the probability of dropout.

    Raises:
      ValueError: a stage has not four numbers.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        width_mult: float = 1.0,
        inverted_residual_setting: list[list[int]] | None = None,
        round_nearest: int = 8,
        block: Callable[..., Any] | None = None,
        norm_layer: Callable[..., Any] | None = None,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        block, norm = block or InvertedResidual, norm_layer or nn.BatchNorm2d
        stages = _STAGES if inverted_residual_setting is None else inverted_residual_setting
        if not stages or len(stages[0]) != 4:
            raise ValueError(f"inverted_residual_setting should be non-empty or a 4-element list, got {inverted_residual_setting}")
        channels = divisible(32 * width_mult, round_nearest)
        self.last_channel = divisible(1280 * max(1.0, width_mult), round_nearest)
        features = [Conv2dNormActivation(3, channels, stride=2, norm_layer=norm, activation_layer=nn.ReLU6)]
        for expansion, wanted, blocks, stride in stages:
            out = divisible(wanted * width_mult, round_nearest)
            for i in range(blocks):
                features.append(block(channels, out, stride if i == 0 else 1, expand_ratio=expansion, norm_layer=norm))
                channels = out
        features.append(Conv2dNormActivation(channels, self.last_channel, kernel_size=1, norm_layer=norm, activation_layer=nn.ReLU6))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(p=dropout), nn.Linear(self.last_channel, num_classes))
        for_relu(self, linear="normal")

    def forward(self, x: Any) -> Any:
        """(N, num_classes) of images (N, 3, H, W)."""
        return self.classifier(torch.flatten(nn.functional.adaptive_avg_pool2d(self.features(x), (1, 1)), 1))


@model(MobileNet_V2_Weights)
def mobilenet_v2(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> MobileNetV2:
    """MobileNet V2, with trained ``weights`` if they are named; other arguments are :class:`MobileNetV2`'s."""
    return MobileNetV2(**kwargs)
