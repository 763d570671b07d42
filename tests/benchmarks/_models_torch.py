"""The benchmark's models in PyTorch, run eagerly."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class Attention(nn.Module):
    def __init__(self, d: int, heads: int, causal: bool):
        super().__init__()
        self.causal, self.heads, self.qkv, self.out = causal, heads, nn.Linear(d, 3 * d), nn.Linear(d, d)

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        return self.out(F.scaled_dot_product_attention(q, k, v, is_causal=self.causal).transpose(1, 2).reshape(n, t, d))


class TransformerBlock(nn.Module):
    def __init__(self, d: int, causal: bool):
        super().__init__()
        self.n1, self.attention, self.n2 = nn.LayerNorm(d), Attention(d, 4, causal), nn.LayerNorm(d)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))

    def forward(self, x):
        x = x + self.attention(self.n1(x))
        return x + self.mlp(self.n2(x))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.places = nn.Embedding(1000, 128), nn.Embedding(128, 128)
        self.blocks = nn.Sequential(*(TransformerBlock(128, causal=True) for _ in range(4)))
        self.norm, self.head = nn.LayerNorm(128), nn.Linear(128, 1000)

    def forward(self, x):
        return self.head(self.norm(self.blocks(self.tokens(x) + self.places(torch.arange(x.shape[1])))))


class LanguageModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.rnn, self.head = nn.Embedding(1000, 256), nn.LSTM(256, 256, batch_first=True), nn.Linear(256, 1000)

    def forward(self, x):
        return self.head(self.rnn(self.tokens(x))[0])


class Block(nn.Module):
    def __init__(self, c: int, out: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(c, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()),
            *(nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)),
        )
        same = c == out and stride == 1
        self.shortcut = nn.Identity() if same else nn.Sequential(nn.Conv2d(c, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        return F.relu(self.shortcut(x) + self.body(x))


def as_input(x: np.ndarray) -> torch.Tensor:
    inputs = torch.from_numpy(x)
    return inputs.long() if inputs.dtype == torch.int32 else inputs


def model(row: str) -> nn.Module:
    if row == "gpt":
        return GPT()
    if row == "lstm":
        return LanguageModel()
    if row == "cnn":
        sizes = (3, 32, 64, 128, 128)
        parts = [m for c, o in itertools.pairwise(sizes) for m in (nn.Conv2d(c, o, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))]
        return nn.Sequential(*parts, nn.Flatten(), nn.Linear(128 * 4, 10))
    if row == "lenet":
        return nn.Sequential(
            *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
            *(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
        )
    if row == "resnet18":
        widths = [(32, 32, 1), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1)]
        stem = (nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        return nn.Sequential(*stem, *(Block(*width) for width in widths), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10))
    return nn.Sequential(*(m for _ in range(7) for m in (nn.Linear(64, 64), nn.ReLU())), nn.Linear(64, 64))


def step(row: str, x: np.ndarray, y: np.ndarray, compiled: bool = False) -> tuple[Callable, int]:
    torch.manual_seed(0)
    return step_of(model(row), x, y, compiled)


def step_of(net: nn.Module, x: np.ndarray, y: np.ndarray, compiled: bool = False) -> tuple[Callable, int]:
    """One step of training of a net that gives logits; ``compiled``: by ``torch.compile``."""
    torch.set_num_threads(os.cpu_count() or 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    targets, inputs = torch.from_numpy(y).long().reshape(-1), as_input(x)
    forward = _compiled(net) if compiled else net

    def run():
        optimizer.zero_grad()
        logits = forward(inputs)
        loss = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return run, sum(p.numel() for p in net.parameters())


def _compiled(net: nn.Module) -> Callable:
    """By ``torch.compile``, which would count the programs of the rows before against its limit."""
    torch.compiler.reset()
    return torch.compile(net, dynamic=False)


def predict_of(net: nn.Module, x: np.ndarray, compiled: bool = False) -> Callable:
    """The net in evaluation mode on these inputs, without gradients."""
    torch.set_num_threads(os.cpu_count() or 1)
    inputs = as_input(x)
    forward = _compiled(net.eval()) if compiled else net.eval()

    def run():
        with torch.inference_mode():
            return forward(inputs)

    return run
