"""A layer as a value: frozen, hashable, comparable, made again with changes."""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import operator
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Self, dataclass_transform

import numpy as np

from funnn import errors
from funnn.layers._entries import Buffer, Constant, Param, present
from funnn.layers._habits import explain_constructor
from funnn.layers._policy import Policy
from funnn.layers._scope import Scope
from funnn.layers._sharing import Pairs, find_shared
from funnn.layers._sizing import with_size_one
from funnn.layers._surgery import Place, Replaced, replaced, walk
from funnn.layers._text import layer_text


@dataclass_transform(eq_default=False, field_specifiers=(dataclasses.field,))  # not frozen: constructors assign their fields
class Value:
    """Base of :class:`Layer`: what makes it a value."""

    #: What a list, tuple or dict with layers in a field becomes; the containers put it here.
    _of_tree: ClassVar[Callable[[Any], Any]]
    #: Arguments that may be None, to be found from an axis of the first input.
    sizes_from_input: ClassVar[tuple[str, ...]] = ()
    size_axis: ClassVar[int] = -1
    _hand_written = False
    _scope: ClassVar[Scope | None] = None
    _policy: ClassVar[Policy | None] = None
    _output: ClassVar[Any] = None  # a function of the output
    _initialisers: ClassVar[tuple[tuple[str, Any], ...]] = ()  # of parameters and buffers, in place of the specification's
    _mode: ClassVar[bool | None] = None  # training or evaluation, in place of the caller's
    _replaced: ClassVar[Replaced | None] = None  # children that the constructor did not make
    _given: ClassVar[tuple[Any, Any]]  # the arguments of the constructor
    _shared: ClassVar[Pairs] = ()  # paths of layers that stand in two places
    _tied: ClassVar[Pairs] = ()  # paths of parameters that are others, by ``tie``

    def __init_subclass__(cls, *, init: bool = True, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # A hand-written constructor serves subclasses too, as long as they add no fields.
        cls._hand_written = "__init__" in cls.__dict__ or (cls._hand_written and "__annotations__" not in cls.__dict__)
        dataclasses.dataclass(init=not cls._hand_written, repr=False, eq=False)(cls)
        construct: Callable[..., None] = cls.__init__

        @functools.wraps(construct)
        def __init__(self: Value, *args: Any, **kwargs: Any) -> None:
            names = [name for name in kwargs if type(self) is cls and _is_initialiser(name, construct)]
            initialisers = {name.removesuffix("_init"): kwargs.pop(name) for name in names}
            try:
                construct(self, *args, **kwargs)
            except TypeError as error:
                explain_constructor(error, kwargs)
                raise
            if type(self) is cls:
                self._finish(args, kwargs)
                if initialisers:
                    self.__dict__["_initialisers"] = self._checked_initialisers(initialisers, "{}_init")

        type.__setattr__(cls, "__init__", __init__)
        check_class(cls)

    def _finish(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """What follows every constructor: the attributes become hashable, and are checked."""
        given = own_defaults(self)
        self.__dict__.update({name: freeze(value) for name, value in given.items()}, _scope=None, _given=(args, kwargs))
        check_fields(self)
        if shared := find_shared(self):
            self.__dict__["_shared"] = shared

    def spec(self) -> Mapping[str, Param | Buffer | None]:
        """Parameters and buffers by name."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> Self:
        """Set the mode of a bound layer."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """The text between the parentheses of the layer's repr."""
        return ""

    def children(self) -> dict[str, Any]:
        """The layers directly inside this one, by name."""
        return {name: value for name, value in self.__dict__.items() if isinstance(value, Value)}

    def __setattr__(self, name: str, value: Any) -> None:
        scope = self.__dict__.get("_scope", self)
        if scope is self:  # under construction
            object.__setattr__(self, name, value)
        elif scope is not None and name in scope.buffers:
            scope.check_trace(type(self).__name__, f"assigns its buffer {name!r}")
            self.__dict__[name] = value
        elif scope is not None and name == "training":
            self.train(value)
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

    def named_layers(self) -> Iterator[tuple[str, Any]]:
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

        >>> import jax, jax.numpy as jnp
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

    def tie(self, path: str, to: str) -> Self:
        """The layer in which the parameter at ``path`` is the one at ``to``: drawn, trained and kept once, under ``to``.

        >>> import jax, jax.numpy as jnp
        >>> from funnn.layers import Embedding, Linear, Sequential
        >>> layer = Sequential(Embedding(5, 3), Linear(3, 5, bias=False)).tie("1.weight", to="0.weight")
        >>> params, state = layer.init(jax.random.key(0))
        >>> list(params), layer.apply(params, state, jnp.array([1]))[0].shape
        (['0'], (1, 5))

        Raises:
          ValueError: there is no such parameter, or their shapes differ.
        """
        shapes = parameter_shapes(self)
        for name, found in (("path", path), ("to", to)):
            if found not in shapes:
                raise ValueError(f"tie: {name}={found!r} is no parameter of {type(self).__name__}; it has {sorted(shapes)}")
        if shapes[path] != shapes[to]:
            raise ValueError(f"tie: {path!r} has shape {shapes[path]}, but {to!r} has {shapes[to]}")
        return self._with("_tied", (*self._tied, (to, path)))

    def with_policy(self, policy: Policy | None) -> Self:
        """The layer with types of its own for its parameters, its computation and its output; None takes them away.

        A layer inside with another policy keeps it: its parameters are cast by that one alone. Names of parameters stay as they are.

        >>> import jax, jax.numpy as jnp
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

    def with_output(self, function: Callable[[Any], Any] | None) -> Self:
        """The layer with its output replaced by ``function(output)``; None takes that away. Names of parameters stay as they are.

        >>> import jax, jax.numpy as jnp
        >>> from funnn.layers import Linear
        >>> layer = Linear(2, 3).with_output(jnp.abs)
        >>> bool((layer.apply(*layer.init(jax.random.key(0)), jnp.ones(2))[0] >= 0).all())
        True
        """
        if function is not None and not callable(function):
            raise TypeError(f"with_output takes a function of the output or None, got {function!r}")
        return self._with("_output", function)

    def _with(self, name: str, value: Any) -> Self:
        """A copy with an attribute that no constructor knows; None takes it away."""
        if value is getattr(self, name):
            return self
        layer = copy.copy(self)
        layer.__dict__[name] = value
        if value is None:
            del layer.__dict__[name]
        return layer

    def with_init(self, **initialisers: Any) -> Self:
        """The layer whose parameters or buffers start from other values: ``Linear(4, 8).with_init(weight=init.orthogonal)``.

        Every constructor takes the same as arguments: ``Linear(4, 8, weight_init=init.orthogonal)``.

        Args:
          **initialisers: by name, ``initialiser(source, shape, dtype=…)`` as :mod:`funnn.init` has them.

        For layers inside: ``net.at(type=Linear).apply(lambda linear: linear.with_init(bias=init.zeros))``.

        Raises:
          ValueError: the layer has no such parameter or buffer.
          TypeError: an initialiser is no function.

        >>> import jax
        >>> from funnn import init
        >>> from funnn.layers import Linear
        >>> Linear(2, 2).with_init(weight=init.eye, bias=init.ones).init(jax.random.key(0))[0]["weight"].tolist()
        [[1.0, 0.0], [0.0, 1.0]]
        """
        return self._with("_initialisers", self._checked_initialisers(initialisers, "with_init({}=…)"))

    def _checked_initialisers(self, given: Mapping[str, Any], said: str) -> tuple[tuple[str, Any], ...]:
        """Those that the layer has and these, by name of the parameter; ``said`` is how somebody gave them."""
        kind = type(self).__name__
        for name, initialiser in given.items():
            if not callable(initialiser):
                raise TypeError(f"{kind}: {said.format(name)} takes an initialiser such as funnn.init.zeros, but got {initialiser!r}")
        layer: Any = self
        known = [name for name, entry in with_size_one(layer).spec().items() if present(entry)]
        if unknown := sorted(given.keys() - set(known)):
            raise ValueError(f"{kind}: {said.format(unknown[0])} names no parameter or buffer of it; they are {known}")
        return tuple(sorted({**dict(self._initialisers), **given}.items(), key=operator.itemgetter(0)))

    def entries(self) -> dict[str, Param | Buffer | None]:
        """The specification, with the initialisers of ``with_init``."""
        spec = dict(self.spec())
        for name, initialiser in self._initialisers:
            entry = spec[name]
            if entry is not None and present(entry):
                spec[name] = entry._replace(init=initialiser)
        return spec

    def _settled_as(self, other: Value) -> Self:
        """This layer with what no constructor knows of another: its policy, mode, function of the output, ties and initialisers."""
        layer = self.with_policy(other._policy).with_mode(other._mode).with_output(other._output)
        if other._initialisers:
            layer = layer._with("_initialisers", other._initialisers)
        return layer._with("_tied", other._tied) if other._tied else layer

    @staticmethod
    def _as_child(value: Any, where: str) -> Any:
        """What becomes of a layer, or of layers in a list, that is put into another."""
        child = freeze(value)
        if not isinstance(child, Value):
            raise TypeError(f"{where} takes a layer, got {value!r} of type {type(value).__name__}")
        return child

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A layer equal to this one that shares no layer inside with it, and so no arrays where both stand in one network."""
        layer = memo[id(self)] = object.__new__(type(self))
        layer.__dict__.update({name: copy_layers(value, memo) for name, value in self.__dict__.items()})
        return layer

    def _key(self) -> tuple[Any, ...]:
        hidden = ("_scope", "_given", "_replaced")
        return tuple(sorted([item for item in self.__dict__.items() if item[0] not in hidden], key=operator.itemgetter(0)))

    def __eq__(self, other: object) -> bool:
        if self._scope is not None:  # bound to arrays
            return self is other
        return type(self) is type(other) and self._key() == other._key()

    def __hash__(self) -> int:
        return id(self) if self._scope is not None else hash((type(self), self._key()))

    def _get_name(self) -> str:
        """The name that the layer prints under: torch's, where torch's class has another."""
        return type(self).__name__

    def __repr__(self) -> str:
        settings = (("policy", self._policy), ("training", self._mode), ("output", self._output))
        extra = ", ".join(filter(None, (self.extra_repr(), *(f"{name}={value}" for name, value in settings if value is not None))))
        return layer_text(self._get_name(), extra, {name: repr(child) for name, child in self.children().items()})


def freeze(value: Any) -> Any:
    """A hyperparameter in its hashable form: lists become tuples, trees of layers containers, arrays constants."""
    if holds_layers(value):
        return Value._of_tree(value)
    if isinstance(value, (list, tuple)):
        return type(value)(*map(freeze, value)) if hasattr(value, "_fields") else tuple(map(freeze, value))
    return Constant(value) if hasattr(value, "__array__") and not isinstance(value, (Constant, np.generic)) else value


def _is_initialiser(name: str, construct: Callable[..., None]) -> bool:
    """Whether a keyword names an initialiser, ``weight_init``, and is no argument that the constructor has itself."""
    return name.endswith("_init") and name not in inspect.signature(construct).parameters


def holds_layers(value: Any) -> bool:
    """Whether a list, tuple or dict, or one inside it, holds a layer."""
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    return any(isinstance(item, Value) or holds_layers(item) for item in items)


def copy_layers(value: Any, memo: dict[int, Any]) -> Any:
    """A tree with its layers copied; all else stays."""
    if isinstance(value, Value):
        return copy.deepcopy(value, memo)
    if isinstance(value, dict):
        return {key: copy_layers(item, memo) for key, item in value.items()}
    if isinstance(value, (tuple, list)) and any(isinstance(item, (Value, tuple, list, dict)) for item in value):
        items = [copy_layers(item, memo) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def own_defaults(layer: Value) -> dict[str, Any]:
    """The attributes, of which layers that are defaults of the class become copies: two that have the default share no arrays."""
    defaults = {id(field.default) for field in dataclasses.fields(layer) if isinstance(field.default, Value)}  # type: ignore[arg-type]
    return {name: copy.deepcopy(value) if id(value) in defaults else value for name, value in layer.__dict__.items()}


def parameter_shapes(layer: Value) -> dict[str, tuple[int, ...]]:
    """The shapes of all parameters, by path."""
    found = {name: entry.shape for name, entry in layer.spec().items() if isinstance(entry, Param) and present(entry)}
    for name, child in layer.children().items():
        found.update({f"{name}.{path}": shape for path, shape in parameter_shapes(child).items()})
    return found


def check_class(cls: type[Value]) -> None:
    """Refuse layers among the attributes of a class that are no fields, and so would be no children.

    Raises:
      TypeError: there is one.
    """
    annotations = inspect.get_annotations(cls)
    for name, value in vars(cls).items():
        if name not in annotations and (isinstance(value, Value) or holds_layers(value)):
            raise TypeError(
                f"{cls.__name__}.{name} is a layer that no annotation makes a field, so it would be no child and have no parameters; "
                f"write {name}: Layer = {value!r}, or assign it to self.{name} in __init__"
            )


def check_fields(layer: Value) -> None:
    """Refuse what can't be right among the attributes of a new layer.

    Raises:
      TypeError: a field for a layer has something else, or a specification is not given by ``spec``.
      ValueError: a name is a child's and an array's.
    """
    kind = type(layer)
    for field in dataclasses.fields(layer):  # type: ignore[arg-type]
        value = layer.__dict__.get(field.name)
        if isinstance(value, (Mapping, Constant, str, int, float)) and wants_layer(field.type, kind):
            hint = " Parameters are no part of a layer: give them to apply." if isinstance(value, (Mapping, Constant)) else ""
            raise TypeError(f"{kind.__name__}: {field.name} must be a layer, but got {value!r} of type {type(value).__name__}.{hint}")
    assigned = {name for name, value in layer.__dict__.items() if isinstance(value, (Param, Buffer))}
    children = layer.children()
    if not assigned and not children:
        return
    names = layer.spec().keys()
    if missing := assigned - names:
        raise TypeError(
            f"{kind.__name__}: __init__ assigns {sorted(missing)} as parameters or buffers, but the class has a spec without them; "
            "return them from spec as well, or leave spec out"
        )
    if twice := names & children.keys():
        raise ValueError(
            f"{kind.__name__}: {sorted(twice)} are names of parameters or buffers and of layers inside; give one of them another name"
        )


def wants_layer(annotation: Any, cls: type) -> bool:
    """Whether an annotation, which may be text, says Layer, one of its subclasses, or one of these or None."""
    if not isinstance(annotation, str):
        return isinstance(annotation, type) and issubclass(annotation, Value)
    names = [name.strip() for name in annotation.split("|")]
    known = vars(sys.modules[cls.__module__]) if cls.__module__ in sys.modules else {}
    kinds = [known.get(name.rpartition(".")[2]) for name in names if name != "None"]
    return bool(kinds) and all(isinstance(kind, type) and issubclass(kind, Value) for kind in kinds)
