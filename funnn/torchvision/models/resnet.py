"""ResNet, of "Deep residual learning for image recognition", ResNeXt and wide ResNet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import funnn.torch as torch
from funnn.torch import nn
from funnn.torchvision.models._api import model, weights_of
from funnn.torchvision.models._initialisation import for_relu

ResNet18_Weights = weights_of("ResNet18_Weights", __name__)
ResNet34_Weights = weights_of("ResNet34_Weights", __name__)
ResNet50_Weights = weights_of("ResNet50_Weights", __name__)
ResNet101_Weights = weights_of("ResNet101_Weights", __name__)
ResNet152_Weights = weights_of("ResNet152_Weights", __name__)
ResNeXt50_32X4D_Weights = weights_of("ResNeXt50_32X4D_Weights", __name__)
ResNeXt101_32X8D_Weights = weights_of("ResNeXt101_32X8D_Weights", __name__)
ResNeXt101_64X4D_Weights = weights_of("ResNeXt101_64X4D_Weights", __name__)
Wide_ResNet50_2_Weights = weights_of("Wide_ResNet50_2_Weights", __name__)
Wide_ResNet101_2_Weights = weights_of("Wide_ResNet101_2_Weights", __name__)


def conv3x3(in_planes: int, out_planes: int, stride: int = 1, groups: int = 1, dilation: int = 1) -> Any:
    """A 3x3 convolution that keeps the size, but for its stride."""
    return nn.Conv2d(in_planes, out_planes, 3, stride, padding=dilation, groups=groups, bias=False, dilation=dilation)


def conv1x1(in_planes: int, out_planes: int, stride: int = 1) -> Any:
    """A 1x1 convolution."""
    return nn.Conv2d(in_planes, out_planes, kernel_size=1, stride=stride, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside the identity, or beside ``downsample``."""

    expansion = 1

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: Any = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__()
        norm = norm_layer or nn.BatchNorm2d
        if groups != 1 or base_width != 64:
            raise ValueError("BasicBlock only supports groups=1 and base_width=64")
        if dilation > 1:
            raise NotImplementedError("Dilation > 1 not supported in BasicBlock")
        self.conv1 = conv3x3(inplanes, planes, stride)
        self.bn1 = norm(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = norm(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Any) -> Any:
        """Features of features."""
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1 ones, beside the identity, or beside ``downsample``; the stride is that of the 3x3 one."""

    expansion = 4

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: Any = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__()
        norm = norm_layer or nn.BatchNorm2d
        width = int(planes * (base_width / 64.0)) * groups
        self.conv1 = conv1x1(inplanes, width)
        self.bn1 = norm(width)
        self.conv2 = conv3x3(width, width, stride, groups, dilation)
        self.bn2 = norm(width)
        self.conv3 = conv1x1(width, planes * self.expansion)
        self.bn3 = norm(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Any) -> Any:
        """Features of features."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class ResNet(nn.Module):
    """Four stages of residual blocks.

    Args:
      block: :class:`BasicBlock` or :class:`Bottleneck`.
      layers: how many blocks each stage has.
      num_classes: how many numbers come out.
      zero_init_residual: whether the last norm of each block begins with zeros.
      groups: groups of the 3x3 convolutions.
      width_per_group: their channels.
      replace_stride_with_dilation: for each of the last three stages, whether it keeps the size and is dilated instead.
      norm_layer: makes the normalisation of a number of channels.

    Raises:
      ValueError: ``replace_stride_with_dilation`` has another length.
    """

    def __init__(
        self,
        block: Any,
        layers: Sequence[int],
        num_classes: int = 1000,
        zero_init_residual: bool = False,
        groups: int = 1,
        width_per_group: int = 64,
        replace_stride_with_dilation: Sequence[bool] | None = None,
        norm_layer: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__()
        self._norm_layer = norm_layer or nn.BatchNorm2d
        self.inplanes, self.dilation = 64, 1
        dilated = [False] * 3 if replace_stride_with_dilation is None else replace_stride_with_dilation
        if len(dilated) != 3:
            raise ValueError(f"replace_stride_with_dilation should be None or a 3-element tuple, got {replace_stride_with_dilation}")
        self.groups, self.base_width = groups, width_per_group
        self.conv1 = nn.Conv2d(3, self.inplanes, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = self._norm_layer(self.inplanes)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._make_layer(block, 64, layers[0])
        self.layer2 = self._make_layer(block, 128, layers[1], 2, dilated[0])
        self.layer3 = self._make_layer(block, 256, layers[2], 2, dilated[1])
        self.layer4 = self._make_layer(block, 512, layers[3], 2, dilated[2])
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512 * block.expansion, num_classes)
        for_relu(self)
        if zero_init_residual:
            for module in self.modules():
                last = getattr(module, "bn3", None) if isinstance(module, Bottleneck) else getattr(module, "bn2", None)
                if isinstance(module, (BasicBlock, Bottleneck)) and last is not None and last.weight is not None:
                    nn.init.constant_(last.weight, 0)

    def _make_layer(self, block: Any, planes: int, blocks: int, stride: int = 1, dilate: bool = False) -> Any:
        norm, downsample, before = self._norm_layer, None, self.dilation
        if dilate:
            self.dilation *= stride
            stride = 1
        if stride != 1 or self.inplanes != planes * block.expansion:
            downsample = nn.Sequential(conv1x1(self.inplanes, planes * block.expansion, stride), norm(planes * block.expansion))
        layers = [block(self.inplanes, planes, stride, downsample, self.groups, self.base_width, before, norm)]
        self.inplanes = planes * block.expansion
        for _ in range(1, blocks):
            layers.append(
                block(self.inplanes, planes, groups=self.groups, base_width=self.base_width, dilation=self.dilation, norm_layer=norm)
            )
        return nn.Sequential(*layers)

    def forward(self, x: Any) -> Any:
        """(N, num_classes) of images (N, 3, H, W)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


@model(ResNet18_Weights)
def resnet18(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNet18, with trained ``weights`` if they are named; other arguments are :class:`ResNet`'s."""
    return ResNet(BasicBlock, [2, 2, 2, 2], **kwargs)


@model(ResNet34_Weights)
def resnet34(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNet34, with trained ``weights`` if they are named; other arguments are :class:`ResNet`'s."""
    return ResNet(BasicBlock, [3, 4, 6, 3], **kwargs)


@model(ResNet50_Weights)
def resnet50(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNet50, with trained ``weights`` if they are named; other arguments are :class:`ResNet`'s."""
    return ResNet(Bottleneck, [3, 4, 6, 3], **kwargs)


@model(ResNet101_Weights)
def resnet101(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNet101, with trained ``weights`` if they are named; other arguments are :class:`ResNet`'s."""
    return ResNet(Bottleneck, [3, 4, 23, 3], **kwargs)


@model(ResNet152_Weights)
def resnet152(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNet152, with trained ``weights`` if they are named; other arguments are :class:`ResNet`'s."""
    return ResNet(Bottleneck, [3, 8, 36, 3], **kwargs)


@model(ResNeXt50_32X4D_Weights)
def resnext50_32x4d(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNeXt50 32X4D, with trained ``weights`` if they are named; other arguments are :class:`ResNet`'s."""
    return ResNet(Bottleneck, [3, 4, 6, 3], **{"groups": 32, "width_per_group": 4, **kwargs})


@model(ResNeXt101_32X8D_Weights)
def resnext101_32x8d(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNeXt101 32X8D, with trained ``weights`` if they are named; other arguments are :class:`ResNet`'s."""
    return ResNet(Bottleneck, [3, 4, 23, 3], **{"groups": 32, "width_per_group": 8, **kwargs})


@model(ResNeXt101_64X4D_Weights)
def resnext101_64x4d(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNeXt101 64X4D, with trained ``weights`` if they are named; other arguments are :class:`ResNet`'s."""
    return ResNet(Bottleneck, [3, 4, 23, 3], **{"groups": 64, "width_per_group": 4, **kwargs})


@model(Wide_ResNet50_2_Weights)
def wide_resnet50_2(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """Wide ResNet50 2, with trained ``weights`` if they are named; other arguments are :class:`ResNet`'s."""
    return ResNet(Bottleneck, [3, 4, 6, 3], **{"width_per_group": 128, **kwargs})


@model(Wide_ResNet101_2_Weights)
def wide_resnet101_2(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """Wide ResNet101 2, with trained ``weights`` if they are named; other arguments are :class:`ResNet`'s."""
    return ResNet(Bottleneck, [3, 4, 23, 3], **{"width_per_group": 128, **kwargs})
