"""DCGAN's two networks in PyTorch, and a step of both: the discriminator's, then the generator's against the new discriminator."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def generator() -> nn.Module:
    return nn.Sequential(
        *(nn.ConvTranspose2d(64, 64, 4, bias=False), nn.BatchNorm2d(64), nn.ReLU()),
        *(nn.ConvTranspose2d(64, 32, 4, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.ConvTranspose2d(32, 16, 4, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.ConvTranspose2d(16, 3, 4, 2, 1, bias=False), nn.Tanh()),
    )


def discriminator() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(16, 32, 4, 2, 1, bias=False), nn.BatchNorm2d(32), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(32, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(64, 1, 4, bias=False), nn.Flatten(0)),
    )


def model(row: str) -> nn.Module:
    return nn.ModuleDict({"generator": generator(), "discriminator": discriminator()})


def step(row: str, x: np.ndarray, y: np.ndarray, compiled: bool = False) -> tuple[Callable, int]:
    torch.manual_seed(0)
    return step_of(model(row), x, y, compiled)


def step_of(nets: nn.Module, x: np.ndarray, y: np.ndarray, compiled: bool = False) -> tuple[Callable, int]:
    """x holds images, y noise; the loss is the sum of both."""
    torch.set_num_threads(os.cpu_count() or 1)
    images, noise = torch.from_numpy(x), torch.from_numpy(y)
    make, judge = nets["generator"], nets["discriminator"]
    optimizers = [torch.optim.SGD(net.parameters(), lr=0.01) for net in (judge, make)]
    if compiled:
        make, judge = (torch.compile(net, dynamic=False) for net in (make, judge))

    def loss_of(logits, real: bool):
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))

    def run():
        fake = make(noise)
        optimizers[0].zero_grad()
        judged = loss_of(judge(images), True) + loss_of(judge(fake.detach()), False)
        judged.backward()
        optimizers[0].step()
        optimizers[1].zero_grad()
        made = loss_of(judge(fake), True)
        made.backward()
        optimizers[1].step()
        return (judged + made).detach()

    return run, sum(p.numel() for p in nets.parameters())
