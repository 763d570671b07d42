"""Import lines of torch as import lines of funnn.torch; and what of a program imports torch otherwise."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import re
from pathlib import Path

from funnn._port.edits import Edit, Source


def answered() -> tuple[str, ...]:
    """The packages that funnn has under their own names."""
    return tuple(name for name in ("torch", "torchvision") if importlib.util.find_spec(f"funnn.{name}") is not None)


def ported(source: Source) -> bytes:
    """The program with its imports of torch changed, and nothing else."""
    edits = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            names = [alias for alias in node.names if _top(alias.name) in answered()]
            for number, alias in enumerate(names):
                bound = any(not before.asname and _top(before.name) == _top(alias.name) for before in names[:number])
                edits.append(Edit(*source.span(alias), f"funnn.{alias.name}" if bound and not alias.asname else _alias(alias)))
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module and _top(node.module) in answered():
            begin, _ = source.span(node)
            module = re.compile(rb"from(?:\s|\\\r?\n)+").match(source.content, begin)
            if module is not None:
                edits.append(Edit(module.end(), module.end(), "funnn."))
    return source.change(edits)


def _alias(alias: ast.alias) -> str:
    """``torch.nn as nn`` or ``torch.utils.data`` of an import, so that the same name is bound."""
    if alias.asname:
        return f"funnn.{alias.name} as {alias.asname}"
    top = _top(alias.name)
    further = "" if _comes_along(alias.name) else f", funnn.{alias.name}"
    return f"funnn.{top} as {top}{further}"


def _comes_along(name: str) -> bool:
    """Whether importing the package imports this module of it, as the packages on the way say."""
    parent, _, child = name.rpartition(".")
    if not parent:
        return True
    spec = importlib.util.find_spec(f"funnn.{parent}")
    if spec is None or spec.origin is None or not _comes_along(parent):
        return False
    return re.search(rf"^from funnn\.{re.escape(parent)} import (.*, )?{child}\b", Path(spec.origin).read_text(), re.MULTILINE) is not None


def _top(name: str) -> str:
    return name.partition(".")[0]


def remaining(source: Source, file: Path) -> list[str]:
    """What imports torch after that, too: other libraries, modules beside the file, and calls; one sentence each, with lines."""
    found = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("__import__", "importlib.import_module", "import_module"):
            wanted = node.args[0] if node.args else None
            if isinstance(wanted, ast.Constant) and isinstance(wanted.value, str) and _top(wanted.value) in answered():
                found.append(f"line {node.lineno} imports {wanted.value!r} by a call: write 'funnn.{wanted.value}' there")
    for name, line in _imports(source).items():
        beside = file.parent / f"{name}.py"
        if beside.is_file() and any(top in answered() for top in _imports(Source(beside.read_bytes()))):
            found.append(f"line {line} imports {name}, and {beside.name} imports torch: port it too")
        elif _top(name) not in (*answered(), "funnn") and _needs_torch(name):
            found.append(
                f"line {line} imports {name}, which imports torch itself: use `python -m funnn run`, or funnn.install() before it, instead"
            )
    return found


def _imports(source: Source) -> dict[str, int]:
    """The top-level modules that a program imports, with their first lines."""
    found: dict[str, int] = {}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        for name in names:
            found.setdefault(_top(name), node.lineno)  # type: ignore[attr-defined]
    return found


def _needs_torch(name: str) -> bool:
    """Whether an installed package names torch among what it needs, for itself or one of its extras."""
    for distribution in importlib.metadata.packages_distributions().get(name, ()):
        needed = importlib.metadata.requires(distribution) or ()
        if any(re.match(r"torch(?![\w.-])", requirement) for requirement in needed):
            return True
    return False
