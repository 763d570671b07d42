"""torch.fx.Proxy: stands for a value while a function is traced, and records what is done with it."""

from __future__ import annotations

import copy
import dis
import enum
import operator
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from funnn.engine.state import thread
from funnn.engine.tensor.overrides import watch
from funnn.engine.types.tree import items_of
from funnn.torch.fx._codegen import magic_methods, reflectable_magic_methods
from funnn.torch.fx._names import name_of_target, recorded_call
from funnn.torch.fx.graph import Graph
from funnn.torch.fx.node import Node, base_types, map_arg
from funnn.torch.nn.parameter import Parameter

__all__ = ["Attribute", "GraphAppendingTracer", "ParameterProxy", "Proxy", "Scope", "ScopeContextManager", "TraceError", "TracerBase"]


class TraceError(ValueError):
    """The program asks for a value that is not known while it is traced."""


class Scope:
    """The module that is running: its path and its class."""

    def __init__(self, module_path: str, module_type: Any):
        self.module_path, self.module_type = module_path, module_type


class ScopeContextManager:
    """Within the block, ``scope`` is another one."""

    def __init__(self, scope: Scope, current_scope: Scope):
        self._scope, self._before = scope, copy.copy(scope)
        vars(scope).update(vars(current_scope))

    def __enter__(self) -> Scope:
        return self._scope

    def __exit__(self, *exc: Any) -> None:
        vars(self._scope).update(vars(self._before))


class TracerBase:
    """Makes nodes of what proxies meet; subclasses override what they want to be done in another way.

    Attributes:
      graph: the graph that grows.
      record_stack_traces: whether nodes get the lines of the program that they are from, as ``node.stack_trace``.
      proxy_buffer_attributes: whether modules' buffers are proxies too while they are traced; else they become ``get_attr`` nodes where they are used.
    """

    graph: Graph
    record_stack_traces = False
    check_mutable_operations = False
    trace_asserts = False
    proxy_buffer_attributes = False
    traced_func_name = "forward"

    def __init__(self) -> None:
        self.scope = Scope("", None)
        self.module_stack: dict[str, tuple[str, Any]] = {}
        self.node_name_to_scope: dict[str, tuple[str, Any]] = {}

    def create_node(
        self, kind: str, target: Any, args: tuple, kwargs: dict[str, Any], name: str | None = None, type_expr: Any = None
    ) -> Node:
        """A new node of the graph, whose arguments hold nodes."""
        node = self.graph.create_node(kind, target, args, kwargs, name, type_expr)
        self.node_name_to_scope[node.name] = self.scope.module_path, self.scope.module_type
        if self.module_stack:
            node.meta["nn_module_stack"] = dict(self.module_stack)
        if self.record_stack_traces and (trace := _stack_of_forward()):
            node.stack_trace = trace
        return node

    def proxy(self, node: Node) -> Proxy:
        """The proxy of a node."""
        return Proxy(node, self)

    def create_proxy(
        self,
        kind: str,
        target: Any,
        args: tuple,
        kwargs: dict[str, Any],
        name: str | None = None,
        type_expr: Any = None,
        proxy_factory_fn: Callable[[Node], Proxy] | None = None,
    ) -> Proxy:
        """The proxy of a new node, whose arguments hold proxies."""
        node = self.create_node(kind, target, self.create_arg(args), self.create_arg(kwargs), name, type_expr)
        return (proxy_factory_fn or self.proxy)(node)

    def create_arg(self, a: Any) -> Any:
        """An argument as a node has it: nodes in the places of proxies.

        Raises:
          NotImplementedError: there is no way to write down what it is.
        """
        if isinstance(a, Proxy):
            return a.node
        if hasattr(a, "__fx_create_arg__"):
            return a.__fx_create_arg__(self)
        if isinstance(a, tuple):
            items = [self.create_arg(item) for item in a]
            return type(a)(*items) if hasattr(a, "_fields") else type(a)(items)
        if isinstance(a, list):
            return [self.create_arg(item) for item in a]
        if isinstance(a, dict):
            return {self._create_key(name): self.create_arg(item) for name, item in a.items()}
        if isinstance(a, (slice, range)):
            return type(a)(self.create_arg(a.start), self.create_arg(a.stop), self.create_arg(a.step))
        if is_dataclass(a):
            return self.create_node(
                "call_function", type(a), (), {field.name: self.create_arg(getattr(a, field.name)) for field in fields(a)}
            )
        if isinstance(a, (*base_types, enum.Enum)) or a is None or a is ...:
            return a
        raise NotImplementedError(f"argument of type: {type(a)}")

    def _create_key(self, key: Any) -> Any:
        def refuse(node: Node) -> None:
            raise RuntimeError(f"Keys for dictionaries used as an argument cannot contain a Node. Got key: {node}")

        if not isinstance(key, str):
            key = self.create_arg(key)
            map_arg(key, refuse)
        return key

    def to_bool(self, obj: Proxy) -> bool:
        """Asked where a proxy decides what the program does."""
        raise TraceError("symbolically traced variables cannot be used as inputs to control flow")

    def iter(self, obj: Proxy) -> Iterator[Any]:
        """Asked where the program iterates over a proxy."""
        raise TraceError(
            "Proxy object cannot be iterated. This can be attempted when the Proxy is used in a loop or as a *args or **kwargs function argument. See "
            "the torch.fx docs on pytorch.org for a more detailed explanation of what types of control flow can be traced, and check out the Proxy "
            "docstring for help troubleshooting Proxy iteration errors"
        )

    def keys(self, obj: Proxy) -> Any:
        """Asked where the program takes a proxy's keys."""
        return Attribute(obj, "keys")()


class GraphAppendingTracer(TracerBase):
    """Adds nodes to a graph that is there."""

    def __init__(self, graph: Graph):
        super().__init__()
        self.graph = graph


class Proxy:
    """Stands for the value of a node. Operators, methods, attributes and functions of torch that meet it make new nodes, and give proxies of those.

    What needs the value itself (``if``, ``for``, ``len``, ``int``) raises. ``Proxy(node)`` around a node of a graph serves to write new nodes as a formula.

    Args:
      node: the node.
      tracer: makes the new nodes; by default they are added to the graph of ``node``.
    """

    def __init__(self, node: Node, tracer: TracerBase | None = None):
        if thread.ask is None:  # it is not made by a tracer that runs: from now on functions ask their arguments' classes
            watch()
        self.tracer = GraphAppendingTracer(node.graph) if tracer is None else tracer
        self.node = node

    def __repr__(self) -> str:
        return f"{type(self).__name__ if type(self) is not Attribute else 'Proxy'}({self.node.name})"

    def __getattr__(self, k: str) -> Attribute:
        return Attribute(self, k)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __deepcopy__(self, memo: dict[int, Any]) -> Proxy:
        made = object.__new__(type(self))
        made.__dict__.update({name: copy.deepcopy(value, memo) for name, value in self.__dict__.items()})
        return made

    def __call__(self, *args: Any, **kwargs: Any) -> Proxy:
        return self.tracer.create_proxy("call_method", "__call__", (self, *args), kwargs)

    def __iter__(self) -> Iterator[Any]:
        frame = sys._getframe(1)
        instruction = next(found for found in dis.get_instructions(frame.f_code) if found.offset == frame.f_lasti)
        if instruction.opname == "UNPACK_SEQUENCE":
            return (self[number] for number in range(instruction.argval))
        return self.tracer.iter(self)

    def __abs__(self) -> Proxy:
        return self.tracer.create_proxy("call_function", operator.abs, (self,), {})

    def __bool__(self) -> bool:
        if self.tracer.trace_asserts and _is_assert(sys._getframe(1)):
            self.tracer.create_proxy("call_function", assert_fn, (self,), {})
            return True
        return self.tracer.to_bool(self)

    def keys(self) -> Any:
        """The keys, as the tracer gives them."""
        return self.tracer.keys(self)

    def __len__(self) -> int:
        raise RuntimeError(
            "'len' is not supported in symbolic tracing by default. If you want this call to be recorded, please call torch.fx.wrap('len') at module "
            "scope"
        )

    @classmethod
    def __torch_function__(cls, orig_method: Callable, types: tuple, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Proxy:
        kwargs = kwargs or {}
        tracers = {item.tracer: None for item in items_of((args, kwargs)) if isinstance(item, Proxy)}
        if len(tracers) > 1:
            raise RuntimeError(f"Found multiple different tracers {list(tracers)} while trying to trace operations {orig_method}")
        tracer = next(iter(tracers))
        kind, target, args, kwargs = recorded_call(orig_method, args, kwargs)
        return tracer.create_proxy(kind, target, args, kwargs, name=None if kind == "call_method" else name_of_target(target))


class Attribute(Proxy):
    """An attribute of a value; its node is made where it is used, and not where it is called as a method."""

    def __init__(self, root: Proxy, attr: str):
        self.root, self.attr = root, attr
        self.tracer = root.tracer
        self._node: Node | None = None

    @property
    def node(self) -> Node:
        """The node."""
        if self._node is None:
            self._node = self.tracer.create_proxy("call_function", getattr, (self.root, self.attr), {}).node
        return self._node

    def __call__(self, *args: Any, **kwargs: Any) -> Proxy:
        return self.tracer.create_proxy("call_method", self.attr, (self.root, *args), kwargs)


class ParameterProxy(Proxy):
    """Of a parameter whose sizes are known, so that the program may decide by them."""

    def __init__(self, tracer: TracerBase, node: Node, name: str, param: Parameter):
        super().__init__(node, tracer)
        if not isinstance(param, Parameter):
            raise AssertionError(f"Expected Parameter, got {type(param)}")
        self.param, self.name = param, name

    def __repr__(self) -> str:
        return f"ParameterProxy({self.name})"

    @property
    def shape(self) -> Any:
        """The parameter's sizes."""
        return self.param.shape

    @property
    def ndim(self) -> int:
        """The number of the parameter's dimensions."""
        return self.param.ndim

    def size(self) -> Any:
        """The parameter's sizes."""
        return self.param.size()

    def dim(self) -> int:
        """The number of the parameter's dimensions."""
        return self.param.dim()

    def numel(self) -> int:
        """The number of the parameter's elements."""
        return self.param.numel()

    nelement = numel


def assert_fn(x: Any) -> None:
    """``assert x``, as a call."""
    if not x:
        raise AssertionError("Assertion failed")


def _is_assert(frame: Any) -> bool:
    """Whether the frame is at the condition of an ``assert``."""
    instructions = list(dis.get_instructions(frame.f_code))
    place = next(place for place, found in enumerate(instructions) if found.offset == frame.f_lasti)
    return instructions[place].opname == "POP_JUMP_IF_TRUE" and instructions[place + 1].opname == "LOAD_ASSERTION_ERROR"


def _stack_of_forward() -> str:
    """The program's frames from the first ``forward`` on, as text."""
    frames = traceback.extract_stack()
    first = next((place for place, frame in enumerate(frames) if frame.name == "forward"), len(frames))
    users = [frame for frame in frames[first:] if "/funnn/" not in frame.filename.replace("\\", "/")]
    return "".join(traceback.StackSummary.from_list(users).format()).strip()


def _operator(name: str) -> None:
    function = getattr(operator, name)

    def record(*args: Any, **kwargs: Any) -> Proxy:
        return args[0].tracer.create_proxy("call_function", function, args, kwargs)

    record.__name__ = record.__qualname__ = f"__{name.strip('_')}__"
    setattr(Proxy, record.__name__, record)


def _reflected(name: str) -> None:
    function = getattr(operator, name)

    def record(self: Proxy, other: Any) -> Proxy:
        return self.tracer.create_proxy("call_function", function, (other, self), {})

    record.__name__ = record.__qualname__ = f"__r{name.strip('_')}__"
    setattr(Proxy, record.__name__, record)


for _name in magic_methods:
    if _name != "div":  # which Python no longer has
        _operator(_name)
for _name in reflectable_magic_methods:
    if _name != "div":
        _reflected(_name)
vars(Proxy.__torch_function__.__func__).update(asked=True)
