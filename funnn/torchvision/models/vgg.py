"""VGG, of "Very deep convolutional networks for large-scale image recognition"."""

from __future__ import annotations

from typing import Any

import funnn.torch as torch
from funnn.torch import nn
from funnn.torchvision.models._api import model, weights_of

VGG11_Weights = weights_of("VGG11_Weights", __name__)
VGG11_BN_Weights = weights_of("VGG11_BN_Weights", __name__)
VGG13_Weights = weights_of("VGG13_Weights", __name__)
VGG13_BN_Weights = weights_of("VGG13_BN_Weights", __name__)
VGG16_Weights = weights_of("VGG16_Weights", __name__)
VGG16_BN_Weights = weights_of("VGG16_BN_Weights", __name__)
VGG19_Weights = weights_of("VGG19_Weights", __name__)
VGG19_BN_Weights = weights_of("VGG19_BN_Weights", __name__)

#: Channels of the convolutions; a slash is a pooling.
_PLANS = {
    11: "64 / 128 / 256 256 / 512 512 / 512 512 /",
    13: "64 64 / 128 128 / 256 256 / 512 512 / 512 512 /",
    16: "64 64 / 128 128 / 256 256 256 / 512 512 512 / 512 512 512 /",
    19: "64 64 / 128 128 / 256 256 256 256 / 512 512 512 512 / 512 512 512 512 /",
}


def _plan(depth: int) -> list[int | str]:
    return ["M" if item == "/" else int(item) for item in _PLANS[depth].split()]


cfgs = {name: _plan(depth) for name, depth in (("A", 11), ("B", 13), ("D", 16), ("E", 19))}


class VGG(nn.Module):
    """Convolutions, and three linear layers.

    Args:
      features: the convolutions.
      num_classes: how many numbers come out.
      init_weights: whether the weights are initialised as VGG's are.
      dropout: the probability of dropout.
    """

    def __init__(self, features: Any, num_classes: int = 1000, init_weights: bool = True, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(True),
            nn.Dropout(p=dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(True),
            nn.Dropout(p=dropout),
            nn.Linear(4096, num_classes),
        )
        if init_weights:
            _initialise(self)

    def forward(self, x: Any) -> Any:
        """(N, num_classes) of images (N, 3, H, W)."""
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def _initialise(model: Any) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.01)
            nn.init.zeros_(module.bias)


def make_layers(cfg: Any, batch_norm: bool = False) -> nn.Sequential:
    """The convolutions of a plan: channels, and "M" for a pooling."""
    layers: list[Any] = []
    channels = 3
    for item in cfg:
        if item == "M":
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
            continue
        layers.append(nn.Conv2d(channels, item, kernel_size=3, padding=1))
        channels = item
        layers += [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)] if batch_norm else [nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _vgg(depth: int, normalised: bool, **kwargs: Any) -> VGG:
    return VGG(make_layers(_plan(depth), normalised), **kwargs)


@model(VGG11_Weights, init_weights=False)
def vgg11(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG of 11 layers, with trained ``weights`` if they are named; other arguments are :class:`VGG`'s."""
    return _vgg(11, False, **kwargs)


@model(VGG11_BN_Weights, init_weights=False)
def vgg11_bn(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG of 11 layers with batch normalisation, with trained ``weights`` if they are named; other arguments are :class:`VGG`'s."""
    return _vgg(11, True, **kwargs)


@model(VGG13_Weights, init_weights=False)
def vgg13(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG of 13 layers, with trained ``weights`` if they are named; other arguments are :class:`VGG`'s."""
    return _vgg(13, False, **kwargs)


@model(VGG13_BN_Weights, init_weights=False)
def vgg13_bn(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG of 13 layers with batch normalisation, with trained ``weights`` if they are named; other arguments are :class:`VGG`'s."""
    return _vgg(13, True, **kwargs)


@model(VGG16_Weights, init_weights=False)
def vgg16(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG of 16 layers, with trained ``weights`` if they are named; other arguments are :class:`VGG`'s."""
    return _vgg(16, False, **kwargs)


@model(VGG16_BN_Weights, init_weights=False)
def vgg16_bn(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG of 16 layers with batch normalisation, with trained ``weights`` if they are named; other arguments are :class:`VGG`'s."""
    return _vgg(16, True, **kwargs)


@model(VGG19_Weights, init_weights=False)
def vgg19(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG of 19 layers, with trained ``weights`` if they are named; other arguments are :class:`VGG`'s."""
    return _vgg(19, False, **kwargs)


@model(VGG19_BN_Weights, init_weights=False)
def vgg19_bn(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG of 19 layers with batch normalisation, with trained ``weights`` if they are named; other arguments are :class:`VGG`'s."""
    return _vgg(19, True, **kwargs)
