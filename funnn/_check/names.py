"""The names of torch that a program uses, read from its source: nothing is run.

What a name stands for is followed through imports under any alias, assignments of names and modules (``F = torch.nn.functional``), and scopes. A tensor is
known to be one where a function of torch that returns one made it; the attributes of other objects are not looked at.
"""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

#: What :func:`uses` is asked about, by a name's first part.
TOPS = ("torch", "torchvision")
_TENSOR = "torch.Tensor"
_CATCHES = {"ImportError", "ModuleNotFoundError", "AttributeError", "NotImplementedError", "Exception", "BaseException"}


class Use(NamedTuple):
    """One use of a name: where it stands, and whether the program is ready for its absence (``try``, ``hasattr``)."""

    name: str
    line: int
    caught: bool


class _Instance(NamedTuple):
    """A tensor, or a method of one, which is named as the class's."""

    name: str


_Value = str | _Instance | None


class _Scope:
    """The names that a module, class or function binds: to dotted names of torch, to expressions, or to what is not known (None)."""

    def __init__(self, parent: _Scope | None, is_class: bool = False):
        self.parent = parent
        self.is_class = is_class
        self.bound: dict[str, list[str | ast.expr | None]] = {}
        self.stars: list[str] = []

    def bind(self, name: str, value: str | ast.expr | None) -> None:
        self.bound.setdefault(name, []).append(value)


def uses(tree: ast.Module, returns_tensor: Callable[[str], bool], has: Callable[[str], bool]) -> list[Use]:
    """All uses of torch's names in a program, in the order of lines, each name once a line.

    Args:
      tree: the program.
      returns_tensor: whether the function or method of this name gives a tensor, whatever it is given.
      has: whether there is such a name, for what comes from ``import *``.
    """
    reader = _Reader(returns_tensor, has)
    reader.read(tree.body, _Scope(None), False)
    found = {(use.name, use.line): use for use in sorted(reader.found, key=lambda use: not use.caught)}
    guarded = [use._replace(caught=use.caught or reader.is_asked_for(use.name)) for use in found.values()]
    return sorted(guarded, key=lambda use: (use.line, use.name))


class _Reader:
    def __init__(self, returns_tensor: Callable[[str], bool], has: Callable[[str], bool]):
        self.returns_tensor, self.has = returns_tensor, has
        self.found: list[Use] = []
        self._asked: set[str] = set()
        self._resolving: set[int] = set()

    def is_asked_for(self, name: str) -> bool:
        """Whether the program asks somewhere if there is this name, or one that it begins with."""
        return any(f"{name}.".startswith(f"{asked}.") for asked in self._asked)

    # -- scopes

    def read(self, body: Iterable[ast.AST], scope: _Scope, caught: bool) -> None:
        """A module's, class's or function's statements."""
        body = list(body)
        for node in _own_nodes(body):
            _bind(node, scope)
        for node in body:
            self._visit(node, scope, caught)

    def _visit(self, node: ast.AST, scope: _Scope, caught: bool) -> None:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            self.found += [Use(name, node.lineno, caught) for name in _imported(node)]
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            self._function(node, scope, caught)
        elif isinstance(node, ast.ClassDef):
            for part in (*node.decorator_list, *node.bases, *node.keywords):
                self._visit(part, scope, caught)
            self.read(node.body, _Scope(scope, is_class=True), caught)
        elif isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            self.read(ast.iter_child_nodes(node), _Scope(scope), caught)
        elif isinstance(node, ast.Try):
            for part in node.body:
                self._visit(part, scope, caught or _catches(node.handlers))
            for part in (*node.handlers, *node.orelse, *node.finalbody):
                self._visit(part, scope, caught)
        elif isinstance(node, (ast.Attribute, ast.Name)):
            self._expression(node, scope, caught)
        else:
            if isinstance(node, ast.Call):
                self._question(node, scope)
            for part in ast.iter_child_nodes(node):
                self._visit(part, scope, caught)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, scope: _Scope, caught: bool) -> None:
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *filter(None, (arguments.vararg, arguments.kwarg))]
        outside = [*arguments.defaults, *filter(None, arguments.kw_defaults), *filter(None, [argument.annotation for argument in every])]
        if not isinstance(node, ast.Lambda):
            outside += [*node.decorator_list, *filter(None, [node.returns])]
        for part in outside:
            self._visit(part, scope, caught)
        inner = _Scope(scope)
        for argument in every:
            inner.bind(argument.arg, None)
        self.read([node.body] if isinstance(node, ast.Lambda) else node.body, inner, False)

    # -- names

    def _expression(self, node: ast.Attribute | ast.Name, scope: _Scope, caught: bool) -> None:
        """A chain ``a.b.c``: the name that it stands for, if that is torch's, is used here."""
        value = self.value(node, scope) if isinstance(node.ctx, ast.Load) else None
        if isinstance(value, str):
            if "." in value:
                self.found.append(Use(value, node.end_lineno or node.lineno, caught))
        elif isinstance(node, ast.Attribute):
            if value is not None:
                self.found.append(Use(value.name, node.end_lineno or node.lineno, caught))
            self._visit(node.value, scope, caught)

    def value(self, node: ast.expr, scope: _Scope) -> _Value:
        """What an expression stands for: a dotted name of torch, a tensor, or None for what is not known."""
        if isinstance(node, ast.Name):
            return self._lookup(node.id, scope)
        if isinstance(node, ast.Attribute):
            owner = self.value(node.value, scope)
            if isinstance(owner, _Instance):
                return _Instance(f"{owner.name}.{node.attr}") if owner.name == _TENSOR else None
            return owner and f"{owner}.{node.attr}"
        if isinstance(node, ast.Call):
            function = self.value(node.func, scope)
            name = function.name if isinstance(function, _Instance) else function
            return _Instance(_TENSOR) if name is not None and name != _TENSOR and self.returns_tensor(name) else None
        return None

    def _lookup(self, name: str, scope: _Scope | None) -> _Value:
        first = scope
        while scope is not None:
            if name in scope.bound and (scope is first or not scope.is_class):
                return self._bound(scope.bound[name], scope)
            scope = scope.parent
        while first is not None:
            for module in first.stars:
                if self.has(f"{module}.{name}"):
                    return f"{module}.{name}"
            first = first.parent
        return None

    def _bound(self, values: list[str | ast.expr | None], scope: _Scope) -> _Value:
        """What a name stands for that is bound so: imports count (``except ImportError: torch = None``), else all bindings must agree."""
        for value in values:
            if isinstance(value, str):
                return value
        if None in values or id(values) in self._resolving:
            return None
        self._resolving.add(id(values))
        try:
            found = {self.value(value, scope) for value in values if isinstance(value, ast.expr)}
        finally:
            self._resolving.discard(id(values))
        return found.pop() if len(found) == 1 else None

    def _question(self, node: ast.Call, scope: _Scope) -> None:
        """``hasattr(torch, "name")`` and ``getattr(torch, "name", default)``: the program is ready for its absence."""
        if isinstance(node.func, ast.Name) and node.func.id in ("hasattr", "getattr") and len(node.args) > 1:
            owner, name = self.value(node.args[0], scope), node.args[1]
            if isinstance(owner, str) and isinstance(name, ast.Constant) and isinstance(name.value, str):
                self._asked.add(f"{owner}.{name.value}")


def _own_nodes(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes of a scope, without those of the functions, classes and comprehensions in it."""
    waiting = deque(body)
    while waiting:
        node = waiting.popleft()
        yield node
        if not isinstance(
            node,
            (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
        ):
            waiting += ast.iter_child_nodes(node)


def _bind(node: ast.AST, scope: _Scope) -> None:
    """What a node binds in its scope."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            top = alias.name.partition(".")[0]
            scope.bind(alias.asname or top, (alias.name if alias.asname else top) if top in TOPS else None)
    elif isinstance(node, ast.ImportFrom):
        is_ours = not node.level and (node.module or "").partition(".")[0] in TOPS
        for alias in node.names:
            if alias.name == "*":
                scope.stars += [node.module] if is_ours and node.module else []
            else:
                scope.bind(alias.asname or alias.name, f"{node.module}.{alias.name}" if is_ours else None)
    elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        scope.bind(node.targets[0].id, node.value)
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
        scope.bind(node.target.id, node.value)
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
        if node.name:
            scope.bind(node.name, None)
    else:
        for target in _targets(node):
            for part in ast.walk(target):
                if isinstance(part, ast.Name):
                    scope.bind(part.id, None)


def _targets(node: ast.AST) -> list[ast.expr]:
    """What a node assigns to otherwise than ``name = value``."""
    if isinstance(node, ast.Assign):
        return node.targets
    if isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension, ast.AugAssign, ast.NamedExpr)):
        return [node.target]
    if isinstance(node, (ast.With, ast.AsyncWith)):
        return [item.optional_vars for item in node.items if item.optional_vars is not None]
    return node.targets if isinstance(node, ast.Delete) else []


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    """The names of torch that an import asks for."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names if alias.name.partition(".")[0] in TOPS]
    if node.level or (node.module or "").partition(".")[0] not in TOPS:
        return []
    return [str(node.module) if alias.name == "*" else f"{node.module}.{alias.name}" for alias in node.names]


def _catches(handlers: list[ast.ExceptHandler]) -> bool:
    """Whether the handlers catch what a missing name raises."""
    for handler in handlers:
        kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        if any(kind is None or (isinstance(kind, ast.Name) and kind.id in _CATCHES) for kind in kinds):
            return True
    return False


class Names:
    """What the names of a program's module stand for, for who rewrites it."""

    def __init__(self, tree: ast.Module):
        self._reader, self._scope = _Reader(lambda name: False, lambda name: False), _Scope(None)
        for node in _own_nodes(tree.body):
            _bind(node, self._scope)
        self._imported = {
            (alias.asname or alias.name).partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for alias in node.names
        }

    def of(self, node: ast.expr) -> str | None:
        """The dotted name of torch that an expression stands for, or None."""
        value = self._reader.value(node, self._scope)
        return value if isinstance(value, str) else None

    def is_imported(self, name: str) -> bool:
        """Whether the program imports something under this name."""
        return name in self._imported
