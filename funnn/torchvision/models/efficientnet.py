"""EfficientNet, of "EfficientNet: rethinking model scaling for convolutional neural networks", and EfficientNet V2."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import funnn.torch as torch
from funnn.torch import nn
from funnn.torchvision.models._api import model, weights_of
from funnn.torchvision.models._initialisation import divisible, for_relu
from funnn.torchvision.ops.misc import Conv2dNormActivation, SqueezeExcitation, StochasticDepth

EfficientNet_B0_Weights = weights_of("EfficientNet_B0_Weights", __name__)
EfficientNet_B1_Weights = weights_of("EfficientNet_B1_Weights", __name__)
EfficientNet_B2_Weights = weights_of("EfficientNet_B2_Weights", __name__)
EfficientNet_B3_Weights = weights_of("EfficientNet_B3_Weights", __name__)
EfficientNet_B4_Weights = weights_of("EfficientNet_B4_Weights", __name__)
EfficientNet_B5_Weights = weights_of("EfficientNet_B5_Weights", __name__)
EfficientNet_B6_Weights = weights_of("EfficientNet_B6_Weights", __name__)
EfficientNet_B7_Weights = weights_of("EfficientNet_B7_Weights", __name__)
EfficientNet_V2_S_Weights = weights_of("EfficientNet_V2_S_Weights", __name__)
EfficientNet_V2_M_Weights = weights_of("EfficientNet_V2_M_Weights", __name__)
EfficientNet_V2_L_Weights = weights_of("EfficientNet_V2_L_Weights", __name__)


class _MBConvConfig:
    """The sizes of a stage."""

    def __init__(
        self, expand_ratio: float, kernel: int, stride: int, input_channels: int, out_channels: int, num_layers: int, block: Any
    ) -> None:
        self.expand_ratio, self.kernel, self.stride = expand_ratio, kernel, stride
        self.input_channels, self.out_channels, self.num_layers, self.block = input_channels, out_channels, num_layers, block

    @staticmethod
    def adjust_channels(channels: int, width_mult: float, min_value: int | None = None) -> int:
        """The channels times the factor, as a multiple of 8."""
        return divisible(channels * width_mult, 8)


class MBConvConfig(_MBConvConfig):
    """The sizes of a stage of :class:`MBConv` blocks, with factors for channels and for the number of blocks."""

    def __init__(
        self,
        expand_ratio: float,
        kernel: int,
        stride: int,
        input_channels: int,
        out_channels: int,
        num_layers: int,
        width_mult: float = 1.0,
        depth_mult: float = 1.0,
        block: Any = None,
    ) -> None:
        inside, out = self.adjust_channels(input_channels, width_mult), self.adjust_channels(out_channels, width_mult)
        super().__init__(expand_ratio, kernel, stride, inside, out, math.ceil(num_layers * depth_mult), block or MBConv)


class FusedMBConvConfig(_MBConvConfig):
    """The sizes of a stage of :class:`FusedMBConv` blocks."""

    def __init__(
        self,
        expand_ratio: float,
        kernel: int,
        stride: int,
        input_channels: int,
        out_channels: int,
        num_layers: int,
        block: Any = None,
    ) -> None:
        super().__init__(expand_ratio, kernel, stride, input_channels, out_channels, num_layers, block or FusedMBConv)


class _Block(nn.Module):
    """Layers beside the identity where shapes allow."""

    def _finish(self, cnf: _MBConvConfig, layers: list[Any], stochastic_depth_prob: float) -> None:
        self.use_res_connect = cnf.stride == 1 and cnf.input_channels == cnf.out_channels
        self.block = nn.Sequential(*layers)
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")
        self.out_channels = cnf.out_channels

    def forward(self, input: Any) -> Any:
        """Features of features."""
        result = self.block(input)
        return self.stochastic_depth(result) + input if self.use_res_connect else result


class MBConv(_Block):
    """A 1x1 convolution to more channels, one in each channel, a weighting of channels, and a 1x1 one to few."""

    def __init__(
        self,
        cnf: Any,
        stochastic_depth_prob: float,
        norm_layer: Callable[..., Any],
        se_layer: Callable[..., Any] = SqueezeExcitation,
    ) -> None:
        super().__init__()
        if not 1 <= cnf.stride <= 2:
            raise ValueError("illegal stride value")
        block = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.SiLU)
        wide = cnf.adjust_channels(cnf.input_channels, cnf.expand_ratio)
        layers: list[Any] = [block(cnf.input_channels, wide, kernel_size=1)] if wide != cnf.input_channels else []
        layers.append(block(wide, wide, kernel_size=cnf.kernel, stride=cnf.stride, groups=wide))
        layers.append(se_layer(wide, max(1, cnf.input_channels // 4), activation=partial(nn.SiLU, inplace=True)))
        layers.append(Conv2dNormActivation(wide, cnf.out_channels, kernel_size=1, norm_layer=norm_layer, activation_layer=None))
        self._finish(cnf, layers, stochastic_depth_prob)


class FusedMBConv(_Block):
    """A convolution to more channels and a 1x1 one to few, or one convolution."""

    def __init__(self, cnf: Any, stochastic_depth_prob: float, norm_layer: Callable[..., Any]) -> None:
        super().__init__()
        if not 1 <= cnf.stride <= 2:
            raise ValueError("illegal stride value")
        block = partial(Conv2dNormActivation, kernel_size=cnf.kernel, stride=cnf.stride, norm_layer=norm_layer, activation_layer=nn.SiLU)
        wide = cnf.adjust_channels(cnf.input_channels, cnf.expand_ratio)
        if wide == cnf.input_channels:
            layers = [block(cnf.input_channels, cnf.out_channels)]
        else:
            narrow = Conv2dNormActivation(wide, cnf.out_channels, kernel_size=1, norm_layer=norm_layer, activation_layer=None)
            layers = [block(cnf.input_channels, wide), narrow]
        self._finish(cnf, layers, stochastic_depth_prob)


class EfficientNet(nn.Module):
    """Stages of :class:`MBConv` and :class:`FusedMBConv` blocks.

    Args:
      inverted_residual_setting: the sizes of the stages.
      dropout: the probability of dropout.
      stochastic_depth_prob: the probability with which the last block is left out; earlier ones less.
      num_classes: how many numbers come out.
      norm_layer: makes the normalisation of a number of channels.
      last_channel: channels of the last convolution; by default four times those of the last stage.

    Raises:
      ValueError: there are no stages.
      TypeError: they are of another type.
    """

    def __init__(
        self,
        inverted_residual_setting: Sequence[Any],
        dropout: float,
        stochastic_depth_prob: float = 0.2,
        num_classes: int = 1000,
        norm_layer: Callable[..., Any] | None = None,
        last_channel: int | None = None,
    ) -> None:
        super().__init__()
        if not inverted_residual_setting:
            raise ValueError("The inverted_residual_setting should not be empty")
        if not all(isinstance(stage, _MBConvConfig) for stage in inverted_residual_setting):
            raise TypeError("The inverted_residual_setting should be List[MBConvConfig]")
        norm = norm_layer or nn.BatchNorm2d
        block = partial(Conv2dNormActivation, norm_layer=norm, activation_layer=nn.SiLU)
        features: list[Any] = [block(3, inverted_residual_setting[0].input_channels, kernel_size=3, stride=2)]
        count, total = 0, sum(stage.num_layers for stage in inverted_residual_setting)
        for sizes in inverted_residual_setting:
            stage: list[Any] = []
            for _ in range(sizes.num_layers):
                one = copy.copy(sizes)
                if stage:
                    one.input_channels, one.stride = one.out_channels, 1
                stage.append(one.block(one, stochastic_depth_prob * count / total, norm))
                count += 1
            features.append(nn.Sequential(*stage))
        channels = inverted_residual_setting[-1].out_channels
        last = last_channel if last_channel is not None else 4 * channels
        features.append(block(channels, last, kernel_size=1))
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(p=dropout, inplace=True), nn.Linear(last, num_classes))
        for_relu(self, linear="uniform")

    def forward(self, x: Any) -> Any:
        """(N, num_classes) of images (N, 3, H, W)."""
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


#: Expansion, kernel, stride, channels in and out, and blocks of each stage; F for fused blocks.
_FIRST = "1 3 1 32 16 1 | 6 3 2 16 24 2 | 6 5 2 24 40 2 | 6 3 2 40 80 3 | 6 5 1 80 112 3 | 6 5 2 112 192 4 | 6 3 1 192 320 1"
_SECOND = {
    "s": "F 1 3 1 24 24 2 | F 4 3 2 24 48 4 | F 4 3 2 48 64 4 | 4 3 2 64 128 6 | 6 3 1 128 160 9 | 6 3 2 160 256 15",
    "m": "F 1 3 1 24 24 3 | F 4 3 2 24 48 5 | F 4 3 2 48 80 5 | 4 3 2 80 160 7 | 6 3 1 160 176 14 | 6 3 2 176 304 18 | 6 3 1 304 512 5",
    "l": "F 1 3 1 32 32 4 | F 4 3 2 32 64 7 | F 4 3 2 64 96 7 | 4 3 2 96 192 10 | 6 3 1 192 224 19 | 6 3 2 224 384 25 | 6 3 1 384 640 7",
}


def _first(dropout: float, width: float, depth: float, wide_norm: bool, **kwargs: Any) -> EfficientNet:
    rows = [tuple(int(number) for number in text.split()) for text in _FIRST.split("|")]
    setting = [MBConvConfig(a, b, c, d, e, f, width, depth) for a, b, c, d, e, f in rows]
    if wide_norm:
        kwargs = {"norm_layer": partial(nn.BatchNorm2d, eps=0.001, momentum=0.01), **kwargs}
    return EfficientNet(setting, **{"dropout": dropout, **kwargs})


def _second(size: str, dropout: float, **kwargs: Any) -> EfficientNet:
    setting: list[Any] = []
    for text in _SECOND[size].split("|"):
        kind, numbers = (FusedMBConvConfig, text.split()[1:]) if text.split()[0] == "F" else (MBConvConfig, text.split())
        setting.append(kind(*(int(number) for number in numbers)))
    return EfficientNet(setting, **{"dropout": dropout, "norm_layer": partial(nn.BatchNorm2d, eps=1e-03), "last_channel": 1280, **kwargs})


@model(EfficientNet_B0_Weights)
def efficientnet_b0(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNet B0, with trained ``weights`` if they are named; other arguments are :class:`EfficientNet`'s."""
    return _first(0.2, 1.0, 1.0, False, **kwargs)


@model(EfficientNet_B1_Weights)
def efficientnet_b1(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNet B1, with trained ``weights`` if they are named; other arguments are :class:`EfficientNet`'s."""
    return _first(0.2, 1.0, 1.1, False, **kwargs)


@model(EfficientNet_B2_Weights)
def efficientnet_b2(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNet B2, with trained ``weights`` if they are named; other arguments are :class:`EfficientNet`'s."""
    return _first(0.3, 1.1, 1.2, False, **kwargs)


@model(EfficientNet_B3_Weights)
def efficientnet_b3(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNet B3, with trained ``weights`` if they are named; other arguments are :class:`EfficientNet`'s."""
    return _first(0.3, 1.2, 1.4, False, **kwargs)


@model(EfficientNet_B4_Weights)
def efficientnet_b4(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNet B4, with trained ``weights`` if they are named; other arguments are :class:`EfficientNet`'s."""
    return _first(0.4, 1.4, 1.8, False, **kwargs)


@model(EfficientNet_B5_Weights)
def efficientnet_b5(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNet B5, with trained ``weights`` if they are named; other arguments are :class:`EfficientNet`'s."""
    return _first(0.4, 1.6, 2.2, True, **kwargs)


@model(EfficientNet_B6_Weights)
def efficientnet_b6(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNet B6, with trained ``weights`` if they are named; other arguments are :class:`EfficientNet`'s."""
    return _first(0.5, 1.8, 2.6, True, **kwargs)


@model(EfficientNet_B7_Weights)
def efficientnet_b7(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNet B7, with trained ``weights`` if they are named; other arguments are :class:`EfficientNet`'s."""
    return _first(0.5, 2.0, 3.1, True, **kwargs)


@model(EfficientNet_V2_S_Weights)
def efficientnet_v2_s(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNet V2 S, with trained ``weights`` if they are named; other arguments are :class:`EfficientNet`'s."""
    return _second("s", 0.2, **kwargs)


@model(EfficientNet_V2_M_Weights)
def efficientnet_v2_m(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNet V2 M, with trained ``weights`` if they are named; other arguments are :class:`EfficientNet`'s."""
    return _second("m", 0.3, **kwargs)


@model(EfficientNet_V2_L_Weights)
def efficientnet_v2_l(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNet V2 L, with trained ``weights`` if they are named; other arguments are :class:`EfficientNet`'s."""
    return _second("l", 0.4, **kwargs)
