"""The text of one stub: functions, classes with all that was put into them, constants with their types."""

from __future__ import annotations

import ast
import functools
import inspect
import sys
import textwrap
import types
from typing import Any

import stub_facts as facts
from stub_functions import Function, Functions
from stub_sources import Source, assigned_to_instances, entries_of_spec
from stub_types import Names, Unknown

import funnn.torch as torch
from funnn.layers import Layer
from funnn.torch.nn.modules.derived import Computed, LayerModule

#: What a class has by itself, and what type checkers need not see.
IGNORED = frozenset(
    (
        *("__module__", "__doc__", "__dict__", "__weakref__", "__qualname__", "__annotations__", "__annotate__", "__annotations_cache__"),
        *("__signature__", "__firstlineno__", "__static_attributes__", "__parameters__", "__type_params__", "__orig_bases__", "__slots__"),
        *("__match_args__", "__abstractmethods__", "__init_subclass__", "__reduce_ex__", "__constants__", "_abc_impl"),
        *("_layer_type", "_file", "_placed", "_written", "_reset_name", "_own_reset", "_spent", "_size", "rule"),
    )
)


class Text(Functions):
    """Writes functions and classes with the names of one stub."""

    def __init__(self, names: Names, sources: dict[str, Source]):
        super().__init__(names)
        self.sources = sources

    # -- constants

    def constant(self, value: Any) -> str:
        """The type of a value."""
        if value is None:
            return "None"
        try:
            return self.names.text(type(value), tensors=False)
        except Unknown:
            return self.names.any

    def alias(self, name: str, value: Any) -> list[str]:
        """The line of a type alias; none where it can't be written."""
        try:
            return [f"{name} = {self.names.text(value)}"]
        except Unknown:
            return [f"{name}: {self.names.any}"]

    # -- classes

    def head(self, name: str, kind: type) -> str:
        """``class name(bases):``; the named tuples of ``torch.return_types`` and the legacy types say in one line what they are."""
        bases = [self.names.text(base) for base in kind.__bases__ if base is not object]
        if type(kind) is not type and all(type(kind) is not type(base) for base in kind.__bases__):
            bases.append(f"metaclass={self.names.text(type(kind))}")
        return f"class {name}({', '.join(bases)}):" if bases else f"class {name}:"

    def class_(self, name: str, kind: type, home: str | None) -> list[str]:
        """A class with all its members."""
        if name in torch.return_types.__all__ and kind.__module__ == "funnn.torch.return_types":
            tensor = self.names.parse("Tensor")
            return ["", f"class {name}({self.names.of('typing', 'NamedTuple')}):", *(f"    {field}: {tensor}" for field in kind._fields)]
        if home is None and hasattr(kind, "kind") and name.endswith("Tensor"):
            return [f"class {name}({self.names.parse('Tensor')}): ..."]
        source = self.sources.get(home or "")
        lines = self.members(kind, source)
        return ["", self.head(name, kind), *(f"    {line}" for line in lines)] if lines else ["", f"{self.head(name, kind)} ..."]

    def members(self, kind: type, source: Source | None) -> list[str]:
        """The lines of a class's body: attributes, then methods, each in the order of their names."""
        namespace = vars(sys.modules[source.module.__name__]) if source else {}
        attributes, methods = self._instance_attributes(kind, source), {}
        annotated = inspect.get_annotations(kind)
        for name, annotation in annotated.items():
            attributes[name] = self.names.parse(annotation, namespace) or self.names.any
        for name, value in vars(kind).items():
            if name in IGNORED or isinstance(value, (types.MemberDescriptorType, types.GetSetDescriptorType)):
                continue
            if hasattr(getattr(value, "__func__", None), "pure"):  # the function of a layer
                continue
            attributes.pop(name, None)
            if getattr(value, "__module__", "") == "funnn.torch._unsupported":  # ``__getattr__``, which only raises
                continue
            if name == "__new__":
                line = self._def(name, getattr(value, "__func__", value), name, method=True, of_tensor=False)
                methods[name] = [line.replace("(self", "(cls", 1)]
            elif isinstance(value, property):
                methods[name] = self._property(name, value)
            elif isinstance(value, (staticmethod, classmethod)):
                methods[name] = self._decorated(name, value)
            elif isinstance(value, types.FunctionType):
                methods[name] = self.function(name, value, name, method=True, of_tensor=kind is torch.Tensor)
            elif isinstance(value, (Computed, functools.cached_property)):
                inner = value.compute if isinstance(value, Computed) else value.func
                annotation = getattr(inner, "__annotations__", {}).get("return")
                attributes[name] = self.names.parse(annotation, getattr(inner, "__globals__", {})) if annotation else self.names.any
            elif name in annotated:
                attributes[name] = self.names.parse(annotated[name], namespace) or self.names.any
            else:
                attributes[name] = self.names.any if value is None else self.constant(value)
        if (issubclass(kind, LayerModule) and "_layer_type" in vars(kind)) or (
            "__signature__" in vars(kind) and "__init__" not in vars(kind)
        ):
            methods["__init__"] = [self._constructor(kind)]
        lines = [f"{name}: {attributes[name] or self.names.any}" for name in sorted(attributes)]
        return lines + [line for name in sorted(methods) for line in methods[name]]

    def _instance_attributes(self, kind: type, source: Source | None) -> dict[str, str]:
        """What methods assign to objects of the class, and of a Module what its layer has."""
        found: dict[str, str] = {}
        if source is not None and kind.__name__ in source.classes:
            namespace = vars(source.module)
            for name, annotation in assigned_to_instances(source.classes[kind.__name__]).items():
                if not any(name in vars(base) or name in inspect.get_annotations(base) for base in kind.__mro__[:-1]):
                    found[name] = (self.names.parse(annotation, namespace) if annotation else None) or self.names.any
        layer = vars(kind).get("_layer_type")
        if layer is None or not issubclass(layer, Layer):
            return found
        inherited = {name for base in kind.__mro__[1:] if "_layer_type" in vars(base) for name in self._of_layer(vars(base)["_layer_type"])}
        return found | {name: text for name, text in self._of_layer(layer).items() if name not in inherited and name not in kind._written}

    def _of_layer(self, layer: type[Layer]) -> dict[str, str]:
        """The fields of a layer with their types, and its parameters and buffers, which always are there or are of unknown type."""
        found: dict[str, str] = {}
        for base in reversed(layer.__mro__[: layer.__mro__.index(Layer)]):
            namespace = vars(sys.modules[base.__module__])
            for name, annotation in inspect.get_annotations(base).items():
                if name in layer.sizes_from_input:  # a Module knows its sizes
                    annotation = str(annotation).removesuffix(" | None")
                if "ClassVar" not in str(annotation) and not name.startswith("_"):
                    found[name] = self.names.parse(annotation, namespace, tensors=True) or self.names.any
        spec = layer.spec
        source = _definition(spec)
        if source is not None:
            parameter, tensor = self.names.parse("Parameter"), self.names.parse("Tensor")
            found |= {
                name: {"Param": parameter, "Buffer": tensor, "": self.names.any}[what] for name, what in entries_of_spec(source).items()
            }
        return found

    def _constructor(self, kind: type) -> str:
        layer = getattr(kind, "_layer_type", None)
        bases = kind.__mro__ if layer is None else layer.__mro__
        namespace = {name: value for base in reversed(bases) for name, value in vars(sys.modules[base.__module__]).items()}
        signature = inspect.signature(kind)
        first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        constructor = Function("__init__", "__init__", signature, namespace, True, kind.__module__, method=True, of_tensor=False)
        return f"def __init__({self._arguments([first, *signature.parameters.values()], constructor, '', set())}) -> None: ..."

    def _property(self, name: str, value: property) -> list[str]:
        result = self.names.parse(facts.RESULTS[name]) if name in facts.RESULTS else None
        if result is None:
            signature = inspect.signature(value.fget)
            inner = inspect.unwrap(value.fget)
            annotation = signature.return_annotation
            if annotation is not signature.empty:
                result = self.names.parse(annotation, getattr(inner, "__globals__", {}))
            elif getattr(inner, "__module__", "").startswith("funnn.engine.ops"):
                result = self.names.parse("Tensor")
        result = result or self.names.any
        lines = [f"@{self.names.of('builtins', 'property')}", f"def {name}(self) -> {result}: ..."]
        if value.fset is not None:
            lines += [f"@{name}.setter", f"def {name}(self, value: {result}) -> None: ..."]
        if value.fdel is not None:
            lines += [f"@{name}.deleter", f"def {name}(self) -> None: ..."]
        return lines

    def _decorated(self, name: str, value: staticmethod | classmethod) -> list[str]:
        decorator = self.names.of("builtins", type(value).__name__)
        function = value.__func__
        if isinstance(value, staticmethod):
            return [f"@{decorator}", *self.function(name, function, name)]
        (line,) = self.function(name, function, name, method=True)
        return [f"@{decorator}", line.replace("(self", "(cls", 1)]


def _definition(function: Any) -> Any:
    """The syntax tree of a function."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError):
        return None
