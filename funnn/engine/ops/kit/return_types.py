"""torch.return_types: named tuples that functions with several results give."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

TYPES: dict[str, type] = {}


class _Printed:
    __slots__ = ()

    def __repr__(self) -> str:
        fields = ",\n".join(f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
        return f"torch.return_types.{type(self).__name__}(\n{fields})"


def return_type(name: str, *fields: str) -> type:
    """The named tuple of the function ``name``; it prints as torch's."""
    text = f"The results of torch.{name.replace('linalg_', 'linalg.')}: {', '.join(fields)}."
    content = {"__slots__": (), "__module__": "funnn.torch.return_types", "__doc__": text}
    for key in (name, f"{name}_out"):
        TYPES[key] = type(key, (_Printed, namedtuple(key, fields)), content)
    return TYPES[name]


def with_out(result: tuple, out: Any) -> Any:
    """``out`` as torch returns it: in the named tuple of the results, where they have names."""
    kind = TYPES.get(f"{type(result).__name__}_out")
    return tuple(out) if kind is None else kind(*out)
