"""The overloads of PyTorch's functions and methods that funnn.torch has, read from the installed PyTorch, into ``funnn/engine/dispatch/overloads.txt``.

    python .ci/overloads.py            writes the file
    python .ci/overloads.py --measure  finds out first what kinds of arguments functions in Python take
    python .ci/overloads.py --check    exits with 1 if it is not current

PyTorch's argument parsers are made of texts such as ``add(Tensor input, Tensor other, *, Scalar alpha=1, Tensor out=None)``, one an overload, that
its library holds; those of functions written in Python are their signatures, with kinds that
``overload_kinds.tsv`` knows. A method's overload is given ``Tensor self`` in front, and left out where
the function's says the same.
"""

from __future__ import annotations

import inspect
import re
import sys
import typing
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

import torch  # noqa: E402
from overload_kinds import Kinds  # noqa: E402

import funnn.torch as shim  # noqa: E402

FILE = ROOT / "funnn/engine/dispatch/overloads.txt"
#: Types, in the words of PyTorch's own errors.
WORDS = {
    **{"Scalar": "Number", "int64_t": "int", "SymInt": "int", "double": "float", "ScalarType": "torch.dtype", "Layout": "torch.layout"},
    **{
        "Device": "torch.device",
        "MemoryFormat": "torch.memory_format",
        "Generator": "torch.Generator",
        "DeviceIndex": "int",
        "Storage": "torch.Storage",
    },
    **{
        "IntArrayRef": "tuple of ints",
        "SymIntArrayRef": "tuple of ints",
        "ArrayRef<double>": "tuple of floats",
        "ScalarList": "tuple of Scalars",
    },
    **{"TensorList": "tuple of Tensors", "c10::List<::std::optional<Tensor>>": "tuple of Tensors", "PyObject*": "object"},
    **{"c10::string_view": "str", "std::string_view": "str", "std::string": "str"},
}
NAMESPACES = ("linalg", "special", "fft")
_TEXT = re.compile(rb"(?<=\x00)([a-zA-Z_0-9]+)\(([ -~]*)\)(\|deprecated|\|hidden)?(?=\x00)")
_OUT = re.compile(r"(, \*)?, (Tensor|tuple of Tensors\[\d\]) out = None(?=$)|(Tensor|tuple of Tensors\[\d\]) out = None, ")
_LEFT_OUT = ("DispatchKeySet", "torch.Storage src", "torch.Storage storage", "Stream", "bool async")
_IN_PYTHON = ("torch.functional", "torch._tensor", "torch._lowrank", "torch.masked._ops", "torch.signal.windows.windows")


def is_found(name: str) -> bool:
    """Whether funnn.torch has a function or method that PyTorch's parser calls so."""
    space, _, rest = name.partition("_")
    owners = [(shim, name), (shim.Tensor, name), *([(getattr(shim, space), rest)] if space in NAMESPACES else [])]
    return any(inspect.isroutine(vars(owner).get(key)) for owner, key in owners)


def of_parsers() -> set[tuple[str, str, bool]]:
    """Name, arguments and whether it is deprecated of each overload in PyTorch's library."""
    library = (Path(torch.__file__).parent / "lib/libtorch_python.so").read_bytes()
    found = set()
    for name, arguments, mark in _TEXT.findall(library):
        text = ", ".join(map(_in_words, arguments.decode().split(", "))) if arguments else ""
        if mark != b"|hidden" and not any(word in text for word in _LEFT_OUT):
            found.add((name.decode(), text, mark == b"|deprecated"))
    return found


def _in_words(argument: str) -> str:
    """``Scalar alpha=1`` as ``Number alpha = 1``."""
    if " " not in argument:
        return argument  # the star
    left, _, default = argument.partition("=")
    kind, name = left.rsplit(" ", 1)
    plain, size = re.fullmatch(r"(.*?)\??((?:\[\d\])?)\??", kind).groups()
    default = {"at::Reduction::Mean": "1", "c10::nullopt": "None", "::std::nullopt": "None"}.get(default, default)
    return f"{WORDS.get(plain, plain)}{size}{'?' if '?' in kind else ''} {name}{f' = {default}' if default else ''}"


def is_whole(name: str, text: str) -> bool:
    """Whether a text without ``self`` is a function's, and no method's: ``where(condition)``, ``repeat_interleave(repeats)``."""
    names = [part.partition(" = ")[0].rpartition(" ")[2] for part in text.split(", ") if part != "*"]
    packet = getattr(torch.ops.aten, name, None)
    return isinstance(packet, torch._ops.OpOverloadPacket) and any(
        [argument.name for argument in getattr(packet, overload)._schema.arguments] == names for overload in packet.overloads()
    )


def of_python(kinds: Kinds) -> set[tuple[str, str, bool]]:
    """The same of functions of ``torch`` and of two namespaces, and methods of ``Tensor``, that are written in Python."""
    found = set()
    for owner, ours, space in (
        (torch, shim, ""),
        (torch.Tensor, shim.Tensor, ""),
        (torch.masked, shim.masked, "masked."),
        (torch.signal.windows, shim.signal.windows, "signal.windows."),
    ):
        for name, function in inspect.getmembers(owner, inspect.isfunction):
            if name.startswith("_") or function.__module__ not in _IN_PYTHON or not callable(vars(ours).get(name)):
                continue
            items = list(inspect.signature(function).parameters.values())
            if not any(item.kind in (item.VAR_POSITIONAL, item.VAR_KEYWORD) for item in items):
                found_kinds = kinds.of(function, name, (space + name,))
                texts = [f"{found_kinds.get(item.name, 'object')} {item.name}{_default_of(item)}" for item in items]
                named = next((number for number, item in enumerate(items) if item.kind is item.KEYWORD_ONLY), None)
                if named is not None:
                    texts.insert(named, "*")
                found.add((f"{space}{name}".replace(".", "_"), ", ".join(texts), False))
    return found


def of_functional(parsers: set[tuple[str, str, bool]], kinds: Kinds) -> set[tuple[str, str, bool]]:
    """The same of torch.nn.functional, with ``nn.`` before the name: of functions in Python by their annotations."""
    found = set()
    for name, function in list(vars(torch.nn.functional).items()):
        if name.startswith("_") or not inspect.isroutine(getattr(shim.nn.functional, name, None)):
            continue
        if inspect.isbuiltin(function):
            found |= {
                (f"nn.{name}", text, False)
                for other, text, old in parsers
                if other == name and not old and ("input" in text or not hasattr(torch.Tensor, name))
            }
            continue
        items = list(inspect.signature(function).parameters.values())
        if any(item.kind is item.VAR_KEYWORD for item in items) and hasattr(torch.nn.functional, f"_{name}"):
            function = getattr(torch.nn.functional, f"_{name}")  # which a choice between two functions hides
            items = list(inspect.signature(function).parameters.values())
        if not any(item.kind in (item.VAR_POSITIONAL, item.VAR_KEYWORD) for item in items):
            found_kinds = kinds.of(function, name, (name, f"nn.functional.{name}"))
            found.add((f"nn.{name}", ", ".join(_annotated(item, found_kinds.get(item.name)) for item in items), False))
    return found


def _default_of(item: inspect.Parameter) -> str:
    return "" if item.default is item.empty else f" = {item.default!r}"


def _annotated(item: inspect.Parameter, known: str | None) -> str:
    """An argument with the kind that is known, or that its annotation says, where that is a plain one."""
    if known is not None:
        return f"{known} {item.name}{_default_of(item)}"
    kind = str(item.annotation).removeprefix("<class '").removesuffix("'>").removesuffix(" | None")
    optional = typing.get_args(item.annotation)
    if type(None) in optional and len(optional) == 2:
        kind = str(optional[0]).removeprefix("<class '").removesuffix("'>")
    kind = (
        "Tensor" if kind in ("torch.Tensor", "Tensor") and "lengths" not in item.name else "object"
    )  # the others are not checked in Python
    return f"{kind}{'?' * (type(None) in optional and item.default is item.empty)} {item.name}{_default_of(item)}"


def overloads(kinds: Kinds) -> str:
    """The text of the file."""
    parsers = of_parsers()
    lines, methods = of_python(kinds) | of_functional(parsers, kinds), set()
    for name, text, deprecated in parsers:
        if not is_found(name):
            continue
        owner = torch.Tensor if hasattr(torch.Tensor, name) and not re.search(r"\b(input|self)\b", text) else torch
        if inspect.isfunction(getattr(owner, name, None)):
            continue  # which is called through a function in Python
        is_method = hasattr(torch.Tensor, name) and not re.search(r"\b(input|self)\b", text)
        if is_method and is_whole(name, text):
            lines.add((name, text, deprecated))
        elif is_method:
            methods.add((name, f"Tensor self{', ' if text else ''}{text}", deprecated))
        else:
            lines.add((name, text, deprecated))
    said = {(name, _OUT.sub("", text).replace("Tensor input", "Tensor self", 1)) for name, text, _ in lines}
    lines |= {line for line in methods if line[:2] not in said or line[2]}  # whose warning names its own arguments
    ordered = sorted(lines, key=lambda line: (line[0], line[2], line[1]))
    return "".join(f"{name}({text}){' deprecated' if deprecated else ''}\n" for name, text, deprecated in ordered)


if __name__ == "__main__":
    measured = Kinds(sys.argv[1:] == ["--measure"])
    text = overloads(measured)
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if FILE.read_text() == text else "overloads.txt is not current: run python .ci/overloads.py")
    FILE.write_text(text)
    measured.write()
