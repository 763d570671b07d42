"""Nested results as a list of leaves, and when two leaves are equal."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

#: Relative and absolute tolerance of dtypes that are not compared with the program's own.
TOLERANCE = {"float64": (1e-8, 1e-10), "complex128": (1e-8, 1e-10), "bfloat16": (2e-2, 2e-2), "float16": (4e-3, 4e-3)}


class Leaf(NamedTuple):
    """A number, a text or a tensor in a result: where it stands, what it is, and its numbers."""

    where: str
    kind: str
    numbers: np.ndarray

    def differs(self, wanted: Leaf, rtol: float, atol: float) -> str:
        """What is different; nothing where the two agree."""
        if self[:2] != wanted[:2]:
            return f"{self.where} is {self.kind}, PyTorch has {wanted.where} of {wanted.kind}"
        rtol, atol = TOLERANCE.get(self.kind.partition("[")[0], (rtol, atol))
        far = ~np.isclose(self.numbers, wanted.numbers, rtol, atol, equal_nan=True)
        if not far.any():
            return ""
        at = int(far.argmax())
        return f"{self.where} ({self.kind}): {far.sum()} of {far.size} differ, at {at} {self.numbers[at]:.7g}, PyTorch {wanted.numbers[at]:.7g}"


def leaves(torch: Any, value: Any, where: str = "result") -> Iterator[Leaf]:
    """Tensors with dtype, shape and whether they require a gradient; modules by their state; containers by their class and items."""
    if isinstance(value, torch.Tensor):
        yield _tensor(torch, value, where)
    elif isinstance(value, torch.nn.Module):
        yield from leaves(torch, dict(value.state_dict()), where)
    elif dataclasses.is_dataclass(value):
        yield from leaves(torch, {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}, f"{where}:{type(value).__name__}")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(torch, item, f"{where}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        if hasattr(value, "_fields") and "return_types" not in type(value).__module__:  # torch's are no named tuples
            where = f"{where}:{type(value).__name__}"
        for index, item in enumerate(value):
            yield from leaves(torch, item, f"{where}[{index}]")
    elif isinstance(value, np.ndarray):
        yield Leaf(where, f"array of {value.dtype}{list(value.shape)}", value.astype(np.float64).ravel())
    elif isinstance(value, (float, complex)):
        yield Leaf(where, "float", np.array([value.real, value.imag]))
    elif isinstance(value, (int, np.number, np.bool_)):
        yield Leaf(where, type(value).__name__, np.array([float(value)]))
    elif value is None or isinstance(value, (str, torch.Size, torch.dtype)):
        yield Leaf(where, repr(value), np.zeros(0))
    else:
        raise TypeError(f"{where} is a {type(value).__name__}, which no program may return")


def _tensor(torch: Any, tensor: Any, where: str) -> Leaf:
    name = str(tensor.dtype).removeprefix("torch.")
    kind = f"{name}{list(tensor.shape)}{' that requires grad' if tensor.requires_grad else ''}"
    plain = tensor.detach()
    plain = torch.view_as_real(plain.resolve_conj().to(torch.complex128)) if plain.is_complex() else plain.double()
    return Leaf(where, kind, np.array(plain.tolist(), np.float64).ravel())
