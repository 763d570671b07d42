"""What becomes of a name of torch here: the same, otherwise in some way, or missing with the way round. Told by the namespace itself, and by the tables
of its errors and differences."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import funnn.torch
from funnn.torch._differences import DIFFERENCES
from funnn.torch._unsupported import Unsupported, UnsupportedModule

SAME, DIFFERS, MISSING = "same", "differs", "missing"
_STUB = re.compile(r"^( *)def (\w+)\(.*\) -> (.+): \.\.\.$", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


class Status(NamedTuple):
    """``same``, ``differs`` or ``missing``, with how it differs or the way round."""

    kind: str
    text: str = ""


@functools.cache
def status(name: str) -> Status:
    """What becomes of a dotted name such as ``"torch.nn.Linear"`` or ``"torch.Tensor.resize_"``."""
    top, *parts = name.split(".")
    try:
        item: Any = importlib.import_module(f"funnn.{top}")
    except ModuleNotFoundError:
        return Status(MISSING, f"there is no funnn.{top}")
    for part in parts:
        try:
            item = _member(item, part)
        except (Unsupported, UnsupportedModule) as error:
            return Status(MISSING, str(error).partition(" is not supported: ")[2] or str(error))
        except ImportError as error:  # a module that needs a package
            return Status(MISSING, str(error))
        except AttributeError:
            return Status(MISSING, f"it is not in funnn.{top}")
        if (reason := getattr(item, "__unsupported__", None)) is not None:
            return Status(MISSING, reason.partition(" is not supported: ")[2] or reason)
        if isinstance(refused := getattr(item, "__unsupported__", None), str):  # a name that is only mentioned: it raises when it is called
            return Status(MISSING, refused.partition(" is not supported: ")[2] or refused)
        if not isinstance(item, (ModuleType, type)):
            break  # what is reached further is a value's own
    differences = " ".join(each.text for each in DIFFERENCES if any(_is_part(name, of) for of in each.names))
    return Status(DIFFERS, _LINK.sub(r"\1", differences)) if differences else Status(SAME)


def _is_part(name: str, of: str) -> bool:
    return name == of or name.startswith(f"{of}.")


def _member(owner: Any, name: str) -> Any:
    """An attribute, or a submodule that is not imported yet."""
    try:
        return getattr(owner, name)
    except AttributeError:
        if not hasattr(owner, "__path__") or importlib.util.find_spec(f"{owner.__name__}.{name}") is None:
            raise
    return importlib.import_module(f"{owner.__name__}.{name}")


def exists(name: str) -> bool:
    """Whether there is such a name here."""
    return status(name).kind != MISSING


def returns_tensor(name: str) -> bool:
    """Whether a function ``torch.f`` or a method ``torch.Tensor.f`` gives a tensor by each of its signatures, as the stubs have them."""
    module, _, function = name.rpartition(".")
    return _results(module).get(function) == {"Tensor"}


@functools.cache
def _results(module: str) -> dict[str, set[str]]:
    """What the functions of a module, or the methods of ``torch.Tensor``, return."""
    found: dict[str, set[str]] = {}
    for indent, name, result in _signatures(module):
        if bool(indent) == (module == "torch.Tensor"):
            found.setdefault(name, set()).add(result)
    return found


def _signatures(module: str) -> Iterator[tuple[str, str, str]]:
    root = Path(funnn.torch.__file__).parents[1]
    path = root / "engine/tensor/tensor.pyi" if module == "torch.Tensor" else root.joinpath(*module.split("."))
    for file in (path, path.with_suffix(".pyi"), path / "__init__.pyi"):
        if file.is_file():
            yield from _STUB.findall(file.read_text())
