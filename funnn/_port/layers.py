"""Module classes written as Layers: their constructors, parameters and methods, where that is mechanical; what is not is said by line."""

from __future__ import annotations

import ast
import re
from typing import NamedTuple

from funnn._port.edits import Edit, Source
from funnn._port.expressions import Expressions

_HEAD = """\
from functools import partial

import jax
import jax.numpy as jnp

from funnn import Layer, init, layers
from funnn import functional as F
from funnn.layers import Buffer, Param
"""
#: Functions of torch that fill a new parameter -> the initialiser, and its arguments by name.
_DRAWN = {"zeros": "init.zeros", "ones": "init.ones", "empty": "init.zeros", "randn": "init.normal", "rand": "init.uniform"}
_BASE = "torch.nn.Module"


class Written(NamedTuple):
    """The layers of a program, and what stands in it otherwise than a layer has it: (line, text)."""

    text: str
    notes: list[tuple[int, str]]


def layers_of(source: Source) -> Written:
    """All Module classes of a program as Layers, with the functions, constants and imports that they use."""
    expressions = Expressions(source)
    classes = _modules(source, expressions)
    wanted = _used_by(source, expressions, classes)
    imports = [node for node in wanted if isinstance(node, (ast.Import, ast.ImportFrom))]
    rest = [node for node in source.tree.body if node in classes or (node in wanted and node not in imports)]
    pieces = [_class(node, expressions) if isinstance(node, ast.ClassDef) else expressions.text(node) for node in rest]
    body = "\n\n\n".join(pieces)
    text = "".join(f"{source.text(node)}\n" for node in imports) + f"{_needed_head(body)}\n\n{body}\n" if classes else ""
    return Written(text, sorted(expressions.notes))


def _needed_head(body: str) -> str:
    """The imports of which something is used."""
    lines = []
    for line in _HEAD.splitlines():
        head, _, names = line.partition("import ")
        used = [name for name in names.split(", ") if re.search(rf"(?<![\w.]){name.rpartition(' as ')[2]}\b", body)] if head else []
        if line.startswith("import "):
            used = [names] if re.search(rf"(?<![\w.]){names.rpartition(' as ')[2]}\.", body) else []
        if used:
            lines.append(f"{head}import {', '.join(used)}")
        elif not line:
            lines.append("")
    return "\n".join(lines).strip() + "\n"


def _modules(source: Source, expressions: Expressions) -> list[ast.ClassDef]:
    """The top-level classes that are Modules, by their bases."""
    found: list[ast.ClassDef] = []
    for node in source.tree.body:
        if isinstance(node, ast.ClassDef):
            names = {each.name for each in found}
            if any(expressions.names.of(base) == _BASE or (isinstance(base, ast.Name) and base.id in names) for base in node.bases):
                found.append(node)
            elif any((expressions.names.of(base) or "").startswith("torch.nn.") for base in node.bases):
                expressions.note(node, f"{node.name}: only subclasses of torch.nn.Module itself become layers")
    return found


def _used_by(source: Source, expressions: Expressions, classes: list[ast.ClassDef]) -> list[ast.stmt]:
    """The functions, constants and imports (but of torch) at the top of the program that the classes use, and those that these use."""
    wanted: list[ast.stmt] = []
    waiting: list[ast.AST] = list(classes)
    while waiting:
        names = {part.id for part in ast.walk(waiting.pop()) if isinstance(part, ast.Name)}
        for node in source.tree.body:
            if node not in wanted and node not in classes and names & set(_bound_by(node, expressions)):
                wanted.append(node)
                waiting.append(node)
    return sorted(wanted, key=source.tree.body.index)


def _bound_by(node: ast.stmt, expressions: Expressions) -> list[str]:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        module = getattr(node, "module", None) or node.names[0].name
        return [] if module.partition(".")[0] == "torch" else [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    if isinstance(node, ast.FunctionDef):
        return [node.name]
    if isinstance(node, ast.Assign) and not (expressions.names.of(node.value) or "").startswith("torch"):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []


# -- one class


def _class(node: ast.ClassDef, expressions: Expressions) -> str:
    """A class as a Layer: its base, its constructor without super(), ``spec`` for its parameters and buffers, and its methods."""
    source = expressions.source
    edits = [Edit(*source.span(base), "Layer") for base in node.bases if expressions.names.of(base) == _BASE]
    buffers: set[str] = set()
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name == "__init__":
            spec = _Constructor(part, node, expressions)
            edits += spec.edits
            buffers = spec.buffers
        else:
            edits += _own_edits(part, expressions)
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name != "__init__":
            _note_assignments(part, buffers, expressions)
    begin, end = source.span(node)
    if node.decorator_list:
        expressions.note(node, f"{node.name}: its decorators are left out")
    content = source.content[begin:end]
    for first, last, text in sorted(edits, reverse=True):
        content = content[: first - begin] + text.encode() + content[last - begin :]
    return content.decode()


def _own_edits(node: ast.stmt, expressions: Expressions) -> list[Edit]:
    replaced = expressions.text(node)
    return [Edit(*expressions.source.span(node), replaced)] if replaced != expressions.source.text(node) else []


def _note_assignments(method: ast.FunctionDef, buffers: set[str], expressions: Expressions) -> None:
    """Say which attributes a method assigns that are no buffers, and where it writes into an array."""
    for node in ast.walk(method):
        for target in node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []:
            if (
                isinstance(target, ast.Attribute)
                and isinstance(target.value, ast.Name)
                and target.value.id == "self"
                and target.attr not in buffers
            ):
                expressions.note(
                    node, f"self.{target.attr} is assigned in {method.name}: a layer is a value; return it, or make it a Buffer"
                )
            elif isinstance(target, ast.Subscript):
                text = expressions.source.text(target.value)
                expressions.note(node, f"{text}[…] is written: of an array, write {text} = {text}.at[…].set(…)")


class _Constructor:
    """The changes of an ``__init__``: ``super().__init__()`` goes, parameters and buffers move into ``spec``."""

    def __init__(self, method: ast.FunctionDef, owner: ast.ClassDef, expressions: Expressions):
        self._expressions, self._source, self._method = expressions, expressions.source, method
        self.edits: list[Edit] = []
        self.buffers: set[str] = set()
        self._entries: list[str] = []
        self._kept: dict[str, None] = {}  # local names that spec reads, as attributes
        self._inherits = not any(expressions.names.of(base) == _BASE for base in owner.bases)
        self._attributes = self._plain_attributes()
        left = 0
        for statement in method.body:
            left += self._statement(statement)
        indent = " " * method.col_offset
        lines = [f"{indent}    self.{name} = {name}" for name in self._kept if name not in self._attributes]
        if not left and not lines:
            lines = [f"{indent}    pass"]
        if lines or self._entries:
            spec = [
                f"\n{indent}def spec(self):",
                f"{indent}    return {{",
                *[f"{indent}        {entry}," for entry in self._entries],
                f"{indent}    }}",
            ]
            _, end = self._source.span(method)
            self.edits.append(Edit(end, end, "".join(f"\n{line}" for line in [*lines, *(spec if self._entries else [])])))
        for default in (*method.args.defaults, *filter(None, method.args.kw_defaults)):
            replaced = expressions.text(default)
            self.edits += [Edit(*self._source.span(default), replaced)] if replaced != self._source.text(default) else []

    def _plain_attributes(self) -> dict[str, str]:
        """Local name -> the attribute that it is kept in by the constructor itself: ``self.width = width``."""
        found: dict[str, str] = {}
        for node in self._method.body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name) and isinstance(node.targets[0], ast.Attribute):
                found.setdefault(node.value.id, node.targets[0].attr)
        return found

    def _statement(self, node: ast.stmt) -> int:
        """Note the changes of one statement; returns whether it stays."""
        if self._is_call_of_base(node) or self._parameter(node) or self._buffer(node):
            self._remove(node)
            return 0
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            path = self._expressions.names.of(node.value.func) or ""
            if path.startswith("torch.nn.init."):
                self._expressions.note(
                    node, f"{path}(…): give the initialiser in spec, or define redraw(self, name, shape) for a child's parameter"
                )
                self._remove(node)
                return 0
            if ast.unparse(node.value.func) in ("self.apply", "self.reset_parameters", "self.init_weights", "self._init_weights"):
                self._expressions.note(
                    node, f"{ast.unparse(node.value)}: initialisers stand in spec, those of children in redraw(self, name, shape)"
                )
                self._remove(node)
                return 0
        if "torch.nn.Parameter" in {self._expressions.names.of(part) for part in ast.walk(node) if isinstance(part, ast.expr)}:
            self._expressions.note(node, "a Parameter that is made so: put it into spec, as Param(shape, initialiser)")
        if "torch.nn.ModuleDict" in {self._expressions.names.of(part) for part in ast.walk(node) if isinstance(part, ast.expr)}:
            self._expressions.note(node, "ModuleDict: make each entry a field of its own")
        self.edits += _own_edits(node, self._expressions)
        return 1

    def _remove(self, node: ast.stmt) -> None:
        """Take a statement out, with its line where it has that for itself."""
        begin, end = self._source.span(node)
        line = self._source.content.rfind(b"\n", 0, begin) + 1
        stop = self._source.content.find(b"\n", end)
        alone = not self._source.content[line:begin].strip() and not self._source.content[end:stop].split(b"#")[0].strip(b" \t\r;")
        self.edits.append(Edit(line, stop + 1, "") if alone and stop >= 0 else Edit(begin, end, "pass"))

    def _is_call_of_base(self, node: ast.stmt) -> bool:
        if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call) or not isinstance(node.value.func, ast.Attribute):
            return False
        owner = node.value.func.value
        is_super = isinstance(owner, ast.Call) and isinstance(owner.func, ast.Name) and owner.func.id == "super"
        return node.value.func.attr == "__init__" and not self._inherits and (is_super or self._expressions.names.of(owner) == _BASE)

    def _parameter(self, node: ast.stmt) -> bool:
        """``self.name = nn.Parameter(torch.zeros(…))``, as an entry of ``spec``."""
        if not isinstance(node, ast.Assign) or len(node.targets) != 1 or not isinstance(node.value, ast.Call):
            return False
        target, call = node.targets[0], node.value
        if not isinstance(target, ast.Attribute) or self._expressions.names.of(call.func) not in (
            "torch.nn.Parameter",
            "torch.nn.parameter.Parameter",
        ):
            return False
        entry = self._drawn(call.args[0]) if call.args else None
        if entry is None or any(keyword.arg != "requires_grad" or ast.unparse(keyword.value) != "True" for keyword in call.keywords):
            return False
        self._entries.append(f'"{target.attr}": Param({entry})')
        return True

    def _buffer(self, node: ast.stmt) -> bool:
        """``self.register_buffer("name", torch.zeros(…))``, as an entry of ``spec``."""
        call = node.value if isinstance(node, ast.Expr) else None
        if not isinstance(call, ast.Call) or ast.unparse(call.func) != "self.register_buffer" or len(call.args) != 2:
            return False
        name = call.args[0]
        entry = self._drawn(call.args[1])
        if not isinstance(name, ast.Constant) or not isinstance(name.value, str) or entry is None or call.keywords:
            self._expressions.note(
                node, "a buffer that is made so: put it into spec, as Buffer(shape, initialiser), or keep a constant as an attribute"
            )
            return False
        self._entries.append(f'"{name.value}": Buffer({entry})')
        self.buffers.add(name.value)
        return True

    def _drawn(self, node: ast.expr) -> str | None:
        """Shape and initialiser of a new tensor, as the arguments of Param; None where they can't be told."""
        scale = None
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            sides = (node.left, node.right)
            numbers = [side for side in sides if not isinstance(side, ast.Call)]
            calls = [side for side in sides if isinstance(side, ast.Call)]
            if len(numbers) != 1 or not calls:
                return None
            node, scale = calls[0], self._as_attributes(numbers[0])
        if not isinstance(node, ast.Call):
            return None
        path = self._expressions.names.of(node.func) or ""
        name = path.removeprefix("torch.")
        if any(keyword.arg not in ("requires_grad", "device") for keyword in node.keywords):
            return None
        if name == "tensor" and scale is None and len(node.args) == 1:
            return self._constant(node.args[0])
        if name == "full" and len(node.args) == 2 and scale is None:
            value = f"partial(init.constant, val={self._as_attributes(node.args[1])})"
            return f"{self._shape(node.args[:1])}, {value}"
        if name not in _DRAWN or not node.args or any(isinstance(argument, ast.Starred) for argument in node.args):
            return None
        drawn = _DRAWN[name]
        if scale is not None:
            options = {"randn": f"std={scale}", "rand": f"b={scale}", "ones": f"val={scale}"}.get(name)
            if options is None:
                return None
            drawn = f"partial({'init.constant' if name == 'ones' else drawn}, {options})"
        if name == "empty":
            self._expressions.note(node, "torch.empty: spec needs an initialiser, which is init.zeros now")
        return f"{self._shape(node.args)}, {drawn}"

    def _constant(self, value: ast.expr) -> str | None:
        """One number, or a list of equal ones, as shape and initialiser."""
        shape: list[int] = []
        while isinstance(value, ast.List) and value.elts and len({ast.unparse(item) for item in value.elts}) == 1:
            shape.append(len(value.elts))
            value = value.elts[0]
        if isinstance(value, (ast.List, ast.Tuple)):
            return None
        return f"{tuple(shape)}, partial(init.constant, val={self._as_attributes(value)})"

    def _shape(self, arguments: list[ast.expr]) -> str:
        """Sizes, loose or in one tuple, as a tuple that ``spec`` can read."""
        if len(arguments) == 1 and isinstance(arguments[0], (ast.Tuple, ast.List)):
            arguments = arguments[0].elts
        return f"({', '.join(map(self._as_attributes, arguments))}{',' * (len(arguments) == 1)})"

    def _as_attributes(self, node: ast.expr) -> str:
        """An expression of the constructor as one of ``spec``: its local names are attributes there."""
        locals_ = {argument.arg for argument in (*self._method.args.args, *self._method.args.kwonlyargs)} - {"self"}
        locals_ |= {part.id for part in ast.walk(self._method) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
        text, begin = self._source.text(node), self._source.span(node)[0]
        names = [part for part in ast.walk(node) if isinstance(part, ast.Name) and part.id in locals_]
        for part in sorted(names, key=lambda part: self._source.span(part), reverse=True):
            first, last = self._source.span(part)
            self._kept.setdefault(part.id)
            text = f"{text[: first - begin]}self.{self._attributes.get(part.id, part.id)}{text[last - begin :]}"
        return text
