"""ConvNeXt, of "A ConvNet for the 2020s"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import funnn.torch as torch
from funnn.torch import nn
from funnn.torch.nn import functional as F
from funnn.torchvision.models._api import model, weights_of
from funnn.torchvision.ops.misc import Conv2dNormActivation, Permute, StochasticDepth

ConvNeXt_Tiny_Weights = weights_of("ConvNeXt_Tiny_Weights", __name__)
ConvNeXt_Small_Weights = weights_of("ConvNeXt_Small_Weights", __name__)
ConvNeXt_Base_Weights = weights_of("ConvNeXt_Base_Weights", __name__)
ConvNeXt_Large_Weights = weights_of("ConvNeXt_Large_Weights", __name__)


class LayerNorm2d(nn.LayerNorm):
    """A LayerNorm over the channels of (N, C, H, W)."""

    def forward(self, x: Any) -> Any:
        """The normalised features."""
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class CNBlock(nn.Module):
    """A 7x7 convolution in each channel and two linear layers, scaled, beside the identity."""

    def __init__(self, dim: int, layer_scale: float, stochastic_depth_prob: float, norm_layer: Callable[..., Any] | None = None) -> None:
        super().__init__()
        norm = norm_layer or partial(nn.LayerNorm, eps=1e-6)
        self.block = nn.Sequential(
            nn.Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim, bias=True),
            Permute([0, 2, 3, 1]),
            norm(dim),
            nn.Linear(in_features=dim, out_features=4 * dim, bias=True),
            nn.GELU(),
            nn.Linear(in_features=4 * dim, out_features=dim, bias=True),
            Permute([0, 3, 1, 2]),
        )
        self.layer_scale = nn.Parameter(torch.ones(dim, 1, 1) * layer_scale)
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")

    def forward(self, input: Any) -> Any:
        """Features of features."""
        return self.stochastic_depth(self.layer_scale * self.block(input)) + input


class CNBlockConfig:
    """Channels of a stage, channels of the next one (None for the last), and blocks."""

    def __init__(self, input_channels: int, out_channels: int | None, num_layers: int) -> None:
        self.input_channels, self.out_channels, self.num_layers = input_channels, out_channels, num_layers

    def __repr__(self) -> str:
        sizes = f"input_channels={self.input_channels}, out_channels={self.out_channels}, num_layers={self.num_layers}"
        return f"{type(self).__module__.replace('funnn.', '')}.{type(self).__name__}({sizes})"


class ConvNeXt(nn.Module):
    """Stages of :class:`CNBlock`.

    Args:
      block_setting: the sizes of the stages.
      stochastic_depth_prob: the probability with which the last block is left out; earlier ones less.
      layer_scale: the factor with which blocks begin.
      num_classes: how many numbers come out.
      block: makes a block.
      norm_layer: makes the normalisation of a number of channels.

    Raises:
      ValueError: there are no stages.
      TypeError: they are of another type.
    """

    def __init__(
        self,
        block_setting: Sequence[CNBlockConfig],
        stochastic_depth_prob: float = 0.0,
        layer_scale: float = 1e-6,
        num_classes: int = 1000,
        block: Callable[..., Any] | None = None,
        norm_layer: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if not block_setting:
            raise ValueError("The block_setting should not be empty")
        if not all(isinstance(stage, CNBlockConfig) for stage in block_setting):
            raise TypeError("The block_setting should be List[CNBlockConfig]")
        block, norm = block or CNBlock, norm_layer or partial(LayerNorm2d, eps=1e-6)
        first = block_setting[0].input_channels
        layers: list[Any] = [
            Conv2dNormActivation(3, first, kernel_size=4, stride=4, padding=0, norm_layer=norm, activation_layer=None, bias=True)
        ]
        count, total = 0, sum(stage.num_layers for stage in block_setting)
        for sizes in block_setting:
            stage = []
            for _ in range(sizes.num_layers):
                stage.append(block(sizes.input_channels, layer_scale, stochastic_depth_prob * count / (total - 1.0)))
                count += 1
            layers.append(nn.Sequential(*stage))
            if sizes.out_channels is not None:
                smaller = nn.Conv2d(sizes.input_channels, sizes.out_channels, kernel_size=2, stride=2)
                layers.append(nn.Sequential(norm(sizes.input_channels), smaller))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        last = block_setting[-1].out_channels or block_setting[-1].input_channels
        self.classifier = nn.Sequential(norm(last), nn.Flatten(1), nn.Linear(last, num_classes))
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Any) -> Any:
        """(N, num_classes) of images (N, 3, H, W)."""
        return self.classifier(self.avgpool(self.features(x)))


def _convnext(channels: Sequence[int], blocks: Sequence[int], depth: float, **kwargs: Any) -> ConvNeXt:
    setting = [CNBlockConfig(*sizes) for sizes in zip(channels, [*channels[1:], None], blocks, strict=True)]
    return ConvNeXt(setting, **{"stochastic_depth_prob": depth, **kwargs})


@model(ConvNeXt_Tiny_Weights)
def convnext_tiny(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ConvNeXt:
    """ConvNeXt Tiny, with trained ``weights`` if they are named; other arguments are :class:`ConvNeXt`'s."""
    return _convnext((96, 192, 384, 768), (3, 3, 9, 3), 0.1, **kwargs)


@model(ConvNeXt_Small_Weights)
def convnext_small(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ConvNeXt:
    """ConvNeXt Small, with trained ``weights`` if they are named; other arguments are :class:`ConvNeXt`'s."""
    return _convnext((96, 192, 384, 768), (3, 3, 27, 3), 0.4, **kwargs)


@model(ConvNeXt_Base_Weights)
def convnext_base(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ConvNeXt:
    """ConvNeXt Base, with trained ``weights`` if they are named; other arguments are :class:`ConvNeXt`'s."""
    return _convnext((128, 256, 512, 1024), (3, 3, 27, 3), 0.5, **kwargs)


@model(ConvNeXt_Large_Weights)
def convnext_large(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ConvNeXt:
    """ConvNeXt Large, with trained ``weights`` if they are named; other arguments are :class:`ConvNeXt`'s."""
    return _convnext((192, 384, 768, 1536), (3, 3, 27, 3), 0.5, **kwargs)
