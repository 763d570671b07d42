"""The contract of a layer: hyperparameters as a value, parameters as a specification, one ``forward``.

    layer = Linear(784, 10)
    params, state = layer.init(key)
    y, state = layer.apply(params, state, x, key=None, train=False)

The author of a layer writes its fields, ``spec`` and ``forward``. ``apply`` copies the layer into a transient *view*, in which each
parameter, buffer and child stands under its name, and runs ``forward`` on it; funnn.torch runs the same ``forward`` on a Module.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import zlib
from collections.abc import Callable, Iterator, Mapping, Set
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np

from funnn import errors
from funnn._types import Tree
from funnn.layers._policy import Policy, cast, cast_params
from funnn.layers._slips import name_jaxs_spelling
from funnn.layers._surgery import Place, Replaced, replaced, walk
from funnn.layers._text import layer_text

#: Called as ``watch(view, run)`` for every layer that runs, if it is set; it returns ``run()``.
watching: ContextVar[Callable[[Layer, Callable[..., Any]], Any] | None] = ContextVar("watching", default=None)


class Param(NamedTuple):
    """A trainable array: its shape and its initialiser ``init(source, shape, dtype=…)``."""

    shape: tuple[int, ...]
    init: Callable[..., jax.Array]


class Buffer(NamedTuple):
    """An array that is part of the state but not trained. ``dtype=None`` means the dtype of the parameters."""

    shape: tuple[int, ...]
    init: Callable[..., jax.Array] | None
    dtype: Any = None


Spec = Mapping[str, Param | Buffer | None]


def present(entry: Param | Buffer | None) -> bool:
    """Whether an entry of a specification is switched on; off are None (a parameter) and a Buffer without initialiser."""
    return entry is not None and entry.init is not None


class Constant:
    """An array among a layer's hyperparameters, made hashable so that the layer stays a value."""

    def __init__(self, values: Any):
        self.values = np.asarray(values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype, copy=copy)

    def _key(self) -> tuple[Any, ...]:
        return self.values.shape, str(self.values.dtype), self.values.tobytes()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"Constant({self.values.tolist()})"


class _Scope:
    """What a view is bound to besides its arrays."""

    __slots__ = ("buffers", "draws", "key", "path")

    def __init__(self, path: str, key: jax.Array | None, buffers: Set[str]):
        self.path, self.key, self.buffers, self.draws = path, key, buffers, 0


def fold_name(key: jax.Array, name: str) -> jax.Array:
    """The key that belongs to ``name`` under ``key``; independent of what else stands beside it."""
    return jax.random.fold_in(key, np.uint32(zlib.crc32(name.encode())))


def _freeze(value: Any) -> Any:
    """A hyperparameter in its hashable form: lists become tuples, a sequence of layers a LayerList, arrays constants."""
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(item, Layer) for item in value):
            return Layer._of_list(value)
        return type(value)(*map(_freeze, value)) if hasattr(value, "_fields") else tuple(map(_freeze, value))
    return Constant(value) if hasattr(value, "__array__") and not isinstance(value, (Constant, np.generic)) else value


@dataclass_transform(eq_default=False, field_specifiers=(dataclasses.field,))  # not frozen: constructors assign their fields
class Layer:
    """A frozen, hashable, comparable description of a layer; base class of all of them.

    A subclass is a dataclass without the decorator: annotated names are constructor arguments. It defines ``forward(self, x)`` and, when
    it has parameters of its own, ``spec(self)``. Fields that hold layers (or a list or tuple of layers) are its children. If a class has fields
    and an ``__init__``, its subclasses say ``init=False``, by which type checkers know that they inherit it.

    Example:
      >>> from funnn import functional as F, init
      >>> class Scale(Layer):
      ...     features: int
      ...     def spec(self):
      ...         return {"weight": Param((self.features,), init.ones)}
      ...     def forward(self, x):
      ...         return x * self.weight
      >>> layer = Scale(3)
      >>> params, state = layer.init(jax.random.key(0))
      >>> y, state = layer.apply(params, state, jnp.arange(3.0))
      >>> y.tolist(), state
      ([0.0, 1.0, 2.0], {})
    """

    training = False
    #: Names of children that are lists of layers of one description, which all start from the same values.
    alike: ClassVar[tuple[str, ...]] = ()
    #: What a list of layers in a field becomes; the containers put it here.
    _of_list: ClassVar[Callable[[Any], Layer]]
    _hand_written = False
    _scope: ClassVar[_Scope | None] = None
    _policy: ClassVar[Policy | None] = None
    _mode: ClassVar[bool | None] = None  # training or evaluation, in place of the caller's
    _replaced: ClassVar[Replaced | None] = None  # children that the constructor did not make
    _given: ClassVar[tuple[Any, Any]]  # the arguments of the constructor

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Parameters, buffers and children, which ``forward`` finds under their names."""

    def __init_subclass__(cls, *, init: bool = True, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # A hand-written constructor serves subclasses too, as long as they add no fields.
        cls._hand_written = "__init__" in cls.__dict__ or (cls._hand_written and "__annotations__" not in cls.__dict__)
        dataclasses.dataclass(init=not cls._hand_written, repr=False, eq=False)(cls)
        construct: Callable[..., None] = cls.__init__

        @functools.wraps(construct)
        def __init__(self: Layer, *args: Any, **kwargs: Any) -> None:
            construct(self, *args, **kwargs)
            if type(self) is cls:
                self.__dict__.update({name: _freeze(value) for name, value in self.__dict__.items()}, _scope=None, _given=(args, kwargs))

        type.__setattr__(cls, "__init__", __init__)

    # -- what an author writes

    def spec(self) -> Spec:
        """Parameters and buffers by name, in torch's order of drawing; None for a parameter and ``Buffer(shape, None)`` for a buffer that is
        switched off."""
        return {}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The computation, on a view (or a torch Module) where every parameter, buffer and child is an attribute."""
        raise NotImplementedError(f"{type(self).__name__} has no forward: define forward(self, x)")

    def redraw(self, name: str, shape: tuple[int, ...]) -> Callable[..., jax.Array] | None:
        """Another initialiser for a parameter of this layer or of one inside it, by its path; None leaves it as its own layer draws it.

        It runs when all have been drawn, in the order of the state_dict, as does a torch module that draws again after its parts did.
        """
        return None

    def extra_repr(self) -> str:
        """The text between the parentheses of the layer's repr."""
        return ""

    # -- what a user calls

    def init(self, key: Any, *, dtype: Any = jnp.float32) -> tuple[Tree, Tree]:
        """Draw initial parameters and state.

        Args:
          key: a JAX key. Each array is drawn from the key folded with its path, so adding a layer leaves the others' values as they were.
          dtype: of the parameters and of the floating-point buffers; a policy's come before it.

        Returns:
          ``(params, state)``, nested dicts whose joined paths are torch's state_dict keys; only names that exist appear, so a layer without
          buffers has ``{}`` as state.
        """
        if self._policy is None:
            return self._draw_all(key, dtype)
        params, state = self._draw_all(key, self._policy.params)
        if state and self._policy.state != self._policy.params:
            state = self._draw_all(key, self._policy.state)[1]
        return params, state

    def _draw_all(self, key: Any, dtype: Any) -> tuple[Tree, Tree]:
        params: Tree = {}
        state: Tree = {}
        for name, entry in self.spec().items():
            if entry is not None and entry.init is not None:
                target, kind = (params, dtype) if isinstance(entry, Param) else (state, entry.dtype or dtype)
                target[name] = entry.init(fold_name(key, name), entry.shape, dtype=kind)
        for name, child in self.children().items():
            below = fold_name(key, name)
            trees = child._init_alike(below, dtype) if name in self.alike else child.init(below, dtype=dtype)
            for target, tree in zip((params, state), trees, strict=True):
                if tree:
                    target[name] = tree
        if type(self).redraw is not Layer.redraw:
            self._redraw_all(params, key, "")
        return params, state

    def _init_alike(self, key: Any, dtype: Any) -> tuple[Tree, Tree]:
        """Each child's initial values from one key: equal, but arrays of their own, so that a compiled step may reuse their memory."""
        drawn = {name: child.init(fold_name(key, "0"), dtype=dtype) for name, child in self.children().items()}
        params, state = ({name: pair[i] for name, pair in drawn.items() if pair[i]} for i in (0, 1))
        return params, state

    def _redraw_all(self, params: Any, key: Any, prefix: str) -> None:
        for name, value in params.items():
            path = prefix + name
            if isinstance(value, Mapping):
                self._redraw_all(value, key, f"{path}.")
            elif (initialiser := self.redraw(path, value.shape)) is not None:
                params[name] = initialiser(fold_name(key, path), value.shape, dtype=value.dtype)

    def apply(
        self,
        params: Tree,
        state: Tree,
        *args: Any,
        key: jax.Array | None = None,
        train: bool = False,
        method: str = "forward",
        **kwargs: Any,
    ) -> Any:
        """Run the layer: ``(output, new_state)``. Pure; ``train`` is static under jit.

        Args:
          params, state: as ``init`` gives them, or with any arrays of the same names.
          *args, **kwargs: the inputs of the method.
          key: randomness for stochastic layers in training.
          train: whether layers such as Dropout and BatchNorm behave as in training.
          method: name of the method to run; default ``forward``. Some layers have others, such as AdaptiveLogSoftmaxWithLoss's ``predict``.

        Raises:
          AttributeError: the layer has no such method.
          ValueError: a name is missing from, or unknown in, ``params`` or ``state``.
          KeyRequiredError: a stochastic layer is in training and ``key`` is None.
        """
        view = self._bind(self._cast(params), state, key, train, "")
        output = view._run(getattr(view, method), args, kwargs)
        return output, view._collect()

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        """The pair itself: ``init, apply = layer``."""
        return iter((self.init, self.apply))

    def children(self) -> dict[str, Layer]:
        """The layers directly inside this one, by name."""
        return {name: value for name, value in self.__dict__.items() if isinstance(value, Layer)}

    def make_key(self, always: bool = False) -> jax.Array | None:
        """Inside ``forward``: a fresh random key in training (or ``always``), None otherwise."""
        if not (self.training or always):
            return None
        scope = self._scope
        assert scope is not None, "only a view has a key"
        if scope.key is None:
            where = f" at {scope.path!r}" if scope.path else ""
            when = "" if always else " in training"
            raise errors.KeyRequiredError(
                f"{self!r}{where} is stochastic{when} and got key=None; "
                f"pass one: layer.apply(params, state, x, key=key, train={self.training})"
            )
        scope.draws += 1
        return jax.random.fold_in(scope.key, scope.draws)

    # -- the mechanism

    def _bind(self, params: Tree, state: Tree, key: jax.Array | None, train: bool, path: str) -> Layer:
        spec, children = self.spec(), self.children()
        train = train if self._mode is None else self._mode
        own = {
            kind: dict.fromkeys(name for name, entry in spec.items() if isinstance(entry, kind) and present(entry)).keys()
            for kind in (Param, Buffer)
        }
        self._check_names("params", params, own[Param], children, path)
        self._check_names("state", state, own[Buffer], children, path)
        view = object.__new__(type(self))
        attributes = view.__dict__
        attributes.update(self.__dict__, _scope=_Scope(path, key, own[Buffer]), training=train)
        for name, entry in spec.items():
            attributes[name] = None if not present(entry) else (params if isinstance(entry, Param) else state)[name]
        for name, child in children.items():
            child_key = None if key is None else fold_name(key, name)
            attributes[name] = child._bind(
                child._cast(params.get(name, {})), state.get(name, {}), child_key, train, f"{path}.{name}" if path else name
            )
        return view

    def _cast(self, params: Tree) -> Tree:
        """The parameters in the type that the layer computes in."""
        return params if self._policy is None or not isinstance(params, Mapping) else cast_params(self, params, self._policy.compute)

    def _run(self, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A method of this view, between the casts of its policy."""
        watch = watching.get()
        try:
            return self._run_cast(method, args, kwargs) if watch is None else watch(self, lambda: self._run_cast(method, args, kwargs))
        except (AttributeError, TypeError, ValueError, NotImplementedError) as error:
            name_jaxs_spelling(error)
            raise

    def _run_cast(self, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._policy is None:
            return method(*args, **kwargs)
        args, kwargs = cast((args, kwargs), self._policy.compute)
        return cast(method(*args, **kwargs), self._policy.output)

    def _check_names(self, what: str, tree: Any, own: Set[str], children: dict[str, Layer], path: str) -> None:
        where = f"{type(self).__name__}{f' at {path!r}' if path else ''}"
        if not isinstance(tree, Mapping):
            raise TypeError(f"{what} of {where} must be a dict as layer.init(key) gives it, got {type(tree).__name__}")
        missing = own - tree.keys()
        unknown = tree.keys() - own - children.keys()
        if missing or unknown:
            parts = [f"{label} {sorted(names)}" for label, names in (("missing", missing), ("unknown", unknown)) if names]
            raise ValueError(
                f"{what} of {where} do not fit the layer: {', '.join(parts)}; expected {sorted(own)}"
                f"{f' and children {list(children)}' if children else ''}. Use the dicts that layer.init(key) returns."
            )

    def _collect(self) -> Tree:
        """The state after ``forward``: this view's buffers and its children's."""
        assert self._scope is not None, "only a view has a state"
        state: Tree = {name: self.__dict__[name] for name in self._scope.buffers}
        for name, child in self.children().items():
            tree = child._collect()
            if tree:
                state[name] = tree
        return state

    def _restore(self, state: Tree) -> None:
        """Put a state, as ``_collect`` gives it, back into this view and its children's."""
        assert self._scope is not None, "only a view has a state"
        for name, value in state.items():
            if name in self._scope.buffers:
                self.__dict__[name] = value
            else:
                self.__dict__[name]._restore(value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        scope = self._scope
        if scope is None:
            raise TypeError(
                f"{type(self).__name__} is a description and holds no parameters, so it can't be called outside forward; "
                "use: params, state = layer.init(key); y, state = layer.apply(params, state, x)"
            )
        try:
            return self._run(self.forward, args, kwargs)
        except Exception as error:
            error.add_note(f"in layer {scope.path!r}: {self!r}")
            raise

    def __setattr__(self, name: str, value: Any) -> None:
        scope = self.__dict__.get("_scope", self)
        if scope is self:  # under construction
            object.__setattr__(self, name, value)
        elif scope is not None and name in scope.buffers:
            self.__dict__[name] = value
        else:
            hint = f"only its buffers {sorted(scope.buffers)} may be assigned in forward" if scope else "use replace(name=value) for a copy"
            raise errors.FrozenLayerError(f"{type(self).__name__} is a value and its attribute {name!r} can't be assigned; {hint}")

    def __delattr__(self, name: str) -> None:
        raise errors.FrozenLayerError(f"{type(self).__name__} is a value and its attribute {name!r} can't be deleted")

    def replace(self, **changes: Any) -> Self:
        """The layer that the constructor makes from the same arguments with some of them changed, or with other layers inside.

        A name that is no argument of the constructor is that of a child or the dotted path of a layer inside, ``replace(linear1=Identity())``. Such
        a change stays when arguments are changed later.

        Raises:
          TypeError: the constructor has no such argument, or takes it by position only, and there is no such child.
          ValueError: the new arguments make a layer without a place where a layer had been put.
        """
        return replaced(self, changes)

    def at(self, path: str | None = None, *, type: Any = None) -> Place[Self]:
        """The place of a layer inside, at any depth: ``layer.at("encoder.0").set(new)``.

        Args:
          path: names joined by dots, as in the state_dict; "" is the layer itself. ``*`` stands for any characters of one name, ``**`` for any
            names: all layers inside that fit.
          type: only layers of this class, or one of a tuple of classes.

        Returns:
          A :class:`Place`. Its ``get()`` is the layer there; ``set(new)``, ``apply(function)``, ``train()`` and ``eval()`` give the whole layer anew.

        Raises:
          AttributeError: no layer is there; the text has the nearest names.
          TypeError: neither path nor type is given.

        >>> from funnn.layers import Identity, Linear, ReLU, Sequential
        >>> net = Sequential(Sequential(Linear(2, 3), ReLU()), Linear(3, 1))
        >>> net.at("0.1").set(Identity()).at("0").get()
        Sequential(
          (0): Linear(in_features=2, out_features=3, bias=True)
          (1): Identity()
        )
        >>> net.at(type=Linear).apply(lambda linear: linear.replace(bias=False)).at("1").get()
        Linear(in_features=3, out_features=1, bias=False)
        """
        if path is None and type is None:
            raise TypeError('at takes a path, at("encoder.0"), or a type, at(type=Dropout)')
        return Place(self, path, type)

    def named_layers(self) -> Iterator[tuple[str, Layer]]:
        """The layer itself, under "", and all layers inside with their paths, parents first; torch's ``named_modules``.

        >>> from funnn.layers import Linear, Sequential
        >>> [path for path, layer in Sequential(Sequential(Linear(2, 3))).named_layers()]
        ['', '0', '0.0']
        """
        return walk(self)

    def with_mode(self, train: bool | None) -> Self:
        """The layer always in training (True) or in evaluation (False), whatever ``apply(train=…)`` says; None leaves it to ``apply`` again.

        It holds for all layers inside but those with a mode of their own. ``layer.at("backbone").eval()`` freezes the statistics of the BatchNorms in a
        part, ``layer.at(type=Dropout).train()`` lets dropout draw in evaluation (Gal and Ghahramani, "Dropout as a Bayesian approximation", 2016).

        >>> from funnn.layers import Dropout
        >>> layer = Dropout(0.5).with_mode(True)
        >>> layer
        Dropout(p=0.5, inplace=False, training=True)
        >>> sorted(set(layer.apply({}, {}, jnp.ones(20), key=jax.random.key(0))[0].tolist()))
        [0.0, 2.0]
        """
        if train is not None and not isinstance(train, bool):
            raise TypeError(f"with_mode takes True, False or None, got {train!r}")
        return self._with("_mode", train)

    def with_policy(self, policy: Policy | None) -> Self:
        """The layer with types of its own for its parameters, its computation and its output; None takes them away.

        A layer inside with another policy keeps it: its parameters are cast by that one alone. Names of parameters stay as they are.

        >>> from funnn.layers import LayerNorm, Linear, Policy, Sequential
        >>> exact = LayerNorm(3).with_policy(Policy(compute=jnp.float32))
        >>> layer = Sequential(Linear(2, 3), exact).with_policy(Policy())
        >>> params, state = layer.init(jax.random.key(0))
        >>> layer.apply(params, state, jnp.ones((1, 2)))[0].dtype
        dtype('float32')
        """
        if policy is not None and not isinstance(policy, Policy):
            raise TypeError(f"with_policy takes a Policy or None, got {policy!r}")
        return self._with("_policy", policy)

    def _with(self, name: str, value: Any) -> Self:
        """A copy with an attribute that no constructor knows; None takes it away."""
        if value is getattr(self, name):
            return self
        layer = copy.copy(self)
        settings = {"_policy": self._policy, "_mode": self._mode, name: value}  # always in this order, for equality
        for setting in settings:
            layer.__dict__.pop(setting, None)
        layer.__dict__.update({setting: value for setting, value in settings.items() if value is not None})
        return layer

    @staticmethod
    def _as_child(value: Any, where: str) -> Layer:
        """What becomes of a layer, or of layers in a list, that is put into another."""
        child = _freeze(value)
        if not isinstance(child, Layer):
            raise TypeError(f"{where} takes a layer, got {value!r} of type {type(value).__name__}")
        return child

    def _key(self) -> tuple[Any, ...]:
        return tuple((name, value) for name, value in self.__dict__.items() if name not in ("_scope", "_given", "_replaced"))

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((type(self), self._key()))

    def _get_name(self) -> str:
        """The name that the layer prints under: torch's, where torch's class has another."""
        return type(self).__name__

    def __repr__(self) -> str:
        settings = (("policy", self._policy), ("training", self._mode))
        extra = ", ".join(filter(None, (self.extra_repr(), *(f"{name}={value}" for name, value in settings if value is not None))))
        return layer_text(self._get_name(), extra, {name: repr(child) for name, child in self.children().items()})
