"""SqueezeNet, of "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters"."""

from __future__ import annotations

from typing import Any

import funnn.torch as torch
from funnn.torch import nn
from funnn.torchvision.models._api import model, weights_of

SqueezeNet1_0_Weights = weights_of("SqueezeNet1_0_Weights", __name__)
SqueezeNet1_1_Weights = weights_of("SqueezeNet1_1_Weights", __name__)

#: Channels of the first convolution and its size; then of the fires (narrow, wide); a slash is a pooling.
_PLANS: dict[str, tuple[int, int, str]] = {
    "1_0": (96, 7, "/ 16,64 16,64 32,128 / 32,128 48,192 48,192 64,256 / 64,256"),
    "1_1": (64, 3, "/ 16,64 16,64 / 32,128 32,128 / 48,192 48,192 64,256 64,256"),
}


class Fire(nn.Module):
    """A 1x1 convolution to few channels, and from them a 1x1 and a 3x3 one beside each other."""

    def __init__(self, inplanes: int, squeeze_planes: int, expand1x1_planes: int, expand3x3_planes: int) -> None:
        super().__init__()
        self.inplanes = inplanes
        self.squeeze = nn.Conv2d(inplanes, squeeze_planes, kernel_size=1)
        self.squeeze_activation = nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(squeeze_planes, expand1x1_planes, kernel_size=1)
        self.expand1x1_activation = nn.ReLU(inplace=True)
        self.expand3x3 = nn.Conv2d(squeeze_planes, expand3x3_planes, kernel_size=3, padding=1)
        self.expand3x3_activation = nn.ReLU(inplace=True)

    def forward(self, x: Any) -> Any:
        """Features of features."""
        x = self.squeeze_activation(self.squeeze(x))
        return torch.cat([self.expand1x1_activation(self.expand1x1(x)), self.expand3x3_activation(self.expand3x3(x))], 1)


class SqueezeNet(nn.Module):
    """A convolution, eight :class:`Fire` modules, and a 1x1 convolution to the classes.

    Args:
      version: "1_0" or "1_1".
      num_classes: how many numbers come out.
      dropout: the probability of dropout.

    Raises:
      ValueError: another version.
    """

    def __init__(self, version: str = "1_0", num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.num_classes = num_classes
        if version not in _PLANS:
            raise ValueError(f"Unsupported SqueezeNet version {version}: 1_0 or 1_1 expected")
        channels, size, plan = _PLANS[version]
        layers: list[Any] = [nn.Conv2d(3, channels, kernel_size=size, stride=2), nn.ReLU(inplace=True)]
        for item in plan.split():
            if item == "/":
                layers.append(nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True))
                continue
            narrow, wide = (int(number) for number in item.split(","))
            layers.append(Fire(channels, narrow, wide, wide))
            channels = 2 * wide
        self.features = nn.Sequential(*layers)
        last = nn.Conv2d(512, num_classes, kernel_size=1)
        self.classifier = nn.Sequential(nn.Dropout(p=dropout), last, nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d((1, 1)))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                if module is last:
                    nn.init.normal_(module.weight, mean=0.0, std=0.01)
                else:
                    nn.init.kaiming_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x: Any) -> Any:
        """(N, num_classes) of images (N, 3, H, W)."""
        return torch.flatten(self.classifier(self.features(x)), 1)


@model(SqueezeNet1_0_Weights)
def squeezenet1_0(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> SqueezeNet:
    """SqueezeNet 1.0, with trained ``weights`` if they are named; other arguments are :class:`SqueezeNet`'s."""
    return SqueezeNet("1_0", **kwargs)


@model(SqueezeNet1_1_Weights)
def squeezenet1_1(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> SqueezeNet:
    """SqueezeNet 1.1, with trained ``weights`` if they are named; other arguments are :class:`SqueezeNet`'s."""
    return SqueezeNet("1_1", **kwargs)
