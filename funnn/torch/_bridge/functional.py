"""The way between the worlds: a Module as a Layer with its arrays, a Layer with arrays as a Module."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from funnn import checkpoint, layers
from funnn.engine.memory.storage import Storage
from funnn.engine.program.value import copied
from funnn.engine.state import thread
from funnn.engine.tape.node import Node
from funnn.engine.tensor.generator import default_generator
from funnn.engine.tensor.sparse import SparseTensor
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.transform.listener import Listener, cut
from funnn.layers import Layer
from funnn.layers._scope import Scope
from funnn.torch.nn.modules.container import ModuleDict, ModuleList, Sequential
from funnn.torch.nn.modules.derived import LayerModule, Undrawn, module_of, module_type
from funnn.torch.nn.modules.hooks import CALL_HOOKS
from funnn.torch.nn.modules.module import Module
from funnn.torch.nn.parameter import Parameter


class ModuleLayer(Layer):
    """A Module seen as a Layer: ``apply`` runs the Module's own forward on given arrays.

    The Module lends its structure alone; its parameters are untouched. Two are equal when they are of the same Module object.
    """

    module: Any

    def init(self, key: Any, *, dtype: Any = None) -> Any:
        raise NotImplementedError(
            "a Layer made from a Module has the Module's present values and can't draw new ones; use those that to_functional returned"
        )

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        bound = self.__dict__["_bound"]
        with _Lent(self.module, bound["arrays"], self._scope.key, self.training) as lent:
            inputs, named = jax.tree.map(_to_tensor, (args, kwargs))
            output = self.module(*inputs, **named)
            bound["state"] = lent.state()
            return jax.tree.map(_to_array, output, is_leaf=lambda leaf: isinstance(leaf, Tensor))

    def _bind(self, params: Any, state: Any, key: Any, train: bool, path: str, observer: Any = None) -> Layer:
        view = object.__new__(type(self))
        bound = {"arrays": checkpoint.to_state_dict(params, state), "params": params, "state": state}
        view.__dict__.update(self.__dict__, _scope=Scope(path, key, set(), set(), observer), training=train, _bound=bound)
        return view

    def _rebind(self, params: Any, state: Any, key: Any, observer: Any) -> Layer:
        return self._bind(params, state, key, self.training, self._scope.path, observer)

    def _params(self) -> Any:
        return self.__dict__["_bound"]["params"]

    def _collect(self) -> Any:
        return self.__dict__["_bound"]["state"]

    def _restore(self, state: Any) -> None:
        self.__dict__["_bound"]["state"] = state

    def __repr__(self) -> str:
        return repr(self.module)


def _to_tensor(leaf: Any) -> Any:
    """An array as a tensor that needs a gradient, as every input of a pure function may."""
    if isinstance(leaf, Tensor) or not hasattr(leaf, "shape"):
        return leaf
    array = jnp.asarray(leaf)
    return Tensor._wrap(array, _Input(()) if jnp.issubdtype(array.dtype, jnp.inexact) else None)


def _to_array(leaf: Any) -> Any:
    if not isinstance(leaf, Tensor):
        return leaf
    return leaf._read() if leaf.requires_grad else lax.stop_gradient(leaf._read())


class _Input(Node):
    """What made an input of the function: nothing that can be walked."""

    __slots__ = ()


class _Pure(Listener):
    """A Module's forward as a pure function in progress: what it records on the tape says where JAX's gradient ends."""

    cut = staticmethod(cut)

    def own_backward(self, what: str) -> None:
        raise NotImplementedError(
            f"{what} on the way runs Python in the backward pass, which jax.grad of a Module's pure function does not; write the derivative with "
            "jax.custom_vjp and put it on the tape with torch.from_jax, or differentiate the Module with backward()"
        )


class _Lent:
    """A Module with other arrays, another mode and a key, for the time of one call; afterwards all its attributes are as before."""

    def __init__(self, module: Module, given: dict[str, Any], key: Any, train: bool):
        self.module, self.given, self.key, self.train = module, given, key, train

    def __enter__(self) -> _Lent:
        tensors = dict(self.module.named_parameters()) | buffers_of(self.module)
        missing, unknown = tensors.keys() - self.given.keys(), self.given.keys() - tensors.keys()
        if missing or unknown:
            raise ValueError(
                f"params and state do not fit {type(self.module).__name__}: missing {sorted(missing)}, unknown {sorted(unknown)}; use the dicts "
                "that to_functional(module) returned"
            )
        owned = [attributes for m in self.module.modules() for attributes in (m.__dict__, m._parameters, m._buffers, m._modules)]
        self.before = [(attributes, attributes.copy()) for attributes in [*owned, *(tensor.__dict__ for tensor in tensors.values())]]
        self.grad, thread.grad = thread.grad, True
        self.tracing, thread.tracing = thread.tracing, _Pure()
        self.lent = default_generator.lent(self.key)
        self.lent.__enter__()
        for name, tensor in tensors.items():
            tensor._storage, tensor._window = Storage(self.given[name]), None
            tensor._leaf_requires_grad = isinstance(tensor, Parameter) and tensor.is_floating_point()
        self.module.train(self.train)
        return self

    def state(self) -> Any:
        return checkpoint.unflatten({name: buffer._read() for name, buffer in buffers_of(self.module).items()})

    def __exit__(self, *exc: Any) -> None:
        self.lent.__exit__(None, None, None)
        thread.grad, thread.tracing = self.grad, self.tracing
        for attributes, before in self.before:
            attributes.clear()
            attributes.update(before)


def buffers_of(module: Module) -> dict[str, Tensor]:
    """The buffers that become arrays of the state, by name; sparse ones stay with the Module, as constants."""
    return {name: buffer for name, buffer in module.named_buffers() if not isinstance(buffer, SparseTensor)}


def to_functional(module: Module) -> tuple[Layer, dict, dict]:
    """A Module as ``(layer, params, state)``: the same computation as a pure pair, with the Module's present values.

    Modules of torch.nn and Sequentials of them become the Layers they are derived from; any other Module becomes a Layer that runs its
    forward. The arrays are shared with the Module until one of both changes (arrays are immutable), so nothing is copied. Sparse buffers are no
    arrays of the state: they stay with the Module, as constants.

    >>> import funnn.torch as torch
    >>> layer, params, state = to_functional(torch.nn.Linear(2, 3))
    >>> layer, params["weight"].shape, state
    (Linear(in_features=2, out_features=3, bias=True), (3, 2), {})
    """
    if not isinstance(module, Module):
        raise TypeError(f"to_functional takes a torch.nn.Module, got {type(module).__name__}")
    params = checkpoint.unflatten({name: parameter._export() for name, parameter in module.named_parameters()})
    state = checkpoint.unflatten({name: buffer._export() for name, buffer in buffers_of(module).items()})
    return (_without_sharing(module) and _as_layer(module)) or ModuleLayer(module), params, state


def _as_layer(module: Module | None) -> Layer | None:
    """The Layer that does what the module does, if every part of it is plainly derived from one."""
    if module is None or any(getattr(module, name) for name in CALL_HOOKS) or "forward" in module.__dict__:
        return None
    children = {name: _as_layer(child) for name, child in module._modules.items()}
    if None in children.values():
        return None
    if type(module) in _CONTAINERS:
        return _CONTAINERS[type(module)](children)
    if not isinstance(module, LayerModule) or type(module) is not module_type(module._layer_type):
        return None
    layer = module.as_layer(**children)
    own = module._parameters.keys() | module._buffers.keys()
    return layer if layer.spec().keys() == own and layer.children().keys() == children.keys() else None


_CONTAINERS = {Sequential: layers.Sequential, ModuleList: layers.LayerList, ModuleDict: layers.LayerDict}


def _without_sharing(module: Module) -> bool:
    """Whether no parameter or buffer has two names: a Layer's arrays have one each."""
    walks = (module.named_parameters, module.named_buffers)
    return all(len(list(walk())) == len(list(walk(remove_duplicate=False))) for walk in walks)


def from_functional(layer: Layer, params: dict, state: dict) -> Module:
    """A Layer with its arrays as a Module: the inverse of :func:`to_functional`.

    The Module's children, names and text are the Layer's; its forward is the Layer's forward, run on Tensors, so a Layer of one's own should
    compute with ``funnn.functional``, operators and methods that both kinds of array have (or with functions decorated by
    ``funnn.public``). Nothing is drawn from the random generator.
    """
    if isinstance(layer, ModuleLayer):
        raise TypeError("this Layer was made from a Module by to_functional; use that Module, with load_state_dict")
    if not isinstance(layer, Layer):
        raise TypeError(f"from_functional takes a funnn Layer, got {type(layer).__name__}")
    module = module_of(layer, source=Undrawn())
    given, tensors = checkpoint.to_state_dict(params, state), module.state_dict(keep_vars=True)
    problems = [f"missing {sorted(tensors.keys() - given.keys())}"] if tensors.keys() - given.keys() else []
    problems += [f"unknown {sorted(given.keys() - tensors.keys())}"] if given.keys() - tensors.keys() else []
    for name in tensors.keys() & given.keys():
        if given[name].shape != tensors[name]._shape():
            problems.append(f"{name} has shape {given[name].shape}, expected {tensors[name]._shape()}")
    if problems:
        raise ValueError(f"params and state do not fit the layer: {'; '.join(problems)}. Pass the dicts that layer.init(key) returned")
    for name, tensor in tensors.items():
        tensor._storage = Storage(copied(given[name]))
    return module
