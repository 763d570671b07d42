"""How a Module comes out of a Layer: the same ``spec`` draws its parameters, the same ``forward`` runs on it."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from funnn.engine.dispatch.inplace import check_captured
from funnn.engine.dispatch.jax_errors import speak_torch
from funnn.engine.program.outline import outlined
from funnn.engine.program.value import copied
from funnn.engine.tensor.generator import default_generator
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import device as _device
from funnn.engine.types import dtype as _dtype
from funnn.layers import Buffer, Layer, Param, Repeat
from funnn.layers._entries import Constant, present
from funnn.layers._value import Value, freeze
from funnn.torch.nn.modules._torch_files import publish
from funnn.torch.nn.modules.module import Module, registered
from funnn.torch.nn.parameter import Parameter

_derived: dict[type[Layer], type[Module]] = {}


class _Given(Layer):
    """Stands for a module among the arguments of a constructor while the Layer is made; the module itself becomes the child."""

    module: Any

    def __deepcopy__(self, memo: dict[int, Any]) -> _Given:
        return copy.copy(self)  # the module is copied where it is given to a child


class Place(NamedTuple):
    """Of which type parameters are, and on which device (None: the defaults)."""

    dtype: Any = None
    device: Any = None


class Undrawn:
    """A random source for values that will be replaced: zeros, and no generator moves."""

    def uniform(self, shape: Any, dtype: Any, low: float = 0.0, high: float = 1.0) -> Any:
        """Zeros of that shape and type."""
        return jnp.zeros(tuple(shape), dtype)

    normal = uniform


class Computed:
    """A property that may be assigned to, and then is an ordinary attribute, as it is in torch from the beginning."""

    def __init__(self, compute: Callable[[Any], Any], doc: str | None = None):
        self.compute, self.__doc__ = compute, doc or compute.__doc__

    def __get__(self, module: Any, owner: type | None = None) -> Any:
        return self if module is None else self.compute(module)


def alias(name: str) -> property:
    """Another name of an attribute: torch's, where the layer has its own."""
    return property(
        lambda module: getattr(module, name), lambda module, value: setattr(module, name, value), doc=f"Another name of ``{name}``."
    )


class LayerModule(Module):
    """Base of the Modules that are derived: ``class Linear(LayerModule, layer=layers.Linear)``.

    What a class writes itself, or one of its bases, stands before what the Layer has. A class without ``layer`` is a base of several, for
    isinstance. ``file`` is the name of torch's file in which users look for the class and its subclasses (see ``_torch_files``), and ``placed`` says
    whether the constructor takes ``device`` and ``dtype``, as torch's do that make parameters; by default those of layers with a ``spec``, and
    these have ``reset_parameters`` too. A user's subclass may define that anew (or ``_reset_parameters``, for those that draw again what their
    parts have drawn): the constructor then calls it instead of drawing, as torch's does.
    """

    _layer_type: type[Layer]
    _file: str | None = None
    _placed: bool | None = None
    _written: frozenset[str] = frozenset()  # the names that classes wrote by hand
    _reset_name: str | None = None  # the method by which torch's constructor draws
    _own_reset = False  # whether a user's subclass has another
    __constants__: list[str] = []  # noqa: RUF012 - torch's, for TorchScript; subclasses add to it

    def __init_subclass__(
        cls, layer: type[Layer] | None = None, file: str | None = None, placed: bool | None = None, **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        cls._written = cls._written | vars(cls).keys()
        cls._file = file or cls._file
        cls._placed = cls._placed if placed is None else placed
        if cls._file is not None and cls.__module__.startswith(__package__):
            publish(cls, cls._file)
        if layer is None:
            if "__init__" in vars(cls):
                cls.__signature__ = _without_self(cls.__init__)
            library = next((base for base in cls.__mro__ if "_reset_name" in vars(base)), LayerModule)
            name = library._reset_name
            cls._own_reset = name is not None and getattr(cls, name) is not getattr(library, name)
            return
        cls._layer_type = layer
        cls.__doc__ = (
            vars(cls).get("__doc__") or (layer.__doc__ or "").partition(">>>")[0].rstrip()
        )  # an example shows the Layer's way of use
        skipped = (
            vars(Module).keys()
            | vars(LayerModule).keys()
            | vars(Layer).keys()
            | vars(Value).keys()
            | {field.name for field in dataclasses.fields(layer)}
        )
        for base in reversed(layer.__mro__[: layer.__mro__.index(Layer)]):
            for name, value in vars(base).items():
                if name not in cls._written and (name in ("forward", "extra_repr") or not (name in skipped or name.startswith("__"))):
                    setattr(cls, name, Computed(value.fget) if isinstance(value, property) else value)
        own_spec = layer.spec is not Layer.spec
        if cls._placed is None:
            cls._placed = own_spec
        cls._reset_name = None if layer.redraw is Layer.redraw else "_reset_parameters"
        if own_spec and placed is None and cls._placed and cls._reset_name is None and "reset_parameters" not in cls._written:
            cls._reset_name, cls.reset_parameters = "reset_parameters", reset_parameters
        cls.__constants__ = [field.name for field in dataclasses.fields(layer)]
        cls.__signature__ = _signature(layer, cls._placed)
        _derived[layer] = cls

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()
        self._start(*self._construct(args, kwargs))

    def _start(self, layer: Layer, place: Place) -> None:
        """The constructor's work: the parameters come from the layer, or from the method that a user's subclass has for that."""
        with place.device or contextlib.nullcontext():
            self._adopt(layer, place.dtype, default_generator, drawn=not self._own_reset)
            if self._own_reset:
                getattr(self, self._reset_name)()

    def _construct(self, args: tuple, kwargs: dict) -> tuple[Layer, Place]:
        """The layer that the constructor's arguments describe, and where its parameters are to be."""
        layer = getattr(self, "_layer_type", None)
        if layer is None:
            raise NotImplementedError(f"{type(self).__name__} is only the base of several classes; construct one of those")
        device = dtype = None
        if self._placed:
            count = len(_positional(layer))  # device and dtype may stand behind the layer's own arguments
            device, dtype = ((*args[count : count + 2], None, None)[i] for i in (0, 1))
            device, dtype = kwargs.get("device", device), kwargs.get("dtype", dtype)
            args, kwargs = args[:count] + args[count + 2 :], {k: v for k, v in kwargs.items() if k not in ("device", "dtype")}
            if device is not None:
                _device.check_device(device)
                device = _device.device(device)
        try:
            made = layer(*map(_given, args), **{name: _given(value) for name, value in kwargs.items()})
            if made._initialisers:  # which PyTorch's constructors do not take
                raise TypeError(
                    f"{type(self).__name__}.__init__() got an unexpected keyword argument {made._initialisers[0][0] + '_init'!r}"
                )
            return made, Place(dtype, device)
        except Exception as error:
            speak_torch(error)
            raise

    @staticmethod
    def adopt_type(layer: type[Layer], cls: type[Module]) -> None:
        """Let a class of its own, with a ``from_layer``, stand for a Layer class."""
        _derived[layer] = cls

    @classmethod
    def from_layer(cls, layer: Layer, dtype: Any, source: Any) -> Module:
        """The Module of a Layer, with values drawn from ``source``."""
        module = cls.__new__(cls)
        Module.__init__(module)
        module._adopt(layer, dtype, source)
        return module

    def _adopt(self, layer: Layer, dtype: Any, source: Any, drawn: bool = True) -> None:
        """Take over a layer's hyperparameters, draw its parameters (unless not ``drawn``), and derive its children."""
        own = source if drawn else Undrawn()
        kind = (_dtype.get_default_dtype() if dtype is None else _dtype.as_dtype(dtype)).numpy
        children, spec = layer.children(), layer.entries()
        self._layer_names = tuple(name for name in layer.__dict__ if name not in ("_scope", "_given", "_replaced", "_initialisers"))
        self._spent = _spent_arguments(layer)
        self._assigned = {name: entry for name, entry in spec.items() if layer.__dict__.get(name) is entry and entry is not None}
        rest = {name: layer.__dict__[name] for name in self._layer_names if name not in children and name not in spec}
        self.__dict__.update({name: _constant(value) if type(value) is Constant else value for name, value in rest.items()})
        for name, entry in spec.items():
            value = self._first_value(entry, own, kind) if present(entry) else None
            if isinstance(entry, Buffer):
                self._buffers[name] = registered(self, "buffer", name, value)
            elif value is None:
                self._parameters[name] = None
            else:
                self._parameters[name] = registered(self, "parameter", name, value if isinstance(value, Parameter) else Parameter(value))
        for name, child in children.items():
            made = (_alike if name in layer.alike else module_of)(child, dtype, source)
            self._modules[name] = registered(self, "module", name, made)
        if drawn:
            self._redraw(layer, source)

    def _first_value(self, entry: Param | Buffer, source: Any, dtype: Any) -> Tensor:
        return Tensor._wrap(draw(entry, source, dtype))

    def _redraw(self, layer: Layer, source: Any) -> None:
        """What the layer draws again when all below it have been drawn."""
        if type(layer).redraw is not Layer.redraw:
            for name, parameter in self.named_parameters():
                if parameter.is_meta:
                    continue
                shape = parameter._shape()
                if (initialiser := layer.redraw(name, shape)) is not None:
                    parameter.detach()._write(draw(Param(shape, initialiser), source, parameter.dtype.numpy))

    def as_layer(self, **children: Layer) -> Layer:
        """The Layer that this module's present hyperparameters describe, with the given children."""
        layer = object.__new__(self._layer_type)
        for name in self._layer_names:
            if name in children:
                value = children[name]
            elif name in self._assigned:
                value = self._assigned[name]
            elif name in self._parameters:
                value = self._parameters[name] is not None
            elif name in self._buffers:
                value = None if self._buffers[name] is None else self._buffers[name].detach()._host().copy()
            else:
                value = getattr(self, name)
            layer.__dict__[name] = freeze(value)
        kept = {name: layer.__dict__[name] for name in _argument_names(self._layer_type) if name in layer.__dict__}
        layer.__dict__["_given"] = (), {**self._spent, **kept}
        return layer

    def _reset_parameters(self) -> None:
        """Draw the initial values of the parameters and buffers again."""
        self._reset((Param, Buffer))

    def _reset(self, kinds: Any) -> None:
        layer = self.as_layer()
        for name, entry in layer.spec().items():
            if present(entry) and isinstance(entry, kinds):
                target = getattr(self, name)  # of a parametrised one the value, which nobody keeps, as in torch
                if target.is_meta:
                    continue
                target.detach()._write(draw(entry, default_generator, target.dtype.numpy))
        self._redraw(layer, default_generator)

    def make_key(self, always: bool = False) -> None:
        """Modules draw from the default generator, not from keys."""

    def sow(self, name: str, value: Any) -> None:
        """Nobody captures what a Module's forward gives away; a forward hook sees outputs."""

    def __setattr__(self, name: str, value: Any) -> None:
        buffer = self.__dict__.get("_buffers", {}).get(name)
        if buffer is not None and isinstance(value, Tensor) and value.dtype is buffer.dtype and value._shape() == buffer._shape():
            check_captured(buffer, "add_.Tensor")
            buffer.detach()._write(value._operand())  # in place: whoever holds the buffer (a state_dict) sees the new value, as in torch
        else:
            super().__setattr__(name, value)


def reset_parameters(self: LayerModule) -> None:
    """Draw the initial values of the parameters and buffers again."""
    self._reset_parameters()


def _constant(constant: Constant) -> Tensor:
    """An array among a layer's hyperparameters, as its forward computes with it on Tensors."""
    return Tensor._wrap(copied(constant.values))


def draw(entry: Param | Buffer, source: Any, dtype: Any) -> Any:
    """Initial values of one parameter or buffer, as a Tensor keeps them; on 'meta' nothing is drawn."""
    if min(entry.shape, default=0) < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(entry.shape)}: {list(entry.shape)}")
    kind = getattr(entry, "dtype", None) or getattr(entry.init, "own_dtype", None) or dtype
    if _device.wants_outline(None):
        return outlined(entry.shape, np.dtype(kind))
    with jax.enable_x64(True):
        return entry.init(source, entry.shape, dtype=kind)


@functools.cache
def _positional(layer: type[Layer]) -> tuple[inspect.Parameter, ...]:
    """The arguments of a layer's constructor that may be given by position."""
    parameters = inspect.signature(layer).parameters.values()
    return tuple(p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))


@functools.cache
def _argument_names(layer: type[Layer]) -> tuple[str, ...]:
    return tuple(inspect.signature(layer).parameters)


def _spent_arguments(layer: Layer) -> dict[str, Any]:
    """The constructor's arguments that are no attributes of the layer, such as the width of a Transformer's hidden layers."""
    args, kwargs = layer._given
    if all(name in layer.__dict__ for name in _argument_names(type(layer))):
        return {}
    given = inspect.signature(type(layer)).bind_partial(*args, **kwargs).arguments
    return {name: value for name, value in given.items() if name not in layer.__dict__ and not isinstance(value, _Given)}


def _signature(layer: type[Layer], placed: bool) -> inspect.Signature:
    """The layer's arguments, with ``device`` and ``dtype`` behind those by position."""
    fields = [_sized(layer, p) for p in inspect.signature(layer).parameters.values() if p.kind is not p.VAR_KEYWORD]
    behind = next((place for place, p in enumerate(fields) if p.kind in (p.VAR_POSITIONAL, p.KEYWORD_ONLY)), len(fields))
    kind = inspect.Parameter.KEYWORD_ONLY if any(p.kind is p.VAR_POSITIONAL for p in fields) else inspect.Parameter.POSITIONAL_OR_KEYWORD
    behind = len(fields) if kind is inspect.Parameter.KEYWORD_ONLY else behind
    added = [inspect.Parameter(name, kind, default=None) for name in ("device", "dtype")] if placed else []
    return inspect.Signature([*fields[:behind], *added, *fields[behind:]])


def _sized(layer: type[Layer], parameter: inspect.Parameter) -> inspect.Parameter:
    """An argument as a Module has it, which knows its sizes."""
    sized = parameter.name in layer.sizes_from_input and isinstance(parameter.annotation, str)
    return parameter.replace(annotation=parameter.annotation.removesuffix(" | None")) if sized else parameter


def _without_self(function: Callable) -> inspect.Signature:
    signature = inspect.signature(function)
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def module_type(layer: type[Layer]) -> type[Module]:
    """The Module class of a Layer class; made on the spot for a user's own layer."""
    if issubclass(layer, Repeat):
        raise NotImplementedError(
            "Repeat holds the stacked parameters of many layers, which a Module can't; use Sequential(*[layer] * times) and unstack them"
        )
    if layer not in _derived:
        type(layer.__name__, (LayerModule,), {"__module__": layer.__module__}, layer=layer)
    return _derived[layer]


def _given(value: Any) -> Any:
    return _Given(value) if isinstance(value, Module) else value


def _alike(layers: Layer, dtype: Any, source: Any) -> Module:
    """The Modules of a list of equal layers: one is drawn (or given), and all are copies of it."""
    modules, members = module_of(type(layers)()), layers.children()
    first = module_of(members["0"], dtype, source) if members else None
    for name in members:
        modules.add_module(name, copy.deepcopy(first))
    return modules


def module_of(layer: Layer, dtype: Any = None, source: Any = default_generator) -> Module:
    """A Module that does what ``layer`` does, with parameters drawn from ``source``."""
    if isinstance(layer, _Given):
        return layer.module
    if layer._policy is not None:
        raise NotImplementedError(
            f"{type(layer).__name__} has a policy, which a Module can't: take layer.with_policy(None) and run the Module under torch.autocast"
        )
    if layer._output is not None:
        raise NotImplementedError(
            f"{type(layer).__name__} has a function of its output, which a Module can't: take layer.with_output(None) and register_forward_hook on the Module"
        )
    if layer._mode is not None:
        raise NotImplementedError(
            f"{type(layer).__name__} has a mode, which a Module keeps itself: take layer.with_mode(None) and call "
            f"{'train' if layer._mode else 'eval'}() on the part of the Module"
        )
    return module_type(type(layer)).from_layer(layer, dtype, source)
