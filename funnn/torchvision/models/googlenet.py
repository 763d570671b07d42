"""GoogLeNet, of "Going deeper with convolutions"."""

from __future__ import annotations

import warnings
from collections import namedtuple
from typing import Any

import funnn.torch as torch
from funnn.torch import nn
from funnn.torch.nn import functional as F
from funnn.torchvision.models._api import model, weights_of
from funnn.torchvision.models._initialisation import truncated

GoogLeNet_Weights = weights_of("GoogLeNet_Weights", __name__)

GoogLeNetOutputs = namedtuple("GoogLeNetOutputs", ["logits", "aux_logits2", "aux_logits1"])
GoogLeNetOutputs.__doc__ = "What GoogLeNet gives in training: the result, and those of the classifiers inside, the later one first."


def wants_weights(init_weights: bool | None, name: str) -> bool:
    """Whether a model draws its weights by a truncated normal distribution: None says so, with torchvision's warning, where the model is made."""
    if init_weights is None:
        warnings.warn(
            f"The default weight initialization of {name} will be changed in future releases of "
            "torchvision. If you wish to keep the old behavior (which leads to long initialization times"
            " due to scipy/scipy#11299), please set init_weights=True.",
            FutureWarning,
            stacklevel=3,
        )
    return init_weights is None or init_weights


class BasicConv2d(nn.Module):
    """A convolution without bias, a batch normalisation and a ReLU."""

    def __init__(self, in_channels: int, out_channels: int, **kwargs: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, bias=False, **kwargs)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: Any) -> Any:
        """Features of features."""
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Inception(nn.Module):
    """Convolutions of three sizes and a pooling beside each other."""

    def __init__(self, in_channels: int, ch1x1: int, ch3x3red: int, ch3x3: int, ch5x5red: int, ch5x5: int, pool_proj: int) -> None:
        super().__init__()
        self.branch1 = BasicConv2d(in_channels, ch1x1, kernel_size=1)
        self.branch2 = nn.Sequential(
            BasicConv2d(in_channels, ch3x3red, kernel_size=1), BasicConv2d(ch3x3red, ch3x3, kernel_size=3, padding=1)
        )
        self.branch3 = nn.Sequential(
            BasicConv2d(in_channels, ch5x5red, kernel_size=1), BasicConv2d(ch5x5red, ch5x5, kernel_size=3, padding=1)
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(kernel_size=3, stride=1, padding=1, ceil_mode=True), BasicConv2d(in_channels, pool_proj, kernel_size=1)
        )

    def forward(self, x: Any) -> Any:
        """Features of features."""
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class InceptionAux(nn.Module):
    """A classifier of features inside the network, for training."""

    def __init__(self, in_channels: int, num_classes: int, dropout: float = 0.7) -> None:
        super().__init__()
        self.conv = BasicConv2d(in_channels, 128, kernel_size=1)
        self.fc1 = nn.Linear(2048, 1024)
        self.fc2 = nn.Linear(1024, num_classes)
        self.dropout = nn.Dropout(p=dropout)

    def forward(self, x: Any) -> Any:
        """(N, num_classes)."""
        x = torch.flatten(self.conv(F.adaptive_avg_pool2d(x, (4, 4))), 1)
        return self.fc2(self.dropout(F.relu(self.fc1(x), inplace=True)))


#: The modules in order, with the arguments of the inceptions.
_PLAN: dict[str, Any] = {
    "inception3a": (192, 64, 96, 128, 16, 32, 32),
    "inception3b": (256, 128, 128, 192, 32, 96, 64),
    "maxpool3": 3,
    "inception4a": (480, 192, 96, 208, 16, 48, 64),
    "inception4b": (512, 160, 112, 224, 24, 64, 64),
    "inception4c": (512, 128, 128, 256, 24, 64, 64),
    "inception4d": (512, 112, 144, 288, 32, 64, 64),
    "inception4e": (528, 256, 160, 320, 32, 128, 128),
    "maxpool4": 2,
    "inception5a": (832, 256, 160, 320, 32, 128, 128),
    "inception5b": (832, 384, 192, 384, 48, 128, 128),
}


class GoogLeNet(nn.Module):
    """Nine :class:`Inception` modules.

    Args:
      num_classes: how many numbers come out.
      aux_logits: whether there are two more classifiers inside, whose results come too in training.
      transform_input: whether images that are normalised as ImageNet's are normalised to ±1 instead.
      init_weights: whether the weights are drawn by a truncated normal distribution; None does so, with a warning.
      blocks: not supported.
      dropout: the probability of dropout.
      dropout_aux: that of the classifiers inside.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        init_weights: bool | None = None,
        blocks: Any = None,
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
    ) -> None:
        super().__init__()
        if blocks is not None:
            raise NotImplementedError("GoogLeNet takes no blocks: subclass it")
        init_weights = wants_weights(init_weights, "GoogleNet")
        self.aux_logits, self.transform_input = aux_logits, transform_input
        self.conv1 = BasicConv2d(3, 64, kernel_size=7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = BasicConv2d(64, 64, kernel_size=1)
        self.conv3 = BasicConv2d(64, 192, kernel_size=3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        for name, sizes in _PLAN.items():
            setattr(self, name, Inception(*sizes) if isinstance(sizes, tuple) else nn.MaxPool2d(sizes, stride=2, ceil_mode=True))
        self.aux1 = InceptionAux(512, num_classes, dropout=dropout_aux) if aux_logits else None
        self.aux2 = InceptionAux(528, num_classes, dropout=dropout_aux) if aux_logits else None
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(p=dropout)
        self.fc = nn.Linear(1024, num_classes)
        if init_weights:
            truncated(self, 0.01, biases=False)

    def forward(self, x: Any) -> Any:
        """(N, num_classes) of images (N, 3, H, W); in training, :class:`GoogLeNetOutputs` if there are classifiers inside."""
        x = normalised(x) if self.transform_input else x
        x = self.maxpool2(self.conv3(self.conv2(self.maxpool1(self.conv1(x)))))
        inside: dict[str, Any] = {}
        for name in _PLAN:
            x = getattr(self, name)(x)
            if name == "inception4a" and self.aux1 is not None and self.training:
                inside["aux1"] = self.aux1(x)
            if name == "inception4d" and self.aux2 is not None and self.training:
                inside["aux2"] = self.aux2(x)
        x = self.fc(self.dropout(torch.flatten(self.avgpool(x), 1)))
        return GoogLeNetOutputs(x, inside.get("aux2"), inside.get("aux1")) if self.training and self.aux_logits else x


def normalised(x: Any) -> Any:
    """Images that are normalised as ImageNet's, normalised to ±1."""
    parts = zip((0, 1, 2), (0.229, 0.224, 0.225), (0.485, 0.456, 0.406), strict=True)
    return torch.cat([torch.unsqueeze(x[:, i], 1) * (std / 0.5) + (mean - 0.5) / 0.5 for i, std, mean in parts], 1)


def _without_aux(made: Any, kwargs: dict[str, Any]) -> None:
    if not kwargs.get("aux_logits", False):
        made.aux_logits, made.aux1, made.aux2 = False, None, None
    else:
        warnings.warn("auxiliary heads in the pretrained googlenet model are NOT pretrained, so make sure to train them", stacklevel=4)


@model(GoogLeNet_Weights, _without_aux, transform_input=True, aux_logits=True, init_weights=False)
def googlenet(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> GoogLeNet:
    """GoogLeNet, with trained ``weights`` if they are named; other arguments are :class:`GoogLeNet`'s."""
    return GoogLeNet(**kwargs)
