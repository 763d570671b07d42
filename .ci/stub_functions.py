"""Functions as text in a stub: the live signature, with types from annotations, from the tables of operations and from ``stub_facts``."""

from __future__ import annotations

import functools
import inspect
import typing
from typing import Any, NamedTuple

import stub_facts as facts
from stub_types import Names

import funnn.torch as torch
from funnn.engine.ops.kit.table import _CHECKED, FUNCTIONS
from funnn.engine.ops.kit.tensor_arguments import tensors_of

_PURE = ("funnn.functional", "funnn.layers", "funnn.engine.ops", "funnn.torch.nn")  # where an array in an annotation is a tensor to torch
_TABLES = ("funnn.torch", "funnn.engine", "funnn.functional")  # where functions without annotations give tensors


class Function(NamedTuple):
    """A function that a stub defines.

    Attributes:
      name, key: its name, and torch's name of it, by which the tables of operations and of ``stub_facts`` know it.
      signature: the live one.
      names: where the names in its annotations are looked up.
      pure: whether arrays in its annotations are Tensors when torch calls it.
      module: where it was written.
      method: whether it is one, and of Tensor.
    """

    name: str
    key: str
    signature: inspect.Signature
    names: dict[str, Any]
    pure: bool
    module: str
    method: bool
    of_tensor: bool


class Functions:
    """Writes functions with the names of one stub."""

    def __init__(self, names: Names):
        self.names = names

    # -- functions

    def function(self, name: str, function: Any, key: str, method: bool = False, of_tensor: bool = False) -> list[str]:
        """The lines of a ``def``, or of several where overloads are known."""
        written = vars(facts.MethodOverloads).get(key) if of_tensor else None
        written = written or (vars(facts.Overloads).get(key) if key == name else None)
        overloads = typing.get_overloads(written) or [written] if written is not None else _with_and_without_indices(function)
        overloads = [each for item in overloads for each in _loose_and_named(item)]
        if len(overloads) < 2:
            return [self._def(name, *overloads, key, method, of_tensor)]
        overload = f"@{self.names.of('typing', 'overload')}"
        return [line for item in overloads for line in (overload, self._def(name, item, key, method, of_tensor))]

    def _def(self, name: str, function: Any, key: str, method: bool, of_tensor: bool) -> str:
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):
            signature = inspect.signature(lambda *args, **kwargs: None)
        inner = inspect.unwrap(function)
        module = str(inner.__module__)
        written = Function(name, key, signature, inner.__globals__, module.startswith(_PURE), module, method, of_tensor)
        result = self._result(written)
        # a method of Tensor has no ``out``; the keys of random functions are JAX's: modules draw from a generator
        left_out = {"out"} if of_tensor else {getattr(function, "key_name", None), *getattr(function, "only_here", ())}
        parameters = [item for item in signature.parameters.values() if item.name not in left_out]
        wanted = set(tensors_of(function)) if key in _CHECKED or (key in FUNCTIONS and not method) else set()
        arguments = self._arguments(parameters, written, result, wanted)
        ignored = "  # type: ignore[override]" if method and name in ("__eq__", "__ne__") else ""
        return f"def {name}({arguments}) -> {result}: ...{ignored}"

    def _result(self, function: Function) -> str:
        """What a function gives: what the table says, its annotation, or a Tensor where it is one of torch's functions."""
        annotation = function.signature.return_annotation
        listed = facts.RESULTS.get("_foreach_*" if function.name.startswith("_foreach_") else function.key)
        if listed is not None and (not function.method or function.of_tensor or annotation in (function.signature.empty, "Any", Any)):
            return self.names.parse(listed) or self.names.any
        if function.name == "__new__":
            return self.names.of("typing", "Self")
        if function.name in ("__init__", "__setattr__", "__delattr__", "__setitem__", "__delitem__"):
            return "None"
        if annotation is not function.signature.empty:
            return self.names.parse(annotation, function.names, function.pure) or self.names.any
        of_torch = function.of_tensor or "." in function.key or function.key in FUNCTIONS
        if not of_torch or not function.module.startswith(_TABLES):
            return self.names.any
        named = function.key.replace(".", "_")
        if named in torch.return_types.__all__:
            return self.names.of("funnn.torch.return_types", named)
        return self.names.parse("Tensor") or self.names.any

    def _arguments(self, parameters: list[inspect.Parameter], function: Function, result: str, wanted: set[str]) -> str:
        parts: list[str] = []
        if function.method:
            if parameters and parameters[0].kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD):
                parameters = parameters[1:]
            parts.append("self")
        kinds = [item.kind for item in parameters]
        for item, behind in zip(parameters, [*kinds, None][1:], strict=True):
            if item.kind is item.KEYWORD_ONLY and "*" not in [part[0] for part in parts]:
                parts.append("*")
            stars = {item.VAR_POSITIONAL: "*", item.VAR_KEYWORD: "**"}.get(item.kind, "")
            default = "" if item.default is item.empty else f" = {_literal(item.default)}"
            parts.append(f"{stars}{item.name}: {self._type(item, function, result, wanted)}{default}")
            if item.kind is item.POSITIONAL_ONLY and behind is not item.POSITIONAL_ONLY:
                parts.append("/")
        return ", ".join(parts)

    def _type(self, item: inspect.Parameter, function: Function, result: str, wanted: set[str]) -> str:
        """The type of an argument: its annotation, else what its name, the table of tensors or its default says."""
        names, unknown = self.names, self.names.any
        found = None if item.annotation is item.empty else names.parse(item.annotation, function.names, function.pure)
        if found is not None and found not in (unknown, f"{unknown} | None"):
            return found
        if item.kind is item.VAR_POSITIONAL:
            return names.parse(facts.LOOSE.get(item.name, "Any")) or unknown
        protocol = function.name.startswith("__") and function.name != "__init__"  # Python's or NumPy's, whose ``dtype`` is another
        listed = None if protocol else facts.PARAMETERS.get(item.name)
        if item.name in wanted:
            found = names.parse("Tensor")
        elif item.name == "out" and result == names.parse("Tensor"):
            found = result
        elif listed is not None and (listed != "float" or type(item.default) in (int, float)):
            found = names.parse(listed)
        elif isinstance(item.default, (bool, str)) or (type(item.default) is int and item.name in facts.DIMENSIONS):
            return names.of("builtins", type(item.default).__name__)
        if found is None or found == unknown:
            return unknown
        return f"{found} | None" if item.default is None else found


def _loose_and_named(function: Any) -> list[Any]:
    """A function of loose sizes as two, the second with them in one sequence that has a name; any other as it is."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return [function]
    loose = [item for item in signature.parameters.values() if item.kind is item.VAR_POSITIONAL and item.name in facts.SIZES.split()]
    if not loose:
        return [function]
    made = functools.wraps(function)(lambda: None)
    named = loose[0].replace(kind=loose[0].POSITIONAL_OR_KEYWORD, annotation="Sequence[int]")
    made.__signature__ = signature.replace(parameters=[named if item is loose[0] else item for item in signature.parameters.values()])
    return [function, made]


def _with_and_without_indices(function: Any) -> list[Any]:
    """A function with the flag ``return_indices``, on which its result depends, as two; any other as it is."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return [function]
    flag, result = signature.parameters.get("return_indices"), str(signature.return_annotation)
    plain, _, both = result.partition(" | tuple")
    if flag is None or not both:
        return [function]
    found = []
    for value, annotation in ((False, plain), (True, f"tuple{both}")):
        made = functools.wraps(function)(lambda: None)
        kind, default = (flag.KEYWORD_ONLY, flag.empty) if value else (flag.kind, False)
        changed = flag.replace(kind=kind, default=default, annotation=f"Literal[{value}]")
        fields = [changed if field is flag else field for field in signature.parameters.values()]
        fields = [field.replace(kind=kind) if value and fields.index(changed) < place else field for place, field in enumerate(fields)]
        made.__signature__ = signature.replace(parameters=fields, return_annotation=annotation)
        found.append(made)
    return found


def _literal(value: Any) -> str:
    """A default as text; ``...`` for what has no short one."""
    if value is None or type(value) in (bool, int, str):
        return repr(value)
    if type(value) is float:
        return repr(value) if value == value and abs(value) != float("inf") else "..."
    if type(value) is tuple and all(_literal(item) != "..." for item in value):
        return repr(value)
    return "..."
