"""More of the benchmark's models in PyTorch: an image is segmented, classified with few numbers or as patches, tokens are tagged, and signals of one and
of three dimensions classified."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from tests.benchmarks._models_torch import TransformerBlock, step_of


def double(c: int, out: int) -> nn.Module:
    pairs = ((c, out), (out, out))
    return nn.Sequential(*(m for i, o in pairs for m in (nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU())))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down1, self.down2, self.middle = double(3, 16), double(16, 32), double(32, 64)
        self.up2, self.merge2 = nn.ConvTranspose2d(64, 32, 2, 2), double(64, 32)
        self.up1, self.merge1 = nn.ConvTranspose2d(32, 16, 2, 2), double(32, 16)
        self.head = nn.Conv2d(16, 4, 1)

    def forward(self, x):
        one = self.down1(x)
        two = self.down2(F.max_pool2d(one, 2))
        x = self.up2(self.middle(F.max_pool2d(two, 2)))
        x = self.up1(self.merge2(torch.cat([two, x], 1)))
        return self.head(self.merge1(torch.cat([one, x], 1))).permute(0, 2, 3, 1)


class Inverted(nn.Module):
    """MobileNetV2's block: wider by a factor of 4, one filter a channel, and narrow again."""

    def __init__(self, c: int, out: int, stride: int):
        super().__init__()
        wide = 4 * c
        self.same = c == out and stride == 1
        self.body = nn.Sequential(
            *(nn.Conv2d(c, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()),
            *(nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()),
            *(nn.Conv2d(wide, out, 1, bias=False), nn.BatchNorm2d(out)),
        )

    def forward(self, x):
        return x + self.body(x) if self.same else self.body(x)


class MobileNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU6())
        sizes = [(16, 16, 1), (16, 24, 2), (24, 24, 1), (24, 32, 2), (32, 32, 1), (32, 64, 2)]
        self.blocks = nn.Sequential(*(Inverted(*size) for size in sizes))
        self.last = nn.Sequential(nn.Conv2d(64, 128, 1, bias=False), nn.BatchNorm2d(128), nn.ReLU6())
        self.head = nn.Linear(128, 10)

    def forward(self, x):
        return self.head(self.last(self.blocks(self.stem(x))).mean((2, 3)))


class ViT(nn.Module):
    def __init__(self, d: int = 128):
        super().__init__()
        self.patches, self.places = nn.Conv2d(3, d, 4, 4), nn.Embedding(64, d)
        self.blocks = nn.Sequential(*(TransformerBlock(d, causal=False) for _ in range(4)))
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, 10)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2) + self.places.weight
        return self.head(self.norm(self.blocks(x)).mean(1))


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.rnn = nn.Embedding(1000, 128), nn.GRU(128, 128, batch_first=True, bidirectional=True)
        self.head = nn.Linear(256, 20)

    def forward(self, x):
        return self.head(self.rnn(self.tokens(x))[0])


def conv1d() -> nn.Module:
    pairs = itertools.pairwise((8, 32, 64, 64))
    parts = (m for c, o in pairs for m in (nn.Conv1d(c, o, 5, padding=2), nn.ReLU(), nn.MaxPool1d(4)))
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(64 * 16, 10))


def conv3d() -> nn.Module:
    pairs = itertools.pairwise((1, 8, 16, 32))
    parts = (m for c, o in pairs for m in (nn.Conv3d(c, o, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2)))
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(32 * 2 * 4 * 4, 10))


MODELS = {"unet": UNet, "mobilenet": MobileNet, "vit": ViT, "gru": Tagger, "conv1d": conv1d, "conv3d": conv3d}


def model(row: str) -> nn.Module:
    return MODELS[row]()


def step(row: str, x: np.ndarray, y: np.ndarray, compiled: bool = False) -> tuple[Callable, int]:
    torch.manual_seed(0)
    return step_of(model(row), x, y, compiled)
