"""How a Module comes out of a Layer: the same ``spec`` draws its parameters, the same ``forward`` runs on it."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from typing import Any

import jax

from funnn.layers import Buffer, Layer, Param, Repeat
from funnn.layers._layer import _freeze, present
from funnn.torch import _dtype
from funnn.torch._random import default_generator
from funnn.torch._tensor import Tensor
from funnn.torch.nn.modules.module import Module
from funnn.torch.nn.parameter import Parameter

_derived: dict[type[Layer], type[Module]] = {}


class _Given(Layer):
    """Stands for a module among the arguments of a constructor while the Layer is made; the module itself becomes the child."""

    module: Any


class LayerModule(Module):
    """Base of the Modules that are derived: ``class Linear(LayerModule, layer=layers.Linear)``."""

    _layer_type: type[Layer]

    def __init_subclass__(cls, layer: type[Layer] | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if layer is None:
            return
        cls._layer_type = layer
        cls.__doc__ = cls.__doc__ or (layer.__doc__ or "").partition(">>>")[0].rstrip()  # an example shows the Layer's way of use
        skipped = (
            vars(cls).keys()
            | vars(Module).keys()
            | vars(LayerModule).keys()
            | vars(Layer).keys()
            | {field.name for field in dataclasses.fields(layer)}
            | {"spec"}
        )
        for base in reversed(layer.__mro__[: layer.__mro__.index(Layer)]):
            for name, value in vars(base).items():
                if name in ("forward", "extra_repr") or not (name in skipped or name.startswith("__")):
                    setattr(cls, name, value)
        fields = [field for field in inspect.signature(layer).parameters.values() if field.kind is not field.VAR_KEYWORD]
        added = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in ("device", "dtype")]
        cls.__signature__ = inspect.Signature([*fields, *added])
        _derived[layer] = cls

    def __init__(self, *args: Any, device: Any = None, dtype: Any = None, **kwargs: Any):
        super().__init__()
        if device is not None:
            _dtype.check_device(device)
        kwargs = {name: _given(value) for name, value in kwargs.items()}
        self._adopt(self._layer_type(*map(_given, args), **kwargs), dtype, default_generator)

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

    def _adopt(self, layer: Layer, dtype: Any, source: Any) -> None:
        """Take over a layer's hyperparameters, draw its parameters, and derive its children."""
        kind = (_dtype.get_default_dtype() if dtype is None else _dtype.as_dtype(dtype)).numpy
        children, spec = layer.children(), layer.spec()
        self._layer_names = tuple(name for name in layer.__dict__ if name != "_scope")
        self.__dict__.update({name: value for name, value in layer.__dict__.items() if name not in {"_scope", *children, *spec}})
        for name, entry in spec.items():
            value = Tensor._wrap(draw(entry, source, kind)) if present(entry) else None
            if isinstance(entry, Buffer):
                self._buffers[name] = value
            else:
                self._parameters[name] = None if value is None else Parameter(value)
        for name, child in children.items():
            self._modules[name] = (_alike if name in layer.alike else module_of)(child, dtype, source)
        self._redraw(layer, source)

    def _redraw(self, layer: Layer, source: Any) -> None:
        """What the layer draws again when all below it have been drawn."""
        if type(layer).redraw is not Layer.redraw:
            for name, parameter in self.named_parameters():
                shape = parameter._shape()
                if (initialiser := layer.redraw(name, shape)) is not None:
                    parameter.detach()._write(draw(Param(shape, initialiser), source, parameter.dtype.numpy))

    def as_layer(self, **children: Layer) -> Layer:
        """The Layer that this module's present hyperparameters describe, with the given children."""
        layer = object.__new__(self._layer_type)
        for name in self._layer_names:
            if name in children:
                value = children[name]
            elif name in self._parameters:
                value = self._parameters[name] is not None
            elif name in self._buffers:
                value = None if self._buffers[name] is None else self._buffers[name].detach().numpy()
            else:
                value = getattr(self, name)
            layer.__dict__[name] = _freeze(value)
        return layer

    def reset_parameters(self) -> None:
        """Draw the initial values of the parameters and buffers again."""
        self._reset((Param, Buffer))

    def _reset(self, kinds: Any) -> None:
        layer = self.as_layer()
        for name, entry in layer.spec().items():
            if present(entry) and isinstance(entry, kinds):
                target = (self._buffers if isinstance(entry, Buffer) else self._parameters)[name]
                target.detach()._write(draw(entry, default_generator, target.dtype.numpy))
        self._redraw(layer, default_generator)

    def make_key(self, always: bool = False) -> None:
        """Modules draw from the default generator, not from keys."""

    def __setattr__(self, name: str, value: Any) -> None:
        buffer = self.__dict__.get("_buffers", {}).get(name)
        if buffer is not None and isinstance(value, Tensor) and value.dtype is buffer.dtype and value._shape() == buffer._shape():
            buffer.detach()._write(value._read())  # in place: whoever holds the buffer (a state_dict) sees the new value, as in torch
        else:
            super().__setattr__(name, value)


def draw(entry: Param | Buffer, source: Any, dtype: Any) -> jax.Array:
    """Initial values of one parameter or buffer."""
    with jax.enable_x64(True):
        return entry.init(source, entry.shape, dtype=getattr(entry, "dtype", None) or dtype)


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
    return module_type(type(layer)).from_layer(layer, dtype, source)
