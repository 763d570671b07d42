"""AlexNet, of "One weird trick for parallelizing convolutional neural networks"."""

from __future__ import annotations

from typing import Any

import funnn.torch as torch
from funnn.torch import nn
from funnn.torchvision.models._api import model, weights_of

AlexNet_Weights = weights_of("AlexNet_Weights", __name__)


class AlexNet(nn.Module):
    """Five convolutions and three linear layers.

    Args:
      num_classes: how many numbers come out.
      dropout: the probability of dropout.
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        layers: list[Any] = []
        for channels, out, kernel, stride, padding, pooled in (
            (3, 64, 11, 4, 2, True),
            (64, 192, 5, 1, 2, True),
            (192, 384, 3, 1, 1, False),
            (384, 256, 3, 1, 1, False),
            (256, 256, 3, 1, 1, True),
        ):
            layers += [nn.Conv2d(channels, out, kernel, stride, padding), nn.ReLU(inplace=True)]
            if pooled:
                layers.append(nn.MaxPool2d(kernel_size=3, stride=2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(p=dropout),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(p=dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, num_classes),
        )

    def forward(self, x: Any) -> Any:
        """(N, num_classes) of images (N, 3, H, W)."""
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


@model(AlexNet_Weights)
def alexnet(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> AlexNet:
    """AlexNet, with trained ``weights`` if they are named; other arguments are :class:`AlexNet`'s."""
    return AlexNet(**kwargs)
