"""How torch names functions and types in the text of graphs and in generated code; and which names the values of a graph get.

Functions are elsewhere here than in torch, so their names do not come from ``__module__``: ``torch.nn.functional.gelu`` is written
``torch._C._nn.gelu``, as in torch, ``torch.linalg.norm`` is ``torch._C._linalg.linalg_norm``, and what torch has written in Python has the name of that file.
"""

from __future__ import annotations

import builtins
import functools
import inspect
import keyword
import math
import re
import sys
import types
from collections.abc import Callable
from typing import Any

from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.engine.tensor.tensor import Tensor
from funnn.torch._compiled_parts import PARTS
from funnn.torch.nn import functional


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Functions of torch that are written in Python, in torch.functional.
_IN_PYTHON = _words(
    """atleast_1d atleast_2d atleast_3d block_diag broadcast_shapes broadcast_tensors cartesian_prod cdist chain_matmul einsum lu
    meshgrid norm split stft tensordot unique unique_consecutive unravel_index"""
)
#: Functions of torch.nn.functional that are torch's own, or of its compiled module.
_OF_TORCH = _words(
    """adaptive_avg_pool1d avg_pool1d bilinear celu_ channel_shuffle conv1d conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d
    conv_transpose3d cosine_similarity hardshrink native_channel_shuffle pairwise_distance pdist pixel_shuffle pixel_unshuffle
    prelu relu_ rrelu_ selu_ threshold_"""
)
_ELSEWHERE = {"threshold": "torch.nn.functional._threshold"}
#: Functions of torch.nn.functional that return indices too where they are asked to, which torch then calls by another name.
_WITH_INDICES = re.compile(r"(adaptive_|fractional_)?max_pool[123]d")
#: Arguments that the functions here have and torch's have not.
_BEYOND = {"batched", "dropout_key", "key"}
#: Arguments that torch's functions written in Python name in another way than those here.
_KEYWORDS = {
    "torch.functional.cdist": ("p", "compute_mode"),
    "torch.functional.norm": ("p", "dim", "keepdim", "out", "dtype"),
    "torch.functional.unravel_index": ("shape",),
}


@functools.cache
def _torch_names() -> dict[Callable, str]:
    """Torch's name of each function, once all of them are there."""
    names: dict[Callable, str] = {}
    for name in (*functional.__all__, *(name for name in _OF_TORCH if name.endswith("_"))):
        names[getattr(functional, name)] = f"torch.{name}" if name in _OF_TORCH else _ELSEWHERE.get(name, f"torch.nn.functional.{name}")
    for part, functions in PARTS.items():
        names.update({function: f"torch._C.{part}.{name}" for name, function in functions.items()})
    for name, function in FUNCTIONS.items():
        if function not in names or (function.__name__ == name and not hasattr(functional, name)):  # the last: of two names of a function
            names[function] = f"torch.functional.{name}" if name in _IN_PYTHON else f"torch.{name}"
    return names


def torch_name(function: Any) -> str | None:
    """The name by which torch writes one of its functions or types; None for what is not torch's."""
    if isinstance(function, types.ModuleType):
        return None
    try:
        if (found := _torch_names().get(function)) is not None:
            return found
    except TypeError:  # it has no hash
        return None
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", "")
    module = getattr(function, "__module__", None)
    module = module.removeprefix("funnn.") if isinstance(module, str) else ""
    if not module.startswith("torch") or module.rpartition(".")[2].startswith("_"):  # a file that torch may not have
        for prefix, owner in (("torch", sys.modules["funnn.torch"]), ("torch.Tensor", Tensor)):
            if name and getattr(owner, name, None) is function:
                return f"{prefix}.{name}"
    if module.partition(".")[0] == "torch" and not module.startswith(("torch._dynamo.", "torch._inductor.")):
        return f"{module}.{name}" if resolve(f"{module}.{name}") is function else None
    return None


def resolve(path: str) -> Any:
    """What stands under one of torch's names; None if nothing does."""
    by_name = _by_name()
    if path in by_name:
        return by_name[path]
    _, *parts = path.split(".")
    value: Any = sys.modules["funnn.torch"]
    for position, part in enumerate(parts):
        module = sys.modules.get("funnn.torch." + ".".join(parts[: position + 1]))
        value = module if module is not None and part not in vars(value) else getattr(value, part, None)
        if value is None:
            return None
    return value


@functools.cache
def _by_name() -> dict[str, Callable]:
    return {name: function for function, name in _torch_names().items()}


def qualified_name(function: Callable) -> str:
    """``module.name`` of a function or type, as torch writes it."""
    if getattr(builtins, function.__name__, None) is function:
        return function.__name__
    found = torch_name(function)
    if found is not None:
        return found
    name = function.__name__
    if name == "<lambda>":
        try:
            name = inspect.getsource(function).split("=")[0].strip()
        except Exception as error:
            raise RuntimeError("Unable to represent lambda") from error
    if function.__module__ is None:
        raise RuntimeError(f"cannot find module for {function}")
    return f"{function.__module__}.{name}"


def short_name(function: Callable) -> str:
    """What torch has as ``__name__`` of a function."""
    found = torch_name(function)
    return function.__name__ if found is None else found.rpartition(".")[2]


def type_text(kind: Any) -> str:
    """A type as it is written in annotations."""
    if isinstance(kind, type) and not isinstance(kind, types.GenericAlias):
        if kind.__module__ == "builtins":
            return kind.__qualname__
        return torch_name(kind) or f"{kind.__module__}.{kind.__qualname__}"
    if kind is ...:
        return "..."
    return kind.__name__ if isinstance(kind, types.FunctionType) else repr(kind).replace("funnn.torch.", "torch.")


# -- calls


def recorded_call(function: Callable, args: tuple, kwargs: dict[str, Any]) -> tuple[str, Any, tuple, dict[str, Any]]:
    """What torch records of a call of one of its functions: the node's kind, the target and the arguments.

    Where torch's function is written in Python, all arguments with defaults are there, by name. Functions and methods of a name are one object here: it is
    taken for the method where torch has no such function, and where it is an operator's, or writes in place, and its first argument is a tensor.
    """
    name = torch_name(function)
    leaf = function.__name__
    if (
        name is None
        or name.startswith("torch.Tensor.")
        or ((leaf in _OPERATORS or leaf.endswith("_")) and args and isinstance(args[0], Tensor))
    ):
        return "call_method", leaf, args, kwargs
    if name in ("torch.nn.functional.sigmoid", "torch.nn.functional.tanh"):
        return "call_method", leaf, args, kwargs
    if name.startswith(("torch.nn.functional.", "torch.functional.")):
        args, kwargs = _in_full(name, function, args, kwargs)
        if kwargs.get("return_indices") is True and _WITH_INDICES.fullmatch(leaf):
            function = getattr(functional, f"{leaf}_with_indices")
    return "call_function", function, args, kwargs


#: The operators of Python, by the names of the methods that they are.
_OPERATORS = _words(
    """add sub mul div floor_divide remainder pow matmul eq ne lt le gt ge bitwise_and bitwise_or bitwise_xor bitwise_left_shift
    bitwise_right_shift"""
)


def _in_full(name: str, function: Callable, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
    signature = inspect.signature(function)
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for parameter in signature.parameters.values():
        value = bound.arguments[parameter.name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            in_one = name == "torch.functional.einsum" and len(value) == 2 and isinstance(value[1], (list, tuple))
            positional.extend((value[0], *value[1]) if in_one else value)
        elif parameter.kind is parameter.VAR_KEYWORD:
            named.update(value)
        elif parameter.default is parameter.empty and parameter.name not in _KEYWORDS.get(name, ()):
            positional.append(value)
        elif parameter.name not in _BEYOND or value is not parameter.default:
            named[parameter.name] = value
    if name == "torch.functional.chain_matmul" and named["out"] is None:
        del named["out"]
    return tuple(positional), {key: named[key] for key in _KEYWORDS.get(name, named)}


# -- the names of values

#: What generated code finds without an import: how it would be imported, and the object. Names of values are none of these.
custom_builtins: dict[str, tuple[str, Any]] = {}
_illegal: dict[str, Any] = {**dict.fromkeys(keyword.kwlist, object()), **vars(builtins)}


def register_custom_builtin(name: str, import_text: str, value: Any) -> None:
    """Let generated code use ``name``; ``import_text`` is the statement that a file would need."""
    custom_builtins[name] = import_text, value
    _illegal[name] = value


register_custom_builtin("inf", "from math import inf", math.inf)
register_custom_builtin("nan", "from math import nan", math.nan)
register_custom_builtin("NoneType", "NoneType = type(None)", type(None))
register_custom_builtin("torch", "import torch", sys.modules["funnn.torch"])
_NAME = re.compile(r"([a-zA-Z_][0-9a-zA-Z_]*?)(?:_(\d+))?")


class Namespace:
    """Gives names: to each object one, and no name twice; keywords and builtins are left alone."""

    def __init__(self) -> None:
        self._names: dict[Any, str] = {}
        self._used: set[str] = set()
        self._counts: dict[str, int] = {}

    def create_name(self, candidate: str, value: Any) -> str:
        """The name of ``value``, if it has one; else ``candidate``, or ``candidate_1`` and so on where that is taken."""
        if value is not None and value in self._names:
            return self._names[value]
        match = _NAME.fullmatch(candidate)
        if match is None:
            candidate = re.sub("[^0-9a-zA-Z_]+", "_", candidate) or "_unnamed"
            candidate = f"_{candidate}" if candidate[0].isdigit() else candidate
            match = _NAME.fullmatch(candidate)
            if match is None:
                raise AssertionError(f"Name regex failed to match candidate: {candidate}")
        base, digits = match.groups()
        if digits is None or candidate in self._used:
            number = self._counts.get(base, 0)
            if _illegal.get(candidate, value) is not value:
                number += 1
                candidate = f"{base}_{number}"
        else:
            number = int(digits)
        while candidate in self._used:
            number += 1
            candidate = f"{base}_{number}"
        self._used.add(candidate)
        self._counts[base] = number
        if value is not None:
            self._names[value] = candidate
        return candidate

    def associate(self, name: str, value: Any) -> None:
        """Let an object have a name that was made for it."""
        self._names[value] = name

    def rename(self, value: Any, name: str) -> None:
        """Give an object another name."""
        self._names[value] = name
        self._used.add(name)


def snake_case(text: str) -> str:
    """``BatchNorm`` as ``batch_norm``."""
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", text).lower()


def name_of_target(target: Any) -> str:
    """The name that a value gets by what makes it."""
    text = short_name(target) if callable(target) else target
    return snake_case(text[2:-2] if not callable(target) and text.startswith("__") and text.endswith("__") else text)
