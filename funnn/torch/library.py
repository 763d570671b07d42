"""torch.library: operators of users, written in Python, with a derivative and a form for shapes; and ``torch.ops``, where they are found."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import funnn.torch._namespace as torch
from funnn.torch._aten import operator
from funnn.torch.autograd.function import Function
from funnn.torch.autograd.graph import increment_version

__all__ = [
    "CustomOpDef",
    "Library",
    "custom_op",
    "define",
    "get_ctx",
    "impl",
    "infer_schema",
    "opcheck",
    "register_autograd",
    "register_fake",
    "register_kernel",
]

_TYPES = {
    torch.Tensor: "Tensor",
    int: "SymInt",
    float: "float",
    bool: "bool",
    str: "str",
    torch.dtype: "ScalarType",
    torch.device: "Device",
}


class CustomOpDef:
    """An operator that :func:`custom_op` made: called like its function, also as ``torch.ops.namespace.name``."""

    def __init__(self, namespace: str, name: str, schema: str, function: Callable[..., Any], mutates: frozenset[str]):
        self._namespace, self._name, self._schema, self._mutates = namespace, name, schema, mutates
        self._qualname = f"{namespace}::{name}"
        self._signature = inspect.signature(function)
        self._hints = typing.get_type_hints(function)
        self._kernel, self._fake = function, None
        self._kernels: dict[str, Callable[..., Any]] = {}
        self._backward: Callable[..., Any] | None = None
        self._setup: Callable[..., Any] | None = None
        self._node = _node_of(self)
        _packets(namespace)[name] = Packet(self)

    def __repr__(self) -> str:
        return f"<CustomOpDef({self._qualname})>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise RuntimeError(f"{self._qualname}() {error}. Declaration: {self._qualname}{self._schema}") from None
        bound.apply_defaults()
        for position, (name, value) in enumerate(bound.arguments.items()):
            if self._hints.get(name) is torch.Tensor and not isinstance(value, torch.Tensor):
                raise RuntimeError(
                    f"{self._qualname}() Expected a value of type 'Tensor' for argument '{name}' but instead found type '{type(value).__name__}'.\n"
                    f"Position: {position}\nValue: {value}\nDeclaration: {self._qualname}{self._schema}\n"
                    f"Cast error details: Unable to cast {value} to Tensor"
                )
        tensors = [value for value in _leaves(bound.arguments.values()) if isinstance(value, torch.Tensor)]
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
            if self._mutates:
                raise NotImplementedError(
                    f"{self._qualname} writes into its arguments, and one of them requires grad: detach it, or return a new tensor"
                )
            if bound.kwargs:
                return self._node.apply(len(bound.args), tuple(bound.kwargs), *bound.args, *bound.kwargs.values())
            return self._node.apply(len(bound.args), (), *bound.args)
        return self._run(bound.args, bound.kwargs)

    def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The kernel's results, without gradients."""
        tensors = [value for value in _leaves([*args, *kwargs.values()]) if isinstance(value, torch.Tensor)]
        kinds = {tensor.device.type for tensor in tensors}
        kernel = self._kernels.get(next(iter(kinds), "cpu"), self._kernel)
        if "meta" in kinds:
            if self._fake is None:
                raise NotImplementedError(f"{self._qualname} has no form for 'meta': give it one by register_fake")
            kernel = self._fake
        names = {name: value for name, value in self._signature.bind(*args, **kwargs).arguments.items() if name in self._mutates}
        before = {name: value._version for name, value in names.items() if isinstance(value, torch.Tensor)}
        with torch.no_grad():
            result = kernel(*args, **kwargs)
        for name, version in before.items():
            if names[name]._version == version:  # it was written by way of NumPy
                increment_version(names[name])
        outputs = [value for value in _leaves([result]) if isinstance(value, torch.Tensor)]
        memory = {id(tensor._storage) for tensor in tensors}
        if any(id(output._storage) in memory for output in outputs) or len({id(output._storage) for output in outputs}) < len(outputs):
            raise RuntimeError(
                f"{self._name}: The output of this custom operator (1) must not also be an input to this custom operator and (2) may not alias any inputs to "
                "this custom operator or other returns. Return a clone: x.clone()"
            )
        return result

    def register_kernel(self, device_types: Any, func: Callable[..., Any] | None = None, /) -> Callable[..., Any]:
        """Use another function for tensors on devices of these types."""

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            for kind in [device_types] if isinstance(device_types, str) else device_types or ("cpu", "cuda"):
                self._kernels[kind] = function
            return function

        return register if func is None else register(func)

    def register_fake(self, fn: Callable[..., Any], /) -> Callable[..., Any]:
        """The function for tensors on ``'meta'``, which gives results of the right shapes and types."""
        self._fake = fn
        return fn

    def register_autograd(self, backward: Callable[..., Any], /, *, setup_context: Callable[..., Any] | None = None) -> None:
        """The derivative: ``backward(ctx, *gradients)`` gives one for each argument; ``setup_context(ctx, inputs, output)`` saves what it needs."""
        self._backward, self._setup = backward, setup_context

    def register_vmap(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not there.

        Raises:
          NotImplementedError: always.
        """
        raise NotImplementedError("torch.library's register_vmap is not supported: write an autograd.Function with vmap")


def _node_of(operator: CustomOpDef) -> Any:
    """The class that puts the operator on the tape, under the name that PyTorch gives it."""

    def split(count: int, names: tuple[str, ...], values: tuple[Any, ...]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return values[:count], dict(zip(names, values[count:], strict=True))

    def forward(count: int, names: tuple[str, ...], *values: Any) -> Any:
        return operator._run(*split(count, names, values))

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        args, kwargs = split(inputs[0], inputs[1], inputs[2:])
        if operator._setup is not None:
            operator._setup(ctx, args, output, **({"keyword_only_inputs": kwargs} if kwargs else {}))

    def backward(ctx: Any, *gradients: Any) -> Any:
        if operator._backward is None:
            raise RuntimeError(
                f"Trying to backward through {operator._namespace}.{operator._name}.default but no autograd formula was registered. Please use "
                "register_autograd to add one."
            )
        found = operator._backward(ctx, *gradients)
        found = found if isinstance(found, tuple) else (found,)
        missing = len(operator._signature.parameters) - len(found)  # keyword-only arguments have none
        return (None, None, *found, *[None] * missing)

    methods = {"forward": staticmethod(forward), "setup_context": staticmethod(setup_context), "backward": staticmethod(backward)}
    return type(f"GeneratedBackwardFor_{operator._namespace}_{operator._name}_default", (Function,), methods)


def _leaves(values: Iterable[Any]) -> Iterable[Any]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _leaves(value)
        else:
            yield value


def custom_op(
    name: str,
    fn: Callable[..., Any] | None = None,
    /,
    *,
    mutates_args: Any,
    device_types: Any = None,
    schema: str | None = None,
    tags: Any = None,
) -> Any:
    """Make an operator of a function of tensors; a decorator where no function is given. What is inside is opaque: no gradient goes through it but by
    ``register_autograd``.

    Args:
      name: ``"namespace::name"``.
      fn: the function, with types of arguments and result.
      mutates_args: the names of arguments into which it writes.
      device_types: types of devices on which the function runs; all, if None.
      schema: is taken from the annotations; a text given is kept.
      tags: are ignored.

    Raises:
      ValueError: an annotation is missing, or the name has no namespace.

    Example:
      >>> import funnn.torch as torch
      >>> @torch.library.custom_op("docs::double", mutates_args=())
      ... def double(x: torch.Tensor) -> torch.Tensor:
      ...     return x * 2
      >>> torch.ops.docs.double(torch.ones(2))
      tensor([2., 2.])
    """
    namespace, colons, leaf = name.partition("::")

    def make(function: Callable[..., Any]) -> CustomOpDef:
        if not colons or not namespace or not leaf:
            raise ValueError(f"{name}: expected a name with its namespace, such as 'mylib::{name}'")
        text = schema or infer_schema(function, mutates_args=mutates_args)
        parameters = inspect.signature(function).parameters
        mutates = frozenset(parameters if mutates_args == "unknown" else mutates_args)
        operator = CustomOpDef(namespace, leaf, text, function, mutates)
        if device_types is not None:
            operator.register_kernel(device_types, function)
        return operator

    return make if fn is None else make(fn)


def infer_schema(prototype_function: Callable[..., Any], /, *, mutates_args: Any, op_name: str | None = None) -> str:
    """The declaration of a function's arguments and results, from their types: ``(Tensor x, float k=2.) -> Tensor``.

    Raises:
      ValueError: a type is missing, or unknown.
    """
    signature, hints = inspect.signature(prototype_function), typing.get_type_hints(prototype_function)
    words = []
    for parameter in signature.parameters.values():
        if parameter.name not in hints:
            raise ValueError(
                f"infer_schema(func): Parameter {parameter.name} must have a type annotation. Got func with signature {signature})"
            )
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in words:
            words.append("*")
        kind = _schema_type(hints[parameter.name], parameter.name)
        if mutates_args == "unknown" or parameter.name in mutates_args:
            kind = kind.replace("Tensor", f"Tensor(a{len(words)}!)", 1)
        default = parameter.default
        text = "" if default is parameter.empty else f"={_schema_default(default)}"
        words.append(f"{kind} {parameter.name}{text}")
    if "return" not in hints:
        raise ValueError(f"infer_schema(func): No return type annotation was provided. Got func with signature {signature})")
    result = hints["return"]
    if result is type(None):
        results = "()"
    elif typing.get_origin(result) is tuple:
        results = f"({', '.join(_schema_type(each, 'return') for each in typing.get_args(result))})"
    else:
        results = _schema_type(result, "return")
    return f"{op_name or ''}({', '.join(words)}) -> {results}"


def _schema_default(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}" + ("." if value == int(value) and abs(value) < 1e6 else "")
    return f'"{value}"' if isinstance(value, str) else str(value)


def _schema_type(kind: Any, name: str) -> str:
    arguments = typing.get_args(kind)
    if kind in _TYPES:
        return _TYPES[kind]
    if typing.get_origin(kind) in (typing.Union, types.UnionType) and type(None) in arguments and len(arguments) == 2:
        return f"{_schema_type(next(each for each in arguments if each is not type(None)), name)}?"
    if typing.get_origin(kind) in (list, tuple) or getattr(typing.get_origin(kind), "__name__", "") == "Sequence":
        return f"{_schema_type(arguments[0], name)}[]"
    if arguments and set(arguments) <= {int, float, bool}:
        return "Scalar"
    raise ValueError(f"infer_schema(func): Parameter {name} has unsupported type {kind}")


# -- torch.ops


class Packet:
    """``torch.ops.namespace.name``: the operator, and ``default``, its one overload."""

    def __init__(self, operator: Any):
        self._operator = operator
        self.__name__ = operator._name
        self.__doc__ = getattr(operator._kernel, "__doc__", None)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._operator(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<OpOverloadPacket(op='{self._operator._namespace}.{self._operator._name}')>"

    def __str__(self) -> str:
        return f"{self._operator._namespace}.{self._operator._name}"

    @property
    def default(self) -> Packet:
        """The one overload."""
        return self

    def overloads(self) -> list[str]:
        """Their names."""
        return ["default"]


_registry: dict[str, dict[str, Packet]] = {}


def _packets(namespace: str) -> dict[str, Packet]:
    return _registry.setdefault(namespace, {})


class _Namespace:
    """``torch.ops.namespace``."""

    def __init__(self, name: str):
        self._own_name = name

    def __getattr__(self, name: str) -> Any:
        if name in _registry.get(self._own_name, {}):
            return _registry[self._own_name][name]
        if self._own_name == "aten" and not name.startswith("__") and (found := operator(name)) is not None:
            return found
        if self._own_name in ("aten", "prims", "prim"):
            raise AttributeError(
                f"torch.ops.{self._own_name}.{name} is not supported: call the function or method of torch that does it",
                name=name,
                obj=self,
            )
        raise AttributeError(f"'_OpNamespace' '{self._own_name}' object has no attribute '{name}'", name=name, obj=self)

    def __dir__(self) -> list[str]:
        return list(_registry.get(self._own_name, {}))


class Ops:
    """``torch.ops``: the operators of users, by namespace."""

    def __getattr__(self, name: str) -> _Namespace:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Namespace(name)

    def load_library(self, path: Any) -> NoReturn:
        """Not there: operators in C++ are PyTorch's.

        Raises:
          NotImplementedError: always.
        """
        raise NotImplementedError(
            f"torch.ops.load_library({str(path)!r}) is not supported: operators in C++ need PyTorch; write it with jax.ffi"
        )

    def __iter__(self) -> Any:
        return iter(_registry)


ops = Ops()


# -- by name


def _operator(op: Any) -> CustomOpDef:
    if isinstance(op, CustomOpDef):
        return op
    if isinstance(op, Packet):
        return op._operator
    namespace, _, name = str(op).removesuffix(".default").partition("::")
    if name not in _registry.get(namespace, {}):
        raise RuntimeError(f"operator {op} does not exist")
    return _registry[namespace][name]._operator


def register_fake(
    op: Any, func: Callable[..., Any] | None = None, /, *, lib: Any = None, _stacklevel: int = 1, allow_override: bool = False
) -> Any:
    """See CustomOpDef; a decorator where no function is given."""
    operator = _operator(op)
    return operator.register_fake if func is None else operator.register_fake(func)


def register_kernel(op: Any, device_types: Any, func: Callable[..., Any] | None = None, /, *, lib: Any = None) -> Any:
    """See CustomOpDef; a decorator where no function is given."""
    return _operator(op).register_kernel(device_types, func)


def register_autograd(
    op: Any, backward: Callable[..., Any], /, *, setup_context: Callable[..., Any] | None = None, lib: Any = None
) -> None:
    """See CustomOpDef."""
    _operator(op).register_autograd(backward, setup_context=setup_context)


def get_ctx() -> NoReturn:
    """Not there: shapes do not depend on data here.

    Raises:
      NotImplementedError: always.
    """
    raise NotImplementedError("torch.library.get_ctx is not supported: sizes are Python integers; there are none that depend on data")


def opcheck(*args: Any, **kwargs: Any) -> NoReturn:
    """Not there: it tests what PyTorch's compiler needs.

    Raises:
      NotImplementedError: always.
    """
    raise NotImplementedError(
        "torch.library.opcheck tests operators for PyTorch's compiler; use torch.autograd.gradcheck for the derivative"
    )


class _Declared:
    """What :meth:`Library.define` declares, until it has a function."""

    def __init__(self, namespace: str, name: str, schema: str):
        self._namespace, self._name, self._schema, self._kernel = namespace, name, schema, None
        self._kernels: dict[str, Callable[..., Any]] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        tensors = [value for value in _leaves([*args, *kwargs.values()]) if isinstance(value, torch.Tensor)]
        kind = next((tensor.device.type.upper() for tensor in tensors), "CPU")
        for key in (kind, "CompositeExplicitAutograd", "CompositeImplicitAutograd", ""):
            if key in self._kernels:
                with torch.set_grad_enabled(torch.is_grad_enabled() and key == "CompositeImplicitAutograd"):
                    return self._kernels[key](*args, **kwargs)
        raise NotImplementedError(
            f"Could not run '{self._namespace}::{self._name}' with arguments from the '{kind}' backend: it has no function there"
        )


class Library:
    """Operators of a namespace that are declared by text and get their functions by ``impl``. They have no derivative, unless the function is for
    ``"CompositeImplicitAutograd"``.

    Args:
      ns: the namespace.
      kind: "DEF" or "FRAGMENT"; "IMPL" adds functions to what is declared.
      dispatch_key: of functions that name none.
    """

    def __init__(self, ns: str, kind: str, dispatch_key: str = ""):
        if kind not in ("IMPL", "DEF", "FRAGMENT"):
            raise ValueError(f"Unsupported kind: {kind}")
        self.ns, self.kind, self.dispatch_key = ns, kind, dispatch_key

    def define(self, schema: str, alias_analysis: str = "", *, tags: Any = ()) -> str:
        """Declare an operator: ``"name(Tensor x) -> Tensor"``; returns its name."""
        name, found, _ = schema.partition("(")
        name = name.strip()
        if not found or "->" not in schema:
            raise ValueError(f'expected schema to look like e.g. "{name or "sin"}(Tensor x) -> Tensor" but got "{schema}"')
        if name in _packets(self.ns):
            raise RuntimeError(f"Tried to register an operator ({self.ns}::{schema}) with the same name and overload name multiple times.")
        _packets(self.ns)[name] = Packet(_Declared(self.ns, name, schema.removeprefix(name)))
        return name

    def impl(
        self, op_name: Any, fn: Callable[..., Any], dispatch_key: str = "", *, with_keyset: bool = False, allow_override: bool = False
    ) -> None:
        """Give an operator its function, for a backend ("CPU", "CUDA", "Meta") or for all ("CompositeImplicitAutograd")."""
        name = str(getattr(op_name, "__name__", op_name)).rpartition("::")[2]
        if name not in _packets(self.ns):
            raise RuntimeError(f"operator {self.ns}::{name} does not exist: declare it with define")
        _packets(self.ns)[name]._operator._kernels[dispatch_key or self.dispatch_key] = fn


def define(qualname: str, schema: str, *, lib: Library | None = None, tags: Any = ()) -> None:
    """Declare an operator by text, ``define("mylib::sin", "(Tensor x) -> Tensor")``; :func:`impl` gives it its function.

    Raises:
      ValueError: ``qualname`` is no ``"namespace::name"``.
    """
    if not isinstance(qualname, str):
        raise ValueError(f"define(qualname, schema): expected qualname to be instance of str, got {type(qualname)}")
    namespace, found, name = qualname.partition("::")
    if not found:
        raise ValueError(f"Expected `qualname` to be of the form 'namespace::name', but got {qualname!r}")
    (Library(namespace, "FRAGMENT") if lib is None else lib).define(name + schema, tags=tags)


def impl(qualname: str, types: Any, func: Callable[..., Any] | None = None, *, lib: Any = None) -> Any:
    """Give a declared operator its function for devices of these types ("cpu", "cuda", "default"); a decorator where no function is given."""
    namespace, _, name = qualname.partition("::")
    keys = {"cpu": "CPU", "cuda": "CUDA", "default": "CompositeExplicitAutograd"}

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for kind in [types] if isinstance(types, str) else types:
            Library(namespace, "IMPL").impl(name, function, keys.get(kind, kind))
        return function

    return register if func is None else register(func)
