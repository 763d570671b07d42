"""What the sources say by themselves: names that a file binds, members of its classes, names that it reads in other files."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType


class Source:
    """A module's file as a type checker reads it.

    Attributes:
      names: what it binds at its top level, with the statement.
      stars: the modules of which it imports all names.
      classes, functions: its definitions.
    """

    def __init__(self, module: ModuleType):
        self.module = module
        self.path = Path(module.__spec__.origin)
        self.text = self.path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.text)
        self.names = dict(bound(self.tree.body))
        self.stars = [node.module for node in self.tree.body if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"]
        self.classes = {node.name: node for node in self.tree.body if isinstance(node, ast.ClassDef)}
        self.functions = {node.name: node for node in self.tree.body if isinstance(node, ast.FunctionDef)}


def is_real(module: ModuleType) -> bool:
    """Whether a module has a file of its own, and was not made by another."""
    return module.__spec__ is not None and str(module.__spec__.origin).endswith(".py")


def bound(body: Iterable[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """The names that statements bind."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name, node
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for item in node.names:
                yield item.asname or item.name.partition(".")[0], node
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                for part in ast.walk(target):
                    if isinstance(part, ast.Name):
                        yield part.id, node
        else:
            if isinstance(node, ast.For):
                yield from ((part.id, node) for part in ast.walk(node.target) if isinstance(part, ast.Name))
            for inside in ("body", "orelse", "finalbody"):
                yield from bound(getattr(node, inside, ()))


def assigned_to_instances(node: ast.ClassDef) -> dict[str, str | None]:
    """The attributes that the methods of a class assign, with the annotation of the argument that they take over, if it is one.

    Names that start with an underscore count on any object: a class makes its own objects by other names than ``self`` too.
    """
    found: dict[str, str | None] = {}
    for method in (item for item in node.body if isinstance(item, ast.FunctionDef)):
        arguments = {argument.arg: argument.annotation for argument in (*method.args.args, *method.args.kwonlyargs)}
        for statement in ast.walk(method):
            if not isinstance(statement, (ast.Assign, ast.AnnAssign)):
                continue
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            for part in (part for target in targets for part in ast.walk(target)):
                if not (isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store) and isinstance(part.value, ast.Name)):
                    continue
                if part.value.id == "self" or part.attr[0] == "_":
                    annotation = statement.annotation if isinstance(statement, ast.AnnAssign) else None
                    if isinstance(statement.value, ast.Name) and part in targets:
                        annotation = arguments.get(statement.value.id)
                    found[part.attr] = found.get(part.attr) or (None if annotation is None else ast.unparse(annotation))
    return found


def replaces_constructors(node: ast.ClassDef) -> bool:
    """Whether a method of the class assigns ``__init__`` to its first argument: editors take that for the constructor of every subclass."""
    return any(
        isinstance(part, ast.Attribute)
        and isinstance(part.ctx, ast.Store)
        and part.attr == "__init__"
        and isinstance(part.value, ast.Name)
        and method.args.args
        and part.value.id == method.args.args[0].arg
        for method in node.body
        if isinstance(method, ast.FunctionDef)
        for part in ast.walk(method)
    )


def entries_of_spec(node: ast.FunctionDef) -> dict[str, str]:
    """The names in the dictionary that a layer's ``spec`` returns, with what each always is: 'Param', 'Buffer', or '' if it depends."""
    found = {}
    for part in ast.walk(node):
        if isinstance(part, ast.Dict):
            for key, value in zip(part.keys, part.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    made = value.func.id if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) else ""
                    found[key.value] = made if made in ("Param", "Buffer") else ""
    return found


def reads(source: Source, modules: Iterable[str]) -> set[tuple[str, str]]:
    """The names of other modules that a file reads, as (module, name); by its words, since a walk over all trees takes seconds."""
    imports = [node for node in source.tree.body if isinstance(node, ast.ImportFrom)]
    imports += [ast.parse(line.strip()).body[0] for line in re.findall(r"^ +from [\w.]+ import [\w, ]+$", source.text, re.MULTILINE)]
    items = [(node.module, item) for node in imports for item in node.names]
    aliases = {item.asname or item.name: f"{module}.{item.name}" for module, item in items if f"{module}.{item.name}" in modules}
    attributes = set(re.findall(r"\b(\w+)\.(\w+)", source.text))
    found = {(module, item.name) for module, item in items}
    return found | {(aliases[name], attribute) for name, attribute in attributes if name in aliases}
