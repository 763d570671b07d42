"""Inception V3, of "Rethinking the Inception architecture for computer vision"."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import funnn.torch as torch
from funnn.torch import nn
from funnn.torch.nn import functional as F
from funnn.torchvision.models._api import model, weights_of
from funnn.torchvision.models._initialisation import truncated
from funnn.torchvision.models.googlenet import BasicConv2d as BasicConv2d
from funnn.torchvision.models.googlenet import normalised, wants_weights

Inception_V3_Weights = weights_of("Inception_V3_Weights", __name__)

InceptionOutputs = namedtuple("InceptionOutputs", ["logits", "aux_logits"])
InceptionOutputs.__doc__ = "What Inception V3 gives in training: the result, and that of the classifier inside."

#: The convolutions of a module: channels in (0: those of the module) and out, kernel, padding, stride.
_Plan = dict[str, tuple[Any, ...]]


class _Branches(nn.Module):
    """Convolutions in chains beside each other."""

    def __init__(self, in_channels: int, plan: _Plan) -> None:
        super().__init__()
        for name, (channels, out, kernel, *rest) in plan.items():
            padding, stride = rest + [0, 1][len(rest) :]
            conv = BasicConv2d(channels or in_channels, out, kernel_size=kernel, padding=padding, stride=stride)
            setattr(self, name, conv)

    def _chain(self, x: Any, *names: str) -> Any:
        for name in names:
            x = getattr(self, name)(x)
        return x


def _numbered(stem: str, count: int) -> list[str]:
    return [f"{stem}_{i + 1}" for i in range(count)]


def _pooled(x: Any) -> Any:
    return F.avg_pool2d(x, kernel_size=3, stride=1, padding=1)


class InceptionA(_Branches):
    """1x1, 5x5, two 3x3, and a pooling."""

    def __init__(self, in_channels: int, pool_features: int) -> None:
        plan: _Plan = {"branch1x1": (0, 64, 1), "branch5x5_1": (0, 48, 1), "branch5x5_2": (48, 64, 5, 2)}
        plan |= {"branch3x3dbl_1": (0, 64, 1), "branch3x3dbl_2": (64, 96, 3, 1), "branch3x3dbl_3": (96, 96, 3, 1)}
        super().__init__(in_channels, {**plan, "branch_pool": (0, pool_features, 1)})

    def forward(self, x: Any) -> Any:
        """Features of features."""
        chains = ["branch1x1"], _numbered("branch5x5", 2), _numbered("branch3x3dbl", 3)
        return torch.cat([*(self._chain(x, *chain) for chain in chains), self.branch_pool(_pooled(x))], 1)


class InceptionB(_Branches):
    """3x3, two 3x3, and a pooling, to half the size."""

    def __init__(self, in_channels: int) -> None:
        plan: _Plan = {"branch3x3": (0, 384, 3, 0, 2), "branch3x3dbl_1": (0, 64, 1), "branch3x3dbl_2": (64, 96, 3, 1)}
        super().__init__(in_channels, {**plan, "branch3x3dbl_3": (96, 96, 3, 0, 2)})

    def forward(self, x: Any) -> Any:
        """Features of features."""
        pooled = F.max_pool2d(x, kernel_size=3, stride=2)
        return torch.cat([self.branch3x3(x), self._chain(x, *_numbered("branch3x3dbl", 3)), pooled], 1)


_ROW, _COLUMN = ((1, 7), (0, 3)), ((7, 1), (3, 0))


class InceptionC(_Branches):
    """1x1, a 7x7 in two parts, two of them, and a pooling."""

    def __init__(self, in_channels: int, channels_7x7: int) -> None:
        c = channels_7x7
        plan: _Plan = {"branch1x1": (0, 192, 1), "branch7x7_1": (0, c, 1), "branch7x7_2": (c, c, *_ROW), "branch7x7_3": (c, 192, *_COLUMN)}
        plan |= {"branch7x7dbl_1": (0, c, 1), "branch7x7dbl_2": (c, c, *_COLUMN), "branch7x7dbl_3": (c, c, *_ROW)}
        plan |= {"branch7x7dbl_4": (c, c, *_COLUMN), "branch7x7dbl_5": (c, 192, *_ROW), "branch_pool": (0, 192, 1)}
        super().__init__(in_channels, plan)

    def forward(self, x: Any) -> Any:
        """Features of features."""
        chains = ["branch1x1"], _numbered("branch7x7", 3), _numbered("branch7x7dbl", 5)
        return torch.cat([*(self._chain(x, *chain) for chain in chains), self.branch_pool(_pooled(x))], 1)


class InceptionD(_Branches):
    """3x3, 7x7 and 3x3, and a pooling, to half the size."""

    def __init__(self, in_channels: int) -> None:
        plan: _Plan = {"branch3x3_1": (0, 192, 1), "branch3x3_2": (192, 320, 3, 0, 2), "branch7x7x3_1": (0, 192, 1)}
        plan |= {"branch7x7x3_2": (192, 192, *_ROW), "branch7x7x3_3": (192, 192, *_COLUMN), "branch7x7x3_4": (192, 192, 3, 0, 2)}
        super().__init__(in_channels, plan)

    def forward(self, x: Any) -> Any:
        """Features of features."""
        pooled = F.max_pool2d(x, kernel_size=3, stride=2)
        return torch.cat([self._chain(x, *_numbered("branch3x3", 2)), self._chain(x, *_numbered("branch7x7x3", 4)), pooled], 1)


class InceptionE(_Branches):
    """1x1, a 3x3 whose parts are beside each other, the same after a 3x3, and a pooling."""

    def __init__(self, in_channels: int) -> None:
        row, column = ((1, 3), (0, 1)), ((3, 1), (1, 0))
        plan: _Plan = {"branch1x1": (0, 320, 1), "branch3x3_1": (0, 384, 1), "branch3x3_2a": (384, 384, *row)}
        plan |= {"branch3x3_2b": (384, 384, *column), "branch3x3dbl_1": (0, 448, 1), "branch3x3dbl_2": (448, 384, 3, 1)}
        plan |= {"branch3x3dbl_3a": (384, 384, *row), "branch3x3dbl_3b": (384, 384, *column), "branch_pool": (0, 192, 1)}
        super().__init__(in_channels, plan)

    def forward(self, x: Any) -> Any:
        """Features of features."""
        single, double = self.branch3x3_1(x), self._chain(x, *_numbered("branch3x3dbl", 2))
        threes = [self.branch3x3_2a(single), self.branch3x3_2b(single), self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)]
        return torch.cat([self.branch1x1(x), *threes, self.branch_pool(_pooled(x))], 1)


class InceptionAux(nn.Module):
    """A classifier of features inside the network, for training."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv0 = BasicConv2d(in_channels, 128, kernel_size=1)
        self.conv1 = BasicConv2d(128, 768, kernel_size=5)
        self.conv1.stddev = 0.01
        self.fc = nn.Linear(768, num_classes)
        self.fc.stddev = 0.001

    def forward(self, x: Any) -> Any:
        """(N, num_classes)."""
        x = self.conv1(self.conv0(F.avg_pool2d(x, kernel_size=5, stride=3)))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, (1, 1)), 1))


class Inception3(nn.Module):
    """Convolutions and eleven modules of chains beside each other.

    Args:
      num_classes: how many numbers come out.
      aux_logits: whether there is another classifier inside, whose result comes too in training.
      transform_input: whether images that are normalised as ImageNet's are normalised to ±1 instead.
      inception_blocks: not supported.
      init_weights: whether the weights are drawn by a truncated normal distribution; None does so, with a warning.
      dropout: the probability of dropout.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        inception_blocks: Any = None,
        init_weights: bool | None = None,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if inception_blocks is not None:
            raise NotImplementedError("Inception3 takes no inception_blocks: subclass it")
        init_weights = wants_weights(init_weights, "inception_v3")
        self.aux_logits, self.transform_input = aux_logits, transform_input
        self.Conv2d_1a_3x3 = BasicConv2d(3, 32, kernel_size=3, stride=2)
        self.Conv2d_2a_3x3 = BasicConv2d(32, 32, kernel_size=3)
        self.Conv2d_2b_3x3 = BasicConv2d(32, 64, kernel_size=3, padding=1)
        self.maxpool1 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.Conv2d_3b_1x1 = BasicConv2d(64, 80, kernel_size=1)
        self.Conv2d_4a_3x3 = BasicConv2d(80, 192, kernel_size=3)
        self.maxpool2 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.Mixed_5b = InceptionA(192, 32)
        self.Mixed_5c = InceptionA(256, 64)
        self.Mixed_5d = InceptionA(288, 64)
        self.Mixed_6a = InceptionB(288)
        self.Mixed_6b = InceptionC(768, 128)
        self.Mixed_6c = InceptionC(768, 160)
        self.Mixed_6d = InceptionC(768, 160)
        self.Mixed_6e = InceptionC(768, 192)
        self.AuxLogits = InceptionAux(768, num_classes) if aux_logits else None
        self.Mixed_7a = InceptionD(768)
        self.Mixed_7b = InceptionE(1280)
        self.Mixed_7c = InceptionE(2048)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(p=dropout)
        self.fc = nn.Linear(2048, num_classes)
        if init_weights:
            truncated(self, 0.1, biases=False)

    def forward(self, x: Any) -> Any:
        """(N, num_classes) of images (N, 3, H, W); in training, :class:`InceptionOutputs` if there is a classifier inside."""
        x = normalised(x) if self.transform_input else x
        for part in (self.Conv2d_1a_3x3, self.Conv2d_2a_3x3, self.Conv2d_2b_3x3, self.maxpool1, self.Conv2d_3b_1x1, self.Conv2d_4a_3x3):
            x = part(x)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(self.maxpool2(x))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        inside = self.AuxLogits(x) if self.AuxLogits is not None and self.training else None
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        x = self.fc(torch.flatten(self.dropout(self.avgpool(x)), 1))
        return InceptionOutputs(x, inside) if self.training and self.aux_logits else x


def _without_aux(made: Any, kwargs: dict[str, Any]) -> None:
    if not kwargs.get("aux_logits", True):
        made.aux_logits, made.AuxLogits = False, None


@model(Inception_V3_Weights, _without_aux, transform_input=True, aux_logits=True, init_weights=False)
def inception_v3(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> Inception3:
    """Inception V3, with trained ``weights`` if they are named; other arguments are :class:`Inception3`'s."""
    return Inception3(**kwargs)
