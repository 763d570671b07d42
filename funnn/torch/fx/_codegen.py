"""The Python code of a graph, as torch writes it."""

from __future__ import annotations

import enum
import itertools
import re
import types
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.device import device
from funnn.torch.fx import _pytree
from funnn.torch.fx._names import Namespace, custom_builtins, qualified_name, register_custom_builtin, torch_name, type_text
from funnn.torch.fx._wrapping import wrap
from funnn.torch.fx.node import Node, short_tensor_text

register_custom_builtin("device", "from torch import device", device)
register_custom_builtin("fx_pytree", "import torch.fx._pytree as fx_pytree", _pytree)
_unflatten = types.ModuleType("pytree")
_unflatten.tree_unflatten = _pytree.tree_unflatten
register_custom_builtin("pytree", "import torch.utils._pytree as pytree", _unflatten)

#: Operators that Python can turn round, and all that it has, by the names of their functions in ``operator``.
reflectable_magic_methods = {
    "add": "{} + {}",
    "sub": "{} - {}",
    "mul": "{} * {}",
    "floordiv": "{} // {}",
    "truediv": "{} / {}",
    "div": "{} / {}",
    "mod": "{} % {}",
    "pow": "{} ** {}",
    "lshift": "{} << {}",
    "rshift": "{} >> {}",
    "and_": "{} & {}",
    "or_": "{} | {}",
    "xor": "{} ^ {}",
    "getitem": "{}[{}]",
    "matmul": "{} @ {}",
}
magic_methods = {
    "eq": "{} == {}",
    "ne": "{} != {}",
    "lt": "{} < {}",
    "gt": "{} > {}",
    "le": "{} <= {}",
    "ge": "{} >= {}",
    "pos": "+{}",
    "neg": "-{}",
    "invert": "~{}",
    **reflectable_magic_methods,
}
inplace_methods = {
    **{
        f"i{name.rstrip('_')}": f"{{}} {magic_methods[name].split()[1]}= {{}}"
        for name in ("add", "and_", "floordiv", "lshift", "mod", "mul", "matmul", "or_", "pow", "rshift", "sub", "truediv", "xor")
    },
    "setitem": "{}[{}] = {}",
}
#: The aliases in typing whose origins are builtin types.
_ALIASES = {list: typing.List, dict: typing.Dict, set: typing.Set, frozenset: typing.FrozenSet, tuple: typing.Tuple}  # noqa: UP006


@dataclass
class PythonCode:
    """A graph as source, with the values of its globals."""

    src: str
    globals: dict[str, Any]
    _lineno_map: dict[int, int | None] | None = None
    _prologue_start: int = 0


class PyTreeInfo(NamedTuple):
    """The arguments of a function that takes or returns containers."""

    orig_args: list[str]
    in_spec: Any
    out_spec: Any


def format_target(base: str, target: str) -> str:
    """The attribute of ``base`` with a path, as source."""
    for name in target.split("."):
        base = f"{base}.{name}" if name.isidentifier() else f'getattr({base}, "{name}")'
    return base


class CodeGen:
    """Writes the ``def`` line and the ``return`` of a graph's function; a subclass may write others."""

    def __init__(self) -> None:
        self._body_transformer: Callable[[list[str]], list[str]] | None = None
        self._func_name = "forward"

    def gen_fn_def(self, free_vars: list[str], maybe_return_annotation: str) -> str:
        """The line ``def forward(self, …):``, with all arguments' source."""
        if not free_vars or free_vars[0] != "self":
            free_vars.insert(0, "self")
        return f"def {self._func_name}({', '.join(free_vars)}){maybe_return_annotation}:"

    def generate_output(self, output_args: Any, *, repr_fn: Callable[[Any], str] = repr) -> str:
        """The ``return``, not indented."""
        return f"return {repr_fn(output_args)}"

    def process_inputs(self, *args: Any) -> Any:
        """The inputs of the graph, from those of the function."""
        return args

    def process_outputs(self, outputs: Any) -> Any:
        """What the function returns, from what the graph does."""
        return outputs

    def additional_globals(self) -> list[tuple[str, Any]]:
        """Names and values that the generated code needs beside the graph's."""
        return []

    def _gen_python_code(self, nodes: Iterable[Node], root_module: str, namespace: Namespace, *, verbose: bool = False) -> PythonCode:
        return _Writer(self, list(nodes), root_module, namespace, verbose).code()


class PyTreeCodeGen(CodeGen):
    """Of a function that takes or returns containers, which the graph has flat."""

    def __init__(self, pytree_info: PyTreeInfo):
        super().__init__()
        self.pytree_info = pytree_info

    def process_inputs(self, *inputs: Any) -> Any:
        """The leaves of the arguments."""
        return _pytree.tree_flatten_spec(tuple(inputs), self.pytree_info.in_spec)

    def process_outputs(self, out: Any) -> Any:
        """The result, built as the function built it."""
        return _pytree.tree_unflatten(out if isinstance(out, (list, tuple)) else [out], self.pytree_info.out_spec)

    def gen_fn_def(self, free_vars: list[str], maybe_return_annotation: str) -> str:
        """The ``def`` line, and the line that flattens the arguments."""
        names = self.pytree_info.orig_args
        if names and names[0] == "self":
            free_vars.insert(0, "self")
        line = super().gen_fn_def(names[:], maybe_return_annotation)
        if not free_vars:
            return line
        annotated = "".join(f"{name}; " for name in free_vars if ":" in name)
        bindings = f"\n    {annotated}\n" if annotated else ""
        flat = ", ".join(name.split(":")[0] for name in free_vars)
        return f"{line}{bindings}\n    {flat}, = fx_pytree.tree_flatten_spec([{', '.join(names)}], self._in_spec)"

    def generate_output(self, output_args: Any, *, repr_fn: Callable[[Any], str] = repr) -> str:
        """The ``return``, which builds what the function built."""
        return f"return pytree.tree_unflatten({repr_fn(output_args)}, self._out_spec)"


class _Writer:
    """Writes one graph."""

    def __init__(self, codegen: CodeGen, nodes: list[Node], root: str, namespace: Namespace, verbose: bool):
        self.codegen, self.nodes, self.root, self.namespace, self.verbose = codegen, nodes, root, namespace, verbose
        self.globals: dict[str, Any] = {}
        self.arguments: list[str] = []
        self.body: list[str] = []
        self.wrapped: dict[str, None] = {}
        self.returned = ""
        self.last_summary = ""
        for name, (_, value) in custom_builtins.items():
            self.add_global(name, value)

    def code(self) -> PythonCode:
        unused = _last_uses(self.nodes)
        for position, node in enumerate(self.nodes):
            if self.verbose:
                self.write_summary(node)
            self.body.append(f"# COUNTER: {position}\n")
            self.write(node)
            if node.op == "output":
                self.body.append("\n")
            elif node.op != "placeholder":
                over = unused.get(node, []) + ([] if node.users else [node])
                self.body.append(f";  {' = '.join([*map(self.text, over), 'None'])}\n" if over else "\n")
        body = self.body or ["pass\n"]
        wrapping = ""
        if self.wrapped:
            name = self.add_global("wrap", wrap)
            wrapping = "\n".join(f'{name}("{function}")' for function in self.wrapped)
        if self.codegen._body_transformer is not None:
            body = self.codegen._body_transformer(body)
        for name, value in self.codegen.additional_globals():
            self.add_global(name, value)
        prologue = self.codegen.gen_fn_def(self.arguments, self.returned)
        lines, origins = _without_counters("".join(body), prologue.count("\n") + 1)
        source = "\n".join(f"    {line}" for line in "\n".join(lines).lstrip("\n").split("\n"))
        return PythonCode(f"\n{wrapping}\n\n{prologue}\n{source}", self.globals, origins, wrapping.count("\n") + 4)

    def add_global(self, hint: str, value: Any) -> str:
        """The name by which the code refers to a function or type."""
        if value is not device and (found := torch_name(value)) is not None:
            return found
        name = self.namespace.create_name(hint, value)
        self.globals[name] = value
        return name

    def annotation(self, kind: Any) -> str:
        if kind == ():
            return "()"
        text = type_text(kind)
        if isinstance(kind, types.UnionType) and "|" in text:
            return "|".join(map(self.annotation, typing.get_args(kind)))
        origin = getattr(kind, "__origin__", None)
        if origin is None:
            return self.add_global(text, kind)
        if isinstance(kind, type(typing.List[int])):  # noqa: UP006
            origin = _ALIASES.get(origin, origin)
        name, arguments = self.add_global(type_text(origin), origin), typing.get_args(kind)
        return f"{name}[{','.join(map(self.annotation, arguments))}]" if arguments else name

    def text(self, value: Any) -> str:
        """An argument, as source."""
        if isinstance(value, Node):
            return self.namespace.create_name(value.name, value)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return f"{self.add_global(qualified_name(type(value)), type(value))}{self.text(tuple(value))}"
        if isinstance(value, enum.Enum):
            return f"{self.add_global(type(value).__name__, type(value))}.{value.name}"
        if isinstance(value, Tensor):
            return f"torch.Tensor(size={list(value.size())}, dtype={str(value.dtype).split('.')[-1]})"
        if isinstance(value, tuple) and type(value).__repr__ is tuple.__repr__:
            return f"({', '.join(map(self.text, value))}{',' if len(value) == 1 else ''})"
        if isinstance(value, list):
            return f"[{', '.join(map(self.text, value))}]"
        if isinstance(value, dict):
            return f"{{{', '.join(f'{name!r}: {self.text(item)}' for name, item in value.items())}}}"
        if isinstance(value, slice):
            return f"slice({self.text(value.start)}, {self.text(value.stop)}, {self.text(value.step)})"
        return repr(value)

    def call(self, args: Iterable[Any], kwargs: dict[str, Any]) -> str:
        return f"({', '.join([*map(self.text, args), *(f'{name} = {self.text(value)}' for name, value in kwargs.items())])})"

    def write(self, node: Node) -> None:
        name = self.text(node)
        kind = "" if node.type is None else f" : {self.annotation(node.type)}"
        if self.verbose:
            value = node.meta.get("val", node.meta.get("tensor_meta", node.meta.get("example_value")))
            if hasattr(value, "dtype") and hasattr(value, "shape"):
                kind = f': "{short_tensor_text(value)}"'
        if node.op == "placeholder":
            default = f" = {self.text(node.args[0])}" if node.args else ""
            self.arguments.append(f"{node.target}{kind}{default}")
            plain = node.target.replace("*", "")
            if plain != name:
                self.body.append(f"{name} = {plain}\n")
        elif node.op == "call_function":
            self.body.append(self.function_call(node, f"{name}{kind}"))
        elif node.op == "call_method":
            target = format_target(self.text(node.args[0]), node.target)
            self.body.append(f"{name}{kind} = {target}{self.call(node.args[1:], node.kwargs)}")
        elif node.op == "call_module":
            self.body.append(f"{name}{kind} = {format_target(self.root, node.target)}{self.call(node.args, node.kwargs)}")
        elif node.op == "get_attr":
            self.body.append(f"{name}{kind} = {format_target(self.root, node.target)}")
        elif node.op == "output":
            if node.type is not None:
                self.returned = f" -> {self.annotation(node.type)}"
            self.body.append(self.codegen.generate_output(node.args[0], repr_fn=self.text))
        else:
            raise NotImplementedError(f"node: {node.op} {node.target}")

    def function_call(self, node: Node, name: str) -> str:
        target, texts = node.target, [self.text(value) for value in node.args]
        if getattr(target, "__module__", "") == "_operator":
            if target.__name__ in magic_methods:
                return f"{name} = {magic_methods[target.__name__].format(*texts)}"
            if target.__name__ in inplace_methods:
                return f"{inplace_methods[target.__name__].format(*texts)};  {name} = {texts[0]}"
        function = self.add_global(qualified_name(target), target)
        if function == "getattr" and len(texts) == 2 and isinstance(node.args[1], str) and node.args[1].isidentifier():
            return f"{name} = {format_target(texts[0], node.args[1])}"
        if node.meta.get("is_wrapped", False):
            self.wrapped[function] = None
        return f"{name} = {function}{self.call(node.args, node.kwargs)}"

    def write_summary(self, node: Node) -> None:
        """The line of the program that a node is from, where it is another one than the last node's."""
        if node.op in ("placeholder", "output"):
            return
        summary = "No stacktrace found for following nodes"
        lines = (node.stack_trace or "").strip().split("\n")
        for line, code in reversed(list(itertools.pairwise(lines))):
            if found := re.fullmatch(r'File "(.+)", line (\d+), in (.+)', line.strip()):
                summary = f"File: {found[1]}:{found[2]} in {found[3]}, code: {code.strip()}"
                break
        if summary != self.last_summary:
            self.last_summary = summary
            self.body.append(f"\n# {summary}\n")


def _last_uses(nodes: list[Node]) -> dict[Node, list[Node]]:
    """For each node, those whose values it is the last to use."""
    seen: set[Node] = set()
    last: dict[Node, list[Node]] = {}
    for user in reversed(nodes):
        for node in user.all_input_nodes:
            if node not in seen:
                seen.add(node)
                last.setdefault(user, []).append(node)
    return last


def _without_counters(text: str, first: int) -> tuple[list[str], dict[int, int | None]]:
    """The lines of the body, and for each line of the function the number of its node."""
    lines: list[str] = []
    origins: dict[int, int | None] = {}
    current: int | None = None
    for line in text.split("\n"):
        if found := re.search(r"# COUNTER: (\d+)", line):
            current = int(found[1])
        else:
            origins[len(lines) + first] = current
            lines.append(line)
    return lines, origins
