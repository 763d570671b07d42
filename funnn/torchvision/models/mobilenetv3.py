"""MobileNet V3, of "Searching for MobileNetV3"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import funnn.torch as torch
from funnn.torch import nn
from funnn.torchvision.models._api import model, weights_of
from funnn.torchvision.models._initialisation import divisible, for_relu
from funnn.torchvision.ops.misc import Conv2dNormActivation, SqueezeExcitation

MobileNet_V3_Large_Weights = weights_of("MobileNet_V3_Large_Weights", __name__)
MobileNet_V3_Small_Weights = weights_of("MobileNet_V3_Small_Weights", __name__)


_WEIGHTING = partial(SqueezeExcitation, scale_activation=nn.Hardsigmoid)


class InvertedResidualConfig:
    """The sizes of a block; ``activation`` is "RE" for ReLU and "HS" for Hardswish."""

    def __init__(
        self,
        input_channels: int,
        kernel: int,
        expanded_channels: int,
        out_channels: int,
        use_se: bool,
        activation: str,
        stride: int,
        dilation: int,
        width_mult: float,
    ) -> None:
        self.input_channels, self.expanded_channels, self.out_channels = (
            self.adjust_channels(channels, width_mult) for channels in (input_channels, expanded_channels, out_channels)
        )
        self.kernel, self.use_se, self.use_hs = kernel, use_se, activation == "HS"
        self.stride, self.dilation = stride, dilation

    @staticmethod
    def adjust_channels(channels: int, width_mult: float) -> int:
        """The channels times the factor, as a multiple of 8."""
        return divisible(channels * width_mult, 8)


class InvertedResidual(nn.Module):
    """A 1x1 convolution to more channels, one in each channel, a weighting of channels, and a 1x1 one to few."""

    def __init__(
        self,
        cnf: InvertedResidualConfig,
        norm_layer: Callable[..., Any],
        se_layer: Callable[..., Any] = _WEIGHTING,
    ) -> None:
        super().__init__()
        if not 1 <= cnf.stride <= 2:
            raise ValueError("illegal stride value")
        self.use_res_connect = cnf.stride == 1 and cnf.input_channels == cnf.out_channels
        block = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.Hardswish if cnf.use_hs else nn.ReLU)
        wide = cnf.expanded_channels
        layers: list[Any] = [block(cnf.input_channels, wide, kernel_size=1)] if wide != cnf.input_channels else []
        stride = 1 if cnf.dilation > 1 else cnf.stride
        layers.append(block(wide, wide, kernel_size=cnf.kernel, stride=stride, dilation=cnf.dilation, groups=wide))
        if cnf.use_se:
            layers.append(se_layer(wide, divisible(wide // 4, 8)))
        layers.append(Conv2dNormActivation(wide, cnf.out_channels, kernel_size=1, norm_layer=norm_layer, activation_layer=None))
        self.block = nn.Sequential(*layers)
        self.out_channels, self._is_cn = cnf.out_channels, cnf.stride > 1

    def forward(self, input: Any) -> Any:
        """Features of features."""
        return self.block(input) + input if self.use_res_connect else self.block(input)


class MobileNetV3(nn.Module):
    """:class:`InvertedResidual` blocks.

    Args:
      inverted_residual_setting: the sizes of the blocks.
      last_channel: features before the last layer.
      num_classes: how many numbers come out.
      block: makes a block.
      norm_layer: makes the normalisation of a number of channels.
      dropout: the probability of dropout.
    """

    def __init__(
        self,
        inverted_residual_setting: Sequence[InvertedResidualConfig],
        last_channel: int,
        num_classes: int = 1000,
        block: Callable[..., Any] | None = None,
        norm_layer: Callable[..., Any] | None = None,
        dropout: float = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if not inverted_residual_setting:
            raise ValueError("The inverted_residual_setting should not be empty")
        block, norm = block or InvertedResidual, norm_layer or partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)
        first, last = inverted_residual_setting[0].input_channels, inverted_residual_setting[-1].out_channels
        features = [Conv2dNormActivation(3, first, kernel_size=3, stride=2, norm_layer=norm, activation_layer=nn.Hardswish)]
        features += [block(sizes, norm) for sizes in inverted_residual_setting]
        features.append(Conv2dNormActivation(last, 6 * last, kernel_size=1, norm_layer=norm, activation_layer=nn.Hardswish))
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(6 * last, last_channel),
            nn.Hardswish(inplace=True),
            nn.Dropout(p=dropout, inplace=True),
            nn.Linear(last_channel, num_classes),
        )
        for_relu(self, linear="normal")

    def forward(self, x: Any) -> Any:
        """(N, num_classes) of images (N, 3, H, W)."""
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


#: Channels in, kernel, channels between, channels out, weighting, activation, stride; "t" for the tail's channels and dilation.
_LARGE = """
16 3 16 16 - RE 1 | 16 3 64 24 - RE 2 | 24 3 72 24 - RE 1 | 24 5 72 40 SE RE 2 | 40 5 120 40 SE RE 1 | 40 5 120 40 SE RE 1
40 3 240 80 - HS 2 | 80 3 200 80 - HS 1 | 80 3 184 80 - HS 1 | 80 3 184 80 - HS 1 | 80 3 480 112 SE HS 1 | 112 3 672 112 SE HS 1
112 5 672 t160 SE HS 2 | t160 5 t960 t160 SE HS 1 | t160 5 t960 t160 SE HS 1
"""
_SMALL = """
16 3 16 16 SE RE 2 | 16 3 72 24 - RE 2 | 24 3 88 24 - RE 1 | 24 5 96 40 SE HS 2 | 40 5 240 40 SE HS 1 | 40 5 240 40 SE HS 1
40 5 120 48 SE HS 1 | 48 5 144 48 SE HS 1 | 48 5 288 t96 SE HS 2 | t96 5 t576 t96 SE HS 1 | t96 5 t576 t96 SE HS 1
"""


def _mobilenet(
    plan: str, last: int, width_mult: float = 1.0, reduced_tail: bool = False, dilated: bool = False, **kwargs: Any
) -> MobileNetV3:
    divisor = 2 if reduced_tail else 1

    def channels(text: str) -> int:
        return int(text[1:]) // divisor if text.startswith("t") else int(text)

    setting = []
    for row in (text.split() for line in plan.strip().splitlines() for text in line.split("|")):
        inside, between, out = (channels(row[i]) for i in (0, 2, 3))
        dilation = 2 if dilated and row[3].startswith("t") else 1
        setting.append(InvertedResidualConfig(inside, int(row[1]), between, out, row[4] == "SE", row[5], int(row[6]), dilation, width_mult))
    return MobileNetV3(setting, InvertedResidualConfig.adjust_channels(last // divisor, width_mult), **kwargs)


@model(MobileNet_V3_Large_Weights)
def mobilenet_v3_large(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> MobileNetV3:
    """The large MobileNet V3, with trained ``weights`` if they are named; other arguments are :class:`MobileNetV3`'s."""
    return _mobilenet(_LARGE, 1280, **kwargs)


@model(MobileNet_V3_Small_Weights)
def mobilenet_v3_small(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> MobileNetV3:
    """The small MobileNet V3, with trained ``weights`` if they are named; other arguments are :class:`MobileNetV3`'s."""
    return _mobilenet(_SMALL, 1024, **kwargs)
