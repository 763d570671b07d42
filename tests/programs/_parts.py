"""What many programs are made of: a tiny classifier, its batches and its step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def mlp(torch: Any, hidden: int = 16) -> Any:
    """Six numbers in, three classes out."""
    nn = torch.nn
    return nn.Sequential(nn.Linear(6, hidden), nn.ReLU(), nn.Linear(hidden, 3))


def batches(torch: Any, count: int = 10, size: int = 8, seed: int = 7) -> list[tuple[Any, Any]]:
    """Inputs and classes for :func:`mlp`, from a generator of their own."""
    g = torch.Generator().manual_seed(seed)
    return [(torch.randn(size, 6, generator=g), torch.randint(0, 3, (size,), generator=g)) for _ in range(count)]


def randn(torch: Any, *shape: int, seed: int = 3) -> Any:
    """Normal numbers that leave the default generator alone."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tokens(torch: Any, *shape: int, below: int = 11, seed: int = 3) -> Any:
    """Integers from 0 that leave the default generator alone."""
    return torch.randint(0, below, shape, generator=torch.Generator().manual_seed(seed))


def train_step(torch: Any, model: Any, optimizer: Any, criterion: Callable | None = None) -> Callable:
    """The usual step: clear, loss, backward, update."""
    criterion = criterion or torch.nn.functional.cross_entropy

    def step(x, y):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def gradients(model: Any) -> list[Any]:
    """The parameters' gradients."""
    return [p.grad for p in model.parameters()]
