"""Stubs of funnn.torch for editors and type checkers: what is put into its modules and classes at run time, as .pyi files beside the sources.

    python .ci/stubs.py            writes them, and deletes those that are no longer needed
    python .ci/stubs.py --check    writes nothing; names those that are not current, and exits with 1 if there are some
    python .ci/stubs.py --why      names the modules that have one, with the reason

Signatures are those of the live objects, results those of their annotations and of ``stub_facts``. A module whose source says all has no stub.
"""

from __future__ import annotations

import argparse
import ast
import enum
import importlib
import pkgutil
import re
import sys
import types
import typing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]  # the package beside this script, wherever another one may be installed

from stub_files import stale  # noqa: E402
from stub_sources import Source, bound, is_real, reads, replaces_constructors  # noqa: E402
from stub_text import IGNORED, Text  # noqa: E402
from stub_types import Names  # noqa: E402

import funnn.torch as torch  # noqa: E402

HEADER = "# Made by .ci/stubs.py from the live objects; write to the sources, and run it again."
NEEDS_A_PACKAGE = ("funnn.torch.utils.tensorboard",)  # that not everybody has
_SIGNED = ("__signature__", "__init__")


class World:
    """All modules of funnn.torch and of the engine with their sources, and where each class and function is defined."""

    def __init__(self) -> None:
        for _, name, _ in pkgutil.walk_packages(torch.__path__, "funnn.torch."):
            if not name.startswith(NEEDS_A_PACKAGE):
                importlib.import_module(name)
        rooms = ("funnn.torch.", "funnn.engine.")
        found = {name: module for name, module in sys.modules.items() if name == "funnn.torch" or name.startswith(rooms)}
        found = {name: module for name, module in found.items() if module.__name__ == name}  # others are former names of it
        self.modules: dict[str, types.ModuleType] = {name: found[name] for name in sorted(found) if not name.startswith(NEEDS_A_PACKAGE)}
        self.sources = {name: Source(module) for name, module in self.modules.items() if is_real(module)}
        self.homes: dict[int, tuple[str, str]] = {}
        for name, source in self.sources.items():
            for item in (*source.classes, *source.functions):
                value = vars(source.module).get(item)
                plain = item in source.classes or not source.functions[item].decorator_list
                if plain and isinstance(value, (type, types.FunctionType)):
                    self.homes[id(value)] = (name, item)
        self.read = set().union(*(reads(source, self.modules) for source in self.sources.values()))
        self.reasons = {name: reason for name in self.modules if (reason := self._reason(name))}

    def _reason(self, name: str) -> str | None:
        """Why a module needs a stub; None if it needs none."""
        source, module = self.sources.get(name), self.modules[name]
        if source is None:
            return "made by another module"
        if any(star in self.modules for star in source.stars):
            return "imports all names of another"
        engine = name.startswith("funnn.engine.")  # whose namespaces are filled by their files, but for classes
        dynamic = [] if engine else sorted(item for item, value in vars(module).items() if not self._is_static(source, item, value))
        if dynamic:
            return f"gets names at run time: {', '.join(dynamic[:5])}{', …' if len(dynamic) > 5 else ''}"
        for item, node in source.classes.items():
            if self.homes.get(id(vars(module).get(item))) == (name, item):
                added = sorted(self._added(vars(module)[item], node))
                if replaces_constructors(node):
                    return f"{item} makes the constructors of its subclasses"
                if added:
                    return f"{item} gets attributes at run time: {', '.join(added[:5])}{', …' if len(added) > 5 else ''}"
        return None

    def _is_static(self, source: Source, name: str, value: Any) -> bool:
        """Whether a type checker finds the name in the source, or as a file in the package."""
        submodule = f"{source.module.__name__}.{name}"
        return name[:2] == "__" or name in source.names or (submodule in sys.modules and is_real(sys.modules[submodule]))

    def _added(self, kind: type, node: ast.ClassDef) -> set[str]:
        """The names that something else than the class statement has put into a class."""
        if issubclass(kind, enum.Enum) or "_fields" in vars(kind) or "__dataclass_fields__" in vars(kind):
            return set()
        static = {name for name, _ in bound(node.body)}
        added = {name for name, value in vars(kind).items() if not isinstance(value, types.MemberDescriptorType)} - static
        added = {name for name in added if name in _SIGNED or name[:2] != "__"}
        added -= IGNORED - set(_SIGNED)
        return added - {"__signature__"} if "__init__" in static else added

    # -- one stub

    def path(self, name: str) -> Path:
        """Where the stub of a module is, relative to the repository."""
        place = ROOT.joinpath(*name.split("."))
        return (place / "__init__.pyi" if place.is_dir() else place.with_suffix(".pyi")).relative_to(ROOT)

    def text(self, name: str) -> str:
        """The stub of a module."""
        module, source = self.modules[name], self.sources.get(name)
        members = {item: value for item, value in vars(module).items() if self._shown(name, item, value)}
        here = [value for item, value in members.items() if isinstance(value, type) and self._home(name, item, value) is None]
        hidden = {attribute for kind in here for attribute in vars(kind) if "_fields" not in vars(kind)}
        names = Names(name, members, hidden - {"__init__"}, self.homes)
        text = Text(names, self.sources)
        imports, constants, definitions = set(), [], []
        for item in sorted(members):
            value = members[item]
            if isinstance(value, types.ModuleType):
                parent, _, leaf = value.__name__.rpartition(".")
                imports.add(f"from {parent} import {leaf} as {item}")
            elif (home := self._home(name, item, value)) is not None:
                imports.add(f"from {home[0]} import {home[1]} as {item}")
            elif isinstance(value, type):
                definitions.append(text.class_(item, value, name if source and item in source.classes else None))
            elif callable(value) and hasattr(value, "__code__"):
                definitions.append(text.function(item, value, self._key(name, item)))
            elif _is_alias(value):
                constants += text.alias(item, value)
            elif item != "__all__":
                constants.append(f"{item}: {text.constant(value)}")
        definitions.sort(key=lambda lines: self._depth(lines, members))
        parts = [HEADER, "", *sorted(names.imports | imports), ""]
        parts += [f"__all__ = {list(module.__all__)!r}", ""] if hasattr(module, "__all__") else []
        parts += [*constants, *sorted(names.aliases), ""]
        return "\n".join([*parts, *(line for lines in definitions for line in lines), ""])

    def _shown(self, module: str, name: str, value: Any) -> bool:
        """Whether a name belongs in the module's stub."""
        source = self.sources.get(module)
        if name[:2] == "__":
            return name in ("__version__", "__future__")
        if isinstance(value, types.ModuleType):
            if value.__name__ not in self.modules:
                return False
            within = module == value.__name__.rpartition(".")[0]
            return (within and name[0] != "_") or (not within and (module, name) in self.read)
        if source is not None and self._only_imported(source, name) and (module, name) not in self.read:
            return False
        if name[0] == "_" and (module, name) not in self.read:
            static = source is not None and name in source.names
            defined = self.homes.get(id(value), ("",))[0] == module
            return defined or (not static and callable(value))
        if _is_alias(value):
            return source is not None and isinstance(source.names.get(name), (ast.Assign, ast.AnnAssign))
        owner = value.__module__ if isinstance(value, type) or callable(value) else type(value).__module__
        return str(owner).startswith(("funnn", "torch")) or not (isinstance(value, type) or callable(value))

    @staticmethod
    def _only_imported(source: Source, name: str) -> bool:
        """Whether a file imports a name for its own use: not in the form ``name as name``, nor for ``__all__``."""
        node = source.names.get(name)
        if not isinstance(node, (ast.Import, ast.ImportFrom)) or name in getattr(source.module, "__all__", ()):
            return False
        return not any(item.asname == item.name == name for item in node.names)

    def _home(self, module: str, name: str, value: Any) -> tuple[str, str] | None:
        """Where a name is imported from; None if the stub has to say what it is."""
        home = self.homes.get(id(value))
        if home is not None and home != (module, name) and (home[0] != module):
            return home
        if isinstance(value, type) and home is None:
            other = sys.modules.get(value.__module__)
            if other is not None and other.__name__ != module and vars(other).get(name) is value:
                return value.__module__, name
        return None

    @staticmethod
    def _depth(lines: list[str], members: dict[str, Any]) -> int:
        """How many bases a class has, so that it comes behind them; 0 for functions."""
        found = re.match(r"class (\w+)", lines[1] if len(lines) > 1 else lines[0])
        return 0 if found is None else len(members[found[1]].__mro__)

    @staticmethod
    def _key(module: str, name: str) -> str:
        """torch's name of a function, as the tables of operations have it."""
        within = module.removeprefix("funnn.torch").lstrip(".")
        return f"{within}.{name}" if within in ("fft", "linalg", "special", "masked", "signal.windows") else name


def _is_alias(value: Any) -> bool:
    """Whether a value is a type put together from others, such as ``int | None``."""
    return typing.get_origin(value) is not None or isinstance(value, typing.TypeVar)


def stubs() -> dict[Path, str]:
    """The text of every stub, by its path in the repository."""
    world = World()
    return {world.path(name): world.text(name) for name in world.reasons}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--why", action="store_true")
    options = parser.parse_args()
    if options.why:
        print(*(f"{name}: {reason}" for name, reason in World().reasons.items()), sep="\n")
        return 0
    expected = stubs()
    wrong = stale(expected, ROOT)
    if options.check:
        print(*(f"{path} is not current; run: python .ci/stubs.py" for path in wrong), sep="\n", end="\n" if wrong else "")
        return 1 if wrong else 0
    for path in wrong:
        if path in expected:
            (ROOT / path).write_text(expected[path], encoding="utf-8")
        else:
            (ROOT / path).unlink()
    print(f"{len(expected)} stubs, {len(wrong)} of them written anew")
    return 0


if __name__ == "__main__":
    sys.exit(main())
