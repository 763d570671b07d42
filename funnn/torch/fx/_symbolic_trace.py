"""torch.fx.symbolic_trace: a function or module is called with proxies, and what they meet becomes a graph."""

from __future__ import annotations

import copy
import functools
import inspect
import math
import threading
import warnings
from collections.abc import Callable, Iterable
from types import FunctionType, ModuleType
from typing import Any

from funnn.engine.tensor.overrides import asking
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import tree
from funnn.torch._C import ScriptObject as ScriptObject
from funnn.torch.fx._codegen import PyTreeCodeGen, PyTreeInfo
from funnn.torch.fx._compatibility import compatibility as compatibility
from funnn.torch.fx._patching import Patcher, find_proxy
from funnn.torch.fx._wrapping import wrap as wrap
from funnn.torch.fx._wrapping import wrapped_functions as _wrapped_fns_to_patch  # noqa: F401 (torch's name)
from funnn.torch.fx.graph import Graph
from funnn.torch.fx.graph_module import GraphModule
from funnn.torch.fx.node import base_types
from funnn.torch.fx.proxy import ParameterProxy, Proxy, Scope, ScopeContextManager, TracerBase
from funnn.torch.nn.modules.container import Sequential
from funnn.torch.nn.modules.module import Module
from funnn.torch.nn.parameter import Parameter
from funnn.torch.overrides import _assert

__all__ = ["PH", "ProxyableClassMeta", "Tracer", "symbolic_trace", "wrap"]

#: By these names programs with a tracer of their own, which do what :meth:`Tracer.trace` does, find its parts.
_orig_module_call, _orig_module_getattr = Module.__call__, Module.__getattr__
_Patcher, _patch_wrapped_functions, _autowrap_check = Patcher, Patcher.patch_wrapped, Patcher.patch_listed

_VARIADIC = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS
_tracing = threading.local()
_one_at_a_time = threading.RLock()  # for what is put into the class Module
_proxyable: set[type] = set()


class PHBase:
    """Stands among ``concrete_args`` for a value that stays an input."""

    def __repr__(self) -> str:
        return "PH"


PH = PHBase()


def is_fx_tracing() -> bool:
    """Whether this thread is tracing a function."""
    return getattr(_tracing, "depth", 0) > 0


is_fx_symbolic_tracing = is_fx_tracing


class ProxyableClassMeta(type):
    """A metaclass: tracing records the making of an object from proxies as one call."""

    def __init__(cls, name: str, bases: tuple[type, ...], attrs: dict[str, Any]):
        _proxyable.add(cls)
        super().__init__(name, bases, attrs)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        proxy = find_proxy(args, kwargs) if is_fx_tracing() else None
        return super().__call__(*args, **kwargs) if proxy is None else proxy.tracer.create_proxy("call_function", cls, args, kwargs)


class Tracer(TracerBase):
    """Calls a module or function with proxies. A subclass may override what becomes one node (:meth:`is_leaf_module`), what becomes of calls of
    modules (:meth:`call_module`), and how arguments and nodes are made.

    Args:
      autowrap_modules: modules whose functions become one node where they are called with a proxy.
      autowrap_functions: functions that do.
      param_shapes_constant: whether the sizes of parameters are numbers for the program, and no proxies.
    """

    def __init__(
        self,
        autowrap_modules: tuple[ModuleType, ...] = (math,),
        autowrap_functions: tuple[Callable, ...] = (),
        param_shapes_constant: bool = False,
    ):
        super().__init__()
        self._autowrap_search = list(autowrap_modules)
        members = (value for module in autowrap_modules for name, value in vars(module).items() if not name.startswith("_"))
        self._autowrap_function_ids = {id(value) for value in (*members, *autowrap_functions) if callable(value)}
        self.param_shapes_constant = param_shapes_constant
        self.submodule_paths: dict[Module, str] | None = None
        self.root: Module = Module()
        self.root_module_name = ""
        self.num_calls: dict[str, int] = {}
        self.tensor_attrs: dict[Any, str] = {}

    # -- what a subclass may override

    def is_leaf_module(self, m: Module, module_qualified_name: str) -> bool:
        """Whether a call of a module is one node; else its ``forward`` is traced. By default the modules of torch.nn are, but for Sequential."""
        return m.__module__.removeprefix("funnn.").startswith(("torch.nn", "torch.ao.nn")) and not isinstance(m, Sequential)

    def path_of_module(self, mod: Module) -> str:
        """The path of a module within the one that is traced.

        Raises:
          NameError: it is not within.
        """
        paths = self.submodule_paths or {module: name for name, module in self.root.named_modules()}
        if mod not in paths:
            raise NameError("module is not installed as a submodule")
        return paths[mod]

    def call_module(self, m: Module, forward: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
        """What a call of a module gives: the proxy of one node where it is a leaf, else what ``forward(*args, **kwargs)`` gives."""
        path = self.path_of_module(m)
        with ScopeContextManager(self.scope, Scope(path, type(m))):
            calls = self.num_calls.get(path, 0)
            key = f"{path}@{calls}" if calls else path
            self.module_stack[key] = path, type(m)
            self.num_calls[path] = calls + 1
            try:
                return self.create_proxy("call_module", path, args, kwargs) if self.is_leaf_module(m, path) else forward(*args, **kwargs)
            finally:
                self.module_stack.pop(key, None)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Proxy]) -> Any:
        """What the program gets that reads an attribute of a module: for a parameter the proxy of a ``get_attr`` node, else the value."""
        found = None
        if isinstance(attr_val, Parameter):
            found = self._proxy_of(attr_val, self.root.named_parameters(), parameter_proxy_cache)
        if found is None and self.proxy_buffer_attributes and isinstance(attr_val, Tensor):
            found = self._proxy_of(attr_val, self.root.named_buffers(), parameter_proxy_cache)
        return attr_val if found is None else found

    def _proxy_of(self, value: Any, members: Iterable[tuple[str, Any]], known: dict[str, Proxy]) -> Proxy | None:
        name = next((name for name, member in members if member is value), None)
        if name is not None and name not in known:
            options = {}
            if self.param_shapes_constant and isinstance(value, Parameter):
                options["proxy_factory_fn"] = lambda node: ParameterProxy(self, node, name, value)
            known[name] = self.create_proxy("get_attr", name, (), {}, **options)
        return None if name is None else known[name]

    def create_arg(self, a: Any) -> Any:
        """An argument as a node has it; tensors and modules become ``get_attr`` nodes, those that the module does not have as attributes of it."""
        if isinstance(a, (Tensor, Module)):
            return self.create_node("get_attr", self._path_of_value(a), (), {})
        if isinstance(a, tuple) and hasattr(a, "_fields"):
            return self.create_node("call_function", type(a), tuple(self.create_arg(item) for item in a), {})
        if type(a) in _proxyable:
            name = self.get_fresh_qualname(f"_{type(a).__name__}_constant_")
            setattr(self.root, name, a)
            return self.create_node("get_attr", name, (), {})
        return super().create_arg(a)

    def _path_of_value(self, value: Any) -> str:
        root, kind = self.root, type(value)
        members = (
            root.named_modules()
            if isinstance(value, Module)
            else root.named_parameters()
            if isinstance(value, Parameter)
            else root.named_buffers()
        )
        name = next((name for name, member in members if member is value), None)
        if name is None and isinstance(value, Parameter):
            raise NameError("parameter is not a member of this module")
        if name is None and isinstance(value, Module):
            raise NotImplementedError(f"argument of type: {kind}")
        if name is None:
            name = self.tensor_attrs.get(value)
        if name is None:
            name = self.tensor_attrs[value] = self.get_fresh_qualname("_tensor_constant")
            setattr(root, name, value)
        return name

    def get_fresh_qualname(self, prefix: str) -> str:
        """``prefix`` and the first number that no attribute of the module has."""
        number = 0
        while hasattr(self.root, f"{prefix}{number}"):
            number += 1
        return f"{prefix}{number}"

    # -- tracing

    def trace(self, root: Module | Callable, concrete_args: dict[str, Any] | tuple | None = None) -> Graph:
        """The graph of a module's ``forward`` or of a function.

        Args:
          root: the module or function; afterwards ``self.root`` is the module that the graph's paths are of.
          concrete_args: values of arguments, by name, that are known while the program is traced; a check that later calls have the same is part
            of the graph. In containers, ``PH`` stands for what stays an input.

        Raises:
          TraceError: the program asks for the value of a proxy.
        """
        _tracing.depth = getattr(_tracing, "depth", 0) + 1
        try:
            with _one_at_a_time, asking(), Patcher() as patches:
                return self._trace(root, concrete_args, patches)
        finally:
            _tracing.depth -= 1

    def _trace(self, root: Any, concrete_args: Any, patches: Patcher) -> Graph:
        is_module = isinstance(root, Module)
        if is_module:
            if not hasattr(type(root), self.traced_func_name):
                raise AssertionError(f"traced_func_name={self.traced_func_name} doesn't exist in {type(root).__name__}")
            self.root, fn = root, getattr(type(root), self.traced_func_name)
            self.root_module_name = root._get_name()
            self.submodule_paths = {module: name for name, module in root.named_modules()}
        else:
            self.root, fn = Module(), root
        self.graph = Graph(tracer_cls=type(self))
        if hasattr(fn, "__code__"):
            self.graph._co_fields = {name: getattr(fn.__code__, name) for name in ("co_name", "co_filename", "co_firstlineno")}
        self.tensor_attrs = {
            value: f"{path}.{name}" if path else name
            for path, module in self.root.named_modules()
            for name, value in vars(module).items()
            if isinstance(value, Tensor)
        }
        if not isinstance(fn, FunctionType):
            raise AssertionError(f"Expected FunctionType, got {type(fn)}")
        variables = fn.__globals__
        returned = _annotations(inspect.unwrap(fn)).get("return")
        fn, args = self.create_args_for_root(fn, is_module, concrete_args)
        self._patch_modules(patches)
        patches.patch_wrapped()
        for searched in (variables, *map(vars, self._autowrap_search)):
            patches.patch_listed(searched, self._autowrap_function_ids)
        self.create_node("output", "output", (self.create_arg(fn(*args)),), {}, type_expr=returned)
        self.submodule_paths = None
        return self.graph

    def _patch_modules(self, patches: Patcher) -> None:
        """Let calls and attributes of modules go through this tracer, in this thread."""
        thread, parameters = threading.get_ident(), dict[str, Proxy]()

        @functools.wraps(_orig_module_getattr)
        def read_attribute(module: Module, name: str) -> Any:
            value = _orig_module_getattr(module, name)
            return self.getattr(name, value, parameters) if threading.get_ident() == thread else value

        @functools.wraps(_orig_module_call)
        def call(module: Module, *args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != thread:
                return _orig_module_call(module, *args, **kwargs)
            patches.patch_listed(getattr(getattr(module, "forward", module), "__globals__", {}), self._autowrap_function_ids)
            return self.call_module(module, functools.partial(_orig_module_call, module), args, kwargs)

        patches.patch_method(Module, "__getattr__", read_attribute, deduplicate=False)
        patches.patch_method(Module, "__call__", call, deduplicate=False)

    def create_args_for_root(self, root_fn: Callable, is_module: bool, concrete_args: Any = None) -> tuple[Callable, list[Any]]:
        """The function that takes the inputs one by one, and the inputs: proxies of placeholders, and known values."""
        analysed = inspect.unwrap(root_fn)
        code: Any = analysed.__code__
        total = code.co_argcount + code.co_kwonlyargcount
        if is_module and total == 0:
            raise RuntimeError("``self`` argument cannot be part of *args expansion!")
        names = list(code.co_varnames[int(is_module) : total])
        args: list[Any] = [self.root] if is_module else []
        if isinstance(concrete_args, tuple):
            if len(names) != len(concrete_args):
                raise RuntimeError(f"Tracing expected {len(names)} arguments but got {len(concrete_args)} concrete arguments")
            concrete_args = dict(zip(names, concrete_args, strict=True))
        inputs = _Inputs(self, analysed, concrete_args or {})
        args.extend(map(inputs.argument, names))
        if code.co_kwonlyargcount or code.co_flags & _VARIADIC:
            rest = iter(code.co_varnames[total:])
            if code.co_flags & inspect.CO_VARARGS:
                args.append(inputs.argument(f"*{next(rest)}"))
            if code.co_flags & inspect.CO_VARKEYWORDS:
                args.append(inputs.argument(f"**{next(rest)}"))
            root_fn = _with_plain_arguments(root_fn, len(args))
        leaves, structure = tree.flatten(tuple(args))
        if all(item is tree.LEAF for item in structure.items):
            return root_fn, args
        return self._flattened(root_fn, list(code.co_varnames[:total]), structure), leaves

    def _flattened(self, function: Callable, names: list[str], structure: Any) -> Callable:
        """``function`` of the leaves of its arguments, which gives the leaves of its result."""
        codegen = self.graph._codegen = PyTreeCodeGen(PyTreeInfo(names, structure, None))

        def flat(*args: Any) -> list[Any]:
            leaves, out_spec = tree.flatten(function(*tree.unflatten(args, structure)))
            codegen.pytree_info = codegen.pytree_info._replace(out_spec=out_spec)
            return leaves

        return flat

    def __deepcopy__(self, memo: dict[int, Any]) -> Tracer:
        made = type(self).__new__(type(self))
        for name, value in vars(self).items():
            vars(made)[name] = copy.copy(value) if name == "_autowrap_search" else copy.deepcopy(value, memo)
        return made


class _Inputs:
    """Makes the arguments that a function is traced with."""

    def __init__(self, tracer: Tracer, function: Callable, known: dict[str, Any]):
        self.tracer, self.known = tracer, known
        self.parameters, self.annotations = inspect.signature(function).parameters, _annotations(function)

    def argument(self, name: str) -> Any:
        """A proxy, or what is known."""
        if name in self.known:
            count = iter(range(1, 1_000_000))
            return tree.map_leaves(lambda value: self._specialised(name, f"{name}_{next(count)}", value), self.known[name])
        return self.tracer.create_proxy("placeholder", name, self._default(name), {}, type_expr=self.annotations.get(name))

    def _default(self, name: str) -> tuple:
        if name.startswith("*") or self.parameters[name].default is inspect.Parameter.empty:
            return ()
        return (self.parameters[name].default,)

    def _specialised(self, name: str, input_name: str, value: Any) -> Any:
        proxy = self.tracer.create_proxy("placeholder", input_name, self._default(name), {})
        if isinstance(value, PHBase):
            for attribute, item in vars(value).items():
                setattr(proxy.node, attribute, item)
            return proxy
        if value is None:
            text = f"{name} has been specialized to have value None but got another value"
            self.tracer.create_proxy("call_function", _assert_is_none, (proxy, text), {})
        elif type(value) in base_types and type(value) is not Tensor:
            _assert(proxy == value, f"{name} has been specialized to have value {value} but got another value")
        else:
            warnings.warn(
                f"Was not able to add assertion to guarantee correct input {name} to specialized function. It is up to the user to make sure that your "
                "inputs match the inputs you specialized the function with.",
                stacklevel=7,
            )
        return value


def _annotations(function: Callable) -> dict[str, Any]:
    """The annotations of a function; of those of this library, whose modules' arrays are tensors here, those that torch has."""
    found = inspect.get_annotations(function)
    if not (function.__module__ or "").startswith("funnn."):
        return found
    kinds = {"jax.Array": Tensor, "bool": bool}
    return {name: kinds[kind] for name, kind in found.items() if kind in kinds}


def _assert_is_none(value: Any, msg: str) -> None:
    """Raise AssertionError unless the value is None."""
    if value is not None:
        raise AssertionError(msg)


def _with_plain_arguments(function: Any, count: int) -> Callable:
    """``function`` with its first ``count`` variables as arguments, so that ``*args`` and ``**kwargs`` may be proxies."""
    code = function.__code__
    plain = code.replace(co_argcount=count, co_posonlyargcount=0, co_kwonlyargcount=0, co_flags=code.co_flags & ~_VARIADIC)
    return FunctionType(plain, function.__globals__, function.__name__, function.__defaults__, function.__closure__)


def symbolic_trace(root: Module | Callable, concrete_args: dict[str, Any] | None = None) -> GraphModule:
    """A module or function as a :class:`GraphModule`, whose graph and code can be read and changed.

    It is called once with proxies; operators, methods and functions of torch that meet them, and calls of torch.nn's modules, become nodes. What Python does
    beside (loops over known numbers, attributes of modules) is done while tracing.

    Args:
      root: the module or function.
      concrete_args: values of arguments, by name, that are known while tracing, so that the program may decide by them.

    Raises:
      TraceError: the program decides by a value (``if x.sum() > 0``) or iterates over one.
    """
    tracer = Tracer()
    graph = tracer.trace(root, concrete_args)
    return GraphModule(tracer.root, graph, type(root).__name__ if isinstance(root, Module) else root.__name__)
