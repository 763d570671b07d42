"""What makes classes of pixels of features."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import funnn.torch as torch
from funnn.torch import nn
from funnn.torch.nn import functional as F


def _conv(channels: int, out: int, kernel: int, **kwargs: Any) -> list[Any]:
    return [nn.Conv2d(channels, out, kernel, bias=False, **kwargs), nn.BatchNorm2d(out), nn.ReLU()]


class SegmentationModel(nn.Module):
    """Features, classes of them, and the result in the images' size.

    Args:
      backbone: gives features under the names "out" and "aux".
      classifier: makes classes of "out".
      aux_classifier: makes classes of "aux", which come under that name; None for none.
    """

    def __init__(self, backbone: Any, classifier: Any, aux_classifier: Any = None) -> None:
        super().__init__()
        self.backbone, self.classifier, self.aux_classifier = backbone, classifier, aux_classifier

    def forward(self, x: Any) -> Any:
        """ "out" and perhaps "aux": (N, classes, H, W) of images (N, 3, H, W)."""
        features, found = self.backbone(x), OrderedDict()
        for name, head in (("out", self.classifier), ("aux", self.aux_classifier)):
            if head is not None:
                found[name] = F.interpolate(head(features[name]), size=x.shape[-2:], mode="bilinear", align_corners=False)
        return found


class FCN(SegmentationModel):
    """Of "Fully convolutional networks for semantic segmentation"."""


class DeepLabV3(SegmentationModel):
    """Of "Rethinking atrous convolution for semantic image segmentation"."""


class FCNHead(nn.Sequential):
    """A 3x3 convolution to a quarter of the channels, and a 1x1 one to classes."""

    def __init__(self, in_channels: int, channels: int) -> None:
        narrow = in_channels // 4
        super().__init__(*_conv(in_channels, narrow, 3, padding=1), nn.Dropout(0.1), nn.Conv2d(narrow, channels, 1))


class ASPPConv(nn.Sequential):
    """A 3x3 convolution of a dilation."""

    def __init__(self, in_channels: int, out_channels: int, dilation: int) -> None:
        super().__init__(*_conv(in_channels, out_channels, 3, padding=dilation, dilation=dilation))


class ASPPPooling(nn.Sequential):
    """The mean of all pixels, through a 1x1 convolution, at each pixel."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), *_conv(in_channels, out_channels, 1))

    def forward(self, x: Any) -> Any:
        """Features of features."""
        return F.interpolate(super().forward(x), size=x.shape[-2:], mode="bilinear", align_corners=False)


class ASPP(nn.Module):
    """Convolutions of several dilations and the mean beside each other."""

    def __init__(self, in_channels: int, atrous_rates: Sequence[int], out_channels: int = 256) -> None:
        super().__init__()
        chains: list[Any] = [nn.Sequential(*_conv(in_channels, out_channels, 1))]
        chains += [ASPPConv(in_channels, out_channels, rate) for rate in atrous_rates]
        chains.append(ASPPPooling(in_channels, out_channels))
        self.convs = nn.ModuleList(chains)
        self.project = nn.Sequential(*_conv(len(chains) * out_channels, out_channels, 1), nn.Dropout(0.5))

    def forward(self, x: Any) -> Any:
        """Features of features."""
        return self.project(torch.cat([chain(x) for chain in self.convs], dim=1))


class DeepLabHead(nn.Sequential):
    """:class:`ASPP`, a 3x3 convolution and a 1x1 one to classes."""

    def __init__(self, in_channels: int, num_classes: int, atrous_rates: Sequence[int] = (12, 24, 36)) -> None:
        super().__init__(ASPP(in_channels, atrous_rates), *_conv(256, 256, 3, padding=1), nn.Conv2d(256, num_classes, 1))


class LRASPPHead(nn.Module):
    """Classes of fine features, and of coarse ones weighted by their mean."""

    def __init__(self, low_channels: int, high_channels: int, num_classes: int, inter_channels: int) -> None:
        super().__init__()
        self.cbr = nn.Sequential(
            nn.Conv2d(high_channels, inter_channels, 1, bias=False), nn.BatchNorm2d(inter_channels), nn.ReLU(inplace=True)
        )
        self.scale = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(high_channels, inter_channels, 1, bias=False), nn.Sigmoid())
        self.low_classifier = nn.Conv2d(low_channels, num_classes, 1)
        self.high_classifier = nn.Conv2d(inter_channels, num_classes, 1)

    def forward(self, input: Any) -> Any:
        """Classes of the features "low" and "high"."""
        low, high = input["low"], input["high"]
        x = self.cbr(high) * self.scale(high)
        x = F.interpolate(x, size=low.shape[-2:], mode="bilinear", align_corners=False)
        return self.low_classifier(low) + self.high_classifier(x)


class LRASPP(nn.Module):
    """Of "Searching for MobileNetV3".

    Args:
      backbone: gives features under the names "low" and "high".
      low_channels: those of "low".
      high_channels: those of "high".
      num_classes: how many classes there are.
      inter_channels: channels between.
    """

    def __init__(self, backbone: Any, low_channels: int, high_channels: int, num_classes: int, inter_channels: int = 128) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = LRASPPHead(low_channels, high_channels, num_classes, inter_channels)

    def forward(self, input: Any) -> Any:
        """ "out": (N, classes, H, W) of images (N, 3, H, W)."""
        out = self.classifier(self.backbone(input))
        return OrderedDict(out=F.interpolate(out, size=input.shape[-2:], mode="bilinear", align_corners=False))
