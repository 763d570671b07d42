"""torch.fx.GraphModule: a module that runs the code of a graph."""

from __future__ import annotations

import copy
import itertools
import linecache
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from funnn.engine.tensor.tensor import Tensor
from funnn.torch.fx._codegen import PyTreeCodeGen
from funnn.torch.fx.graph import Graph, PythonCode
from funnn.torch.nn.modules.module import Module, _addindent
from funnn.torch.nn.parameter import Parameter

__all__ = ["GraphModule"]

_PACKAGE = str(Path(__file__).parents[2])  # this library's files
_numbers = itertools.count()
_HOOKS = ("_replace_hooks", "_create_node_hooks", "_erase_node_hooks", "_deepcopy_hooks")


def _run_source(source: str, variables: dict[str, Any], origin: dict[str, Any]) -> dict[str, Any]:
    """The globals after ``source`` has run, which tracebacks show under a name of its own."""
    name = f"<eval_with_key>.{next(_numbers)}"
    if origin:
        name += f" from {origin['co_filename']}:{origin['co_firstlineno']} in {origin['co_name']}"
    linecache.cache[name] = len(source), None, source.splitlines(keepends=True), name
    made = dict(variables)
    exec(compile(source, name, "exec", dont_inherit=True), made)
    return made


class GraphModule(Module):
    """A module whose ``forward`` is the code of a :class:`Graph`.

    After changes of ``graph``, :meth:`recompile` writes the code anew; assigning another graph does so too.

    Args:
      root: the module whose parameters, buffers and modules the graph names by their paths (they are shared, not copied), or a dict from paths to them.
      graph: the graph.
      class_name: the name of the class, which is printed.

    Raises:
      RuntimeError: the dict lacks a path; or ``root`` is neither.
    """

    _graph: Graph
    _code: str

    def __new__(cls, *args: Any, **kwargs: Any) -> GraphModule:
        """An object of a class of its own, which has the compiled ``forward``."""
        base = next(kind for kind in cls.__mro__ if kind.__qualname__.rpartition(".")[2] != "GraphModuleImpl")
        kind = type(
            "GraphModuleImpl", (base,), {"__module__": base.__module__, "__qualname__": "GraphModule.__new__.<locals>.GraphModuleImpl"}
        )
        return super().__new__(kind)

    def __init__(self, root: Module | dict[str, Any], graph: Graph, class_name: str = "GraphModule"):
        super().__init__()
        type(self).__name__ = class_name
        paths = list(dict.fromkeys(node.target for node in graph.nodes if node.op in ("get_attr", "call_module")))
        if isinstance(root, Module):
            self.training = getattr(root, "training", True)
            for path in paths:
                _copy_member(root, self, path)
        elif isinstance(root, dict):
            for node in graph.nodes:
                if node.op in ("get_attr", "call_module") and node.target not in root:
                    raise RuntimeError(f"Node {node} referenced target {node.target} but that target was not provided in ``root``!")
            for path in sorted(paths, key=lambda path: path.count(".")):
                _put_member(self, path, root[path])
        else:
            raise RuntimeError(f"Unsupported type {root} passed for root!")
        self.graph = graph
        local = "<locals>" in getattr(graph._tracer_cls, "__qualname__", "")
        self._tracer_cls = None if local else graph._tracer_cls
        self._tracer_extras = graph._tracer_extras or {}
        self.meta: dict[str, Any] = {}
        for name in _HOOKS:
            setattr(self, name, [])

    # -- graph and code

    @property
    def graph(self) -> Graph:
        """The graph; assigning another one writes the code anew."""
        return self._graph

    @graph.setter
    def graph(self, graph: Graph) -> None:
        if not isinstance(graph, Graph):
            raise AssertionError(f"Expected a Graph instance, but got {type(graph)}")
        self._graph = graph
        graph.owning_module = self
        self.recompile()

    @property
    def code(self) -> str:
        """The source of ``forward``."""
        return self._code

    def recompile(self) -> PythonCode:
        """Write the code of the graph, as it is now, and let ``forward`` run it."""
        codegen = self._graph._codegen
        if isinstance(codegen, PyTreeCodeGen):
            self._in_spec, self._out_spec = codegen.pytree_info.in_spec, codegen.pytree_info.out_spec
        code = self._graph.python_code("self")
        self._code, self._lineno_map, self._prologue_start = code.src, code._lineno_map, code._prologue_start
        setattr(type(self), "forward", _run_source(self._code, code.globals, self._graph._co_fields)[codegen._func_name])  # noqa: B010
        for module in self.children():
            if isinstance(module, GraphModule):
                module.recompile()
        return code

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except Exception as error:
            frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_PACKAGE)]
            if not frames or "eval_with_key" not in (frame := frames[-1]).filename:
                raise
            print(_error_text(frame), file=sys.stderr)
            raise error.with_traceback(None) from error.__cause__

    def print_readable(
        self,
        print_output: bool = True,
        include_stride: bool = False,
        include_device: bool = False,
        colored: bool = False,
        **options: Any,
    ) -> str:
        """The code as a class, with that of modules within that have a graph, and the lines of the program that it is from."""
        text = _readable(self, self._get_name())
        if print_output:
            print(text)
        return text

    def __str__(self) -> str:
        return "\n".join([super().__str__(), self._code, "# To see more debug info, please use `graph_module.print_readable()`"])

    # -- members

    def add_submodule(self, target: str, m: Module) -> bool:
        """Add a module at a path, and empty ones on the way; False where something else is on the way."""
        *path, name = target.split(".")
        owner: Module = self
        for item in path:
            inner = getattr(owner, item, None)
            if inner is None:
                inner = Module()
                setattr(owner, item, inner)
            if not isinstance(inner, Module):
                return False
            owner = inner
        owner.add_module(name, m)
        return True

    def delete_submodule(self, target: str) -> bool:
        """Remove the module at a path; False where there is none."""
        *path, name = target.split(".")
        owner: Any = self
        for item in path:
            owner = getattr(owner, item, None)
            if not isinstance(owner, Module):
                return False
        if not isinstance(getattr(owner, name, None), Module):
            return False
        delattr(owner, name)
        return True

    def delete_all_unused_submodules(self) -> None:
        """Remove the modules that the graph names neither itself nor by what is within them."""
        used: set[str] = set()
        for node in self.graph.nodes:
            if node.op in ("call_module", "get_attr"):
                used.update(itertools.accumulate(node.target.split("."), "{}.{}".format))
            if node.op == "call_module":
                try:
                    inside = self.get_submodule(node.target).named_modules(prefix=node.target)
                except AttributeError:
                    continue
                used.update(name for name, _ in inside)
        for name in [name for name, _ in self.named_modules() if name not in used]:
            self.delete_submodule(name)

    # -- copies

    def __deepcopy__(self, memo: dict[int, Any]) -> GraphModule:
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        state = copy.deepcopy({name: value for name, value in vars(self).items() if name != "_graph"}, memo)
        made._restore(state, copy.deepcopy(self._graph, memo), "GraphModule")
        for hook in made._deepcopy_hooks:
            hook(made)
        return made

    def __copy__(self) -> GraphModule:
        made = GraphModule(self, self.graph)
        made.meta = self.meta
        return made

    def __reduce__(self) -> tuple:
        base = next(kind for kind in type(self).__mro__ if kind.__qualname__.rpartition(".")[2] != "GraphModuleImpl")
        state = {
            name: value for name, value in self.__getstate__().items() if name not in ("_graph", "_code", "_lineno_map", "_prologue_start")
        }
        return _rebuild, (base, state, self._graph, type(self).__name__)

    def _restore(self, state: dict[str, Any], graph: Graph, class_name: str) -> None:
        """Become what another one was, with a graph of one's own."""
        Module.__init__(self)
        vars(self).update(state)
        type(self).__name__ = class_name
        self.graph = graph

    # -- hooks that are told of changes of the graph

    @contextmanager
    def _set_replace_hook(self, f: Callable) -> Iterator[None]:
        self._register_replace_node_hook(f)
        try:
            yield
        finally:
            self._unregister_replace_node_hook(f)


def _add_hook_methods() -> None:
    """``_register_…_hook`` and ``_unregister_…_hook`` of each kind."""

    def methods(attribute: str) -> tuple[Callable, Callable]:
        def register(self: GraphModule, f: Callable) -> None:
            if not callable(f):
                raise AssertionError("a hook must be a callable.")
            getattr(self, attribute).append(f)

        def unregister(self: GraphModule, f: Callable) -> None:
            getattr(self, attribute).remove(f)

        return register, unregister

    for kind in ("replace_node", "create_node", "erase_node", "deepcopy"):
        register, unregister = methods(f"_{kind.removeprefix('replace_node') or 'replace'}_hooks")
        setattr(GraphModule, f"_register_{kind}_hook", register)
        setattr(GraphModule, f"_unregister_{kind}_hook", unregister)


_add_hook_methods()


def _rebuild(kind: type[GraphModule], state: dict[str, Any], graph: Graph, class_name: str) -> GraphModule:
    """A module from its pickle."""
    made = kind.__new__(kind)
    made._restore(state, graph, class_name)
    return made


def _copy_member(source: Module, target: Module, path: str) -> None:
    """Let ``target`` have what ``source`` has at a path, with empty modules on the way."""
    *owners, name = path.split(".")
    for owner in owners:
        inner, there = getattr(source, owner), getattr(target, owner, None)
        if inner is there:
            return
        if there is None:
            there = Module()
            setattr(target, owner, there)
        source, target = inner, there
    _put_member(target, name, getattr(source, name))


_copy_attr = _copy_member  # torch's name of it, which libraries use


def _put_member(target: Module, path: str, value: Any) -> None:
    *owners, name = path.split(".")
    for owner in owners:
        there = getattr(target, owner, None)
        if there is None:
            there = Module()
            setattr(target, owner, there)
        target = there
    if isinstance(value, Tensor) and not isinstance(value, Parameter):
        target.register_buffer(name, value)
    else:
        setattr(target, name, value)


def _readable(module: GraphModule, name: str) -> str:
    code = module.graph.python_code("self", verbose=True).src.lstrip("\n")
    text = _addindent(f"class {name}(torch.nn.Module):\n{code}", 4)
    inner = [_readable(child, child_name) for child_name, child in module.named_children() if isinstance(child, GraphModule)]
    return text + _addindent("\n".join(["", *inner]), 4)


def _error_text(frame: traceback.FrameSummary) -> str:
    """What is printed of an error in generated code: the traceback, and the line between its neighbours."""
    lines, number = linecache.getlines(frame.filename), frame.lineno or 1
    return "\n".join(
        [
            traceback.format_exc(),
            f"Call using an FX-traced Module, line {number} of the traced Module's generated forward function:",
            "".join(lines[max(number - 2, 0) : number]),
            "~" * len(frame.line or "") + "~~~ <--- HERE",
            "\n".join(lines[number : number + 2]),
        ]
    )
