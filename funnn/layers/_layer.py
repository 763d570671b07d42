"""The contract of a layer: hyperparameters as a value, parameters as a specification, one ``forward``.

    layer = Linear(784, 10)
    params, state = layer.init(key)
    y, state = layer.apply(params, state, x, key=None, train=False)

The author of a layer writes its fields, ``spec`` and ``forward``. ``apply`` copies the layer into a transient *view*, in which each
parameter, buffer and child stands under its name, and runs ``forward`` on it; funnn.torch runs the same ``forward`` on a Module.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from funnn import errors
from funnn._types import Tree
from funnn.layers._entries import Buffer as Buffer
from funnn.layers._entries import Constant as Constant
from funnn.layers._entries import Param as Param
from funnn.layers._entries import Spec as Spec
from funnn.layers._entries import present as present
from funnn.layers._habits import explain_call, missing_attribute
from funnn.layers._observer import Capture, Observer
from funnn.layers._policy import cast, cast_params
from funnn.layers._scope import Scope, check_key
from funnn.layers._scope import fold_name as fold_name
from funnn.layers._sharing import Pairs, at_path, put_at_path, with_second_paths, without_paths
from funnn.layers._sizing import sizes_of, unknown_sizes, values_from_data, with_size_one, with_sizes
from funnn.layers._slips import name_jaxs_spelling
from funnn.layers._value import Value
from funnn.layers._watching import watching


class Layer(Value):
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
    #: Whether its layers' parameters are stacked.
    stacks: ClassVar[bool] = False

    def __getattr__(self, name: str) -> Any:
        """Parameters, buffers and children stand under their names in ``forward``; this is asked for what does not."""
        if hasattr(type(self), name):  # a property, whose own error this is
            return object.__getattribute__(self, name)
        raise AttributeError(missing_attribute(type(self), name), name=name, obj=self)

    # -- what an author writes

    def spec(self) -> Spec:
        """Parameters and buffers by name, in torch's order of drawing; None for a parameter and ``Buffer(shape, None)`` for a buffer that is
        switched off. By default those that a constructor assigned: ``self.scale = Param((3,), init.ones)``."""
        return {name: value for name, value in self.__dict__.items() if isinstance(value, (Param, Buffer))}

    def ties(self) -> Mapping[str, str]:
        """Parameters that are others': ``{"head.weight": "embed.weight"}``. They are drawn, trained and kept once, under the second path."""
        return {}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The computation, on a view (or a torch Module) where every parameter, buffer and child is an attribute."""
        raise NotImplementedError(f"{type(self).__name__} has no forward: define forward(self, x)")

    def redraw(self, name: str, shape: tuple[int, ...]) -> Callable[..., jax.Array] | None:
        """Another initialiser for a parameter of this layer or of one inside it, by its path; None leaves it as its own layer draws it.

        It runs when all have been drawn, in the order of the state_dict, as does a torch module that draws again after its parts did.
        """
        return None

    def logical_axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """Names of the dimensions of parameters inside, by path, ``{"up.weight": ("hidden", "features")}``, from which :mod:`funnn.sharding` makes rules."""
        return {}

    def extra_repr(self) -> str:
        """The text between the parentheses of the layer's repr."""
        return ""

    def init_from(self, *inputs: Any) -> Mapping[str, Any]:
        """Initial values by name that depend on the inputs of the first call, where ``init`` is given an example; none by default."""
        return {}

    # -- what a user calls

    def init(self, key: Any, *example: Any, dtype: Any = jnp.float32, **named: Any) -> tuple[Tree, Tree]:
        """Draw initial parameters and state.

        Args:
          key: a JAX key. Each array is drawn from the key folded with its path, so adding a layer leaves the others' values as they were.
          *example, **named: inputs of a call, which only layers need that find sizes (``Linear(None, 3)``) or initial values from them. Where it is
            sizes alone, ``jax.ShapeDtypeStruct`` will do.
          dtype: of the parameters and of the floating-point buffers; a policy's come before it.

        Returns:
          ``(params, state)``, nested dicts whose joined paths are torch's state_dict keys; only names that exist appear, so a layer without
          buffers has ``{}`` as state.
        """
        if self._scope is not None and self._scope.layer is not None:
            return self._scope.layer.init(key, *example, dtype=dtype, **named)
        check_key(key, "init")
        if example or named:
            return self._init_with(key, example, named, dtype)
        if self._policy is None:
            return self._draw_all(key, dtype)
        params, state = self._draw_all(key, self._policy.params)
        if state and self._policy.state != self._policy.params:
            state = self._draw_all(key, self._policy.state)[1]
        return params, state

    def _init_with(self, key: Any, example: tuple[Any, ...], named: Mapping[str, Any], dtype: Any) -> tuple[Tree, Tree]:
        layer = with_sizes(self, example, named)
        params, state = layer.init(key, dtype=dtype)
        if any(type(inner).init_from is not Layer.init_from for _, inner in layer.named_layers()):
            for path, values in values_from_data(layer, params, state, key, example, named).items():
                for name, value in values.items():
                    where = f"{path}.{name}" if path else name
                    old = at_path(params, where)
                    if old is not None:
                        params = put_at_path(params, where, jnp.asarray(value, old.dtype))
                    else:
                        state = put_at_path(state, where, jnp.asarray(value, at_path(state, where).dtype))
        return params, state

    def with_sizes(self, *example: Any, **named: Any) -> Self:
        """The layer with the sizes that it would find from these inputs, of which shapes and types are enough.

        >>> from funnn.layers import Linear
        >>> Linear(None, 3).with_sizes(jax.ShapeDtypeStruct((5, 2), jnp.float32))
        Linear(in_features=2, out_features=3, bias=True)
        """
        return with_sizes(self, example, named)

    def _draw_all(self, key: Any, dtype: Any) -> tuple[Tree, Tree]:
        params: Tree = {}
        state: Tree = {}
        if unknown := unknown_sizes(self):
            raise ValueError(
                f"{self!r} has {unknown[0]}=None; give init an example of the inputs, from which it is found: layer.init(key, x)"
            )
        for name, entry in self.entries().items():
            if entry is not None and entry.init is not None:
                target, kind = (params, dtype) if isinstance(entry, Param) else (state, entry.dtype or dtype)
                if strange := [size for size in entry.shape if not isinstance(size, (int, np.integer))]:
                    raise TypeError(
                        f"{self!r}: sizes are ints, but {name!r} has the shape {tuple(entry.shape)}, where {strange[0]!r} is none"
                    )
                target[name] = entry.init(fold_name(key, name), entry.shape, dtype=kind)
        for name, child in self.children().items():
            below = fold_name(key, name)
            trees = child._init_alike(below, dtype) if name in self.alike else child.init(below, dtype=dtype)
            for target, tree in zip((params, state), trees, strict=True):
                if tree:
                    target[name] = tree
        if type(self).redraw is not Layer.redraw:
            self._redraw_all(params, key, "")
        shared = [other for _, other in self._shared]
        return without_paths(params, [*shared, *(tied for _, tied in self._ties())]), without_paths(state, shared)

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
        capture: Capture | None = None,
        perturb: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run the layer: ``(output, new_state)``, or ``(output, new_state, captured)``. Pure; ``train`` is static under jit.

        Inside ``forward``, ``self.child.apply(params, state, x)`` runs the child with these arrays instead of its own.

        Args:
          params, state: as ``init`` gives them, or with any arrays of the same names.
          *args, **kwargs: the inputs of the method.
          key: randomness for stochastic layers in training.
          train: whether layers such as Dropout and BatchNorm behave as in training.
          method: name of the method to run; default ``forward``. Some layers have others, such as AdaptiveLogSoftmaxWithLoss's ``predict``.
          capture: whose outputs to give as well, as a dict by path: True for all layers, a pattern such as ``"encoder.*"`` (or several), or a
            function of the path. A layer that runs several times has a tuple; in a lifted ``scan`` or ``vmap``, values are stacked, and those inside
            ``cond``, ``switch`` and ``while_loop`` are left out. What ``forward`` gives to ``self.sow`` is among them. Default None: no third result.
          perturb: arrays to add to the outputs of layers, by path: the gradient with respect to zeros is that at the activation.

        Raises:
          AttributeError: the layer has no such method.
          ValueError: a name is missing from, or unknown in, ``params`` or ``state``, or no layer ran at a path of ``perturb``.
          KeyRequiredError: a stochastic layer is in training and ``key`` is None.
          TransformedLayerError: ``forward`` uses a layer that draws or assigns buffers inside a transformation of JAX's; see :mod:`funnn.layers.lift`.

        >>> from funnn.layers import Linear, Sequential, Tanh
        >>> layer = Sequential(Linear(3, 2), Tanh())
        >>> y, _, captured = layer.apply(*layer.init(jax.random.key(0)), jnp.ones(3), capture="0")
        >>> captured["0"].shape, bool((jnp.tanh(captured["0"]) == y).all())
        ((2,), True)
        """
        if self._scope is not None and self._scope.layer is not None:
            return self._scope.layer.apply(
                params, state, *args, key=key, train=train, method=method, capture=capture, perturb=perturb, **kwargs
            )
        if key is not None:
            check_key(key, "apply")
        if isinstance(train, jax.core.Tracer):
            raise TypeError(
                "train decides in Python, so it can't be traced: close over it, or make it static, jax.jit(step, static_argnames='train'); a part "
                "always in training or evaluation is layer.at(path).train() or .eval()"
            )
        observer = None if capture is None and not perturb else Observer(False if capture is None else capture, perturb or {})
        view = self._bind(self._cast(params), state, key, train, "", observer)
        output = view._run(getattr(view, method), args, kwargs)
        if observer is None:
            return output, view._collect()
        captured = observer.result()
        return (output, view._collect()) if capture is None else (output, view._collect(), captured)

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        """The pair itself: ``init, apply = layer``."""
        return iter((self.init, self.apply))

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
        scope.check_trace(type(self).__name__, "draws random numbers")
        return scope.next_key()

    def sow(self, name: str, value: Any) -> None:
        """Inside ``forward``: give a value to whoever asked ``apply`` to capture; it stands under this layer's path and the name. Else nothing happens."""
        scope = self._scope
        if scope is not None and scope.observer is not None and scope.observer.capture is not False:
            scope.check_trace(type(self).__name__, f"sows {name!r}")
            scope.observer.keep(f"{scope.path}.{name}" if scope.path else name, value)

    def train(self, mode: bool = True) -> Self:
        """Inside ``forward``: this layer and those inside it behave as in training (or not) from here on, whatever ``apply`` was told; returns itself."""
        if self._scope is None:
            raise TypeError(f"{type(self).__name__} is a description and has no mode of its own: say train={mode} to apply")
        self.__dict__["training"] = mode
        for child in self.children().values():
            child.train(mode)
        return self

    def eval(self) -> Self:
        """``train(False)``."""
        return self.train(False)

    # -- the mechanism

    def _bind(self, params: Tree, state: Tree, key: jax.Array | None, train: bool, path: str, observer: Observer | None = None) -> Layer:
        spec, children = with_size_one(self).spec(), self.children()
        train = train if self._mode is None else self._mode
        own = {
            kind: dict.fromkeys(name for name, entry in spec.items() if isinstance(entry, kind) and present(entry)).keys()
            for kind in (Param, Buffer)
        }
        if self._shared or self._ties():
            where = f"{type(self).__name__}{f' at {path!r}' if path else ''}"
            params = with_second_paths("params", where, params, (*self._shared, *self._ties()))
            state = with_second_paths("state", where, state, self._shared)
        self._check_names("params", params, own[Param], children, path)
        self._check_names("state", state, own[Buffer], children, path)
        view = object.__new__(type(self))
        attributes = view.__dict__
        attributes.update(self.__dict__, _scope=Scope(path, key, own[Param], own[Buffer], observer, self), training=train)
        for name, value in self.__dict__.items():
            if type(value) is Constant:
                attributes[name] = value.values
        for name, entry in spec.items():
            attributes[name] = None if not present(entry) else (params if isinstance(entry, Param) else state)[name]
        for name, child in children.items():
            child_key = None if key is None else fold_name(key, name)
            attributes[name] = child._bind(
                child._cast(params.get(name, {})), state.get(name, {}), child_key, train, f"{path}.{name}" if path else name, observer
            )
        view._join_shared()
        if self._policy is not None:
            view._cast_in_methods()
        return view

    def _rebind(self, params: Tree, state: Tree, key: jax.Array | None, observer: Observer | None) -> Layer:
        """The same view with other arrays, in the transformation that is in progress now."""
        scope = self._scope
        assert scope is not None, "only a view is bound again"
        view = object.__new__(type(self))
        attributes = view.__dict__
        attributes.update(self.__dict__, _scope=Scope(scope.path, key, scope.params, scope.buffers, observer, scope.layer))
        params = with_second_paths("params", "", params, self._shared)
        state = with_second_paths("state", "", state, self._shared)
        attributes.update({name: params[name] for name in scope.params}, **{name: state[name] for name in scope.buffers})
        for name, child in self.children().items():
            child_key = None if key is None else fold_name(key, name)
            attributes[name] = child._rebind(params.get(name, {}), state.get(name, {}), child_key, observer)
        view._join_shared()
        if self._policy is not None:
            view._cast_in_methods()
        return view

    def _belong_to(self, scope: Scope) -> None:
        """Let a view draw only where another one may, in the transformation in which that was bound."""
        assert self._scope is not None, "only a view belongs to a transformation"
        self._scope.belong_to(scope)
        for child in self.children().values():
            child._belong_to(scope)

    def _join_shared(self) -> None:
        """Let a layer that stands in two places be one view."""
        for first, other in self._shared:
            holder, name = self, other
            while "." in name:
                step, _, name = name.partition(".")
                holder = holder.__dict__[step]
            found = self
            for step in first.split("."):
                found = found.__dict__[step]
            holder.__dict__[name] = found

    def _cast_in_methods(self) -> None:
        """Let every method of a view, not only its call, run between the casts of its policy."""
        for name in dir(type(self)):
            method = getattr(type(self), name)
            if inspect.isfunction(method) and not name.startswith("_") and not hasattr(Layer, name):
                self.__dict__[name] = functools.partial(_call_cast, self, method.__get__(self))

    def _ties(self) -> Pairs:
        """(first, other) paths of parameters that are one."""
        return (*((first, other) for other, first in self.ties().items()), *self._tied)

    def _params(self) -> Tree:
        """The parameters of this view and its children's, in the type in which it computes."""
        assert self._scope is not None, "only a view has parameters"
        params: Tree = {name: self.__dict__[name] for name in self._scope.params}
        for name, child in self.children().items():
            if tree := child._params():
                params[name] = tree
        return without_paths(params, [other for _, other in self._shared])

    def _cast(self, params: Tree) -> Tree:
        """The parameters in the type that the layer computes in."""
        return params if self._policy is None or not isinstance(params, Mapping) else cast_params(self, params, self._policy.compute)

    def _run(self, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A method of this view, between the casts of its policy."""
        watch = watching.get()
        try:
            if self.sizes_from_input:
                self.__dict__.update(sizes_of(self, args))
            output = (
                self._run_cast(method, args, kwargs)
                if watch is None
                else watch(self, lambda *args, **kwargs: self._run_cast(method, args, kwargs), args, kwargs)
            )
            if self._output is not None:
                output = self._output(output)
            scope = self._scope
            if scope is None or scope.observer is None:
                return output
            if scope.observer.wants(scope.path):
                scope.check_trace(type(self).__name__, "is captured")
            return scope.observer.see(scope.path, output)
        except (AttributeError, TypeError, ValueError, NotImplementedError) as error:
            name_jaxs_spelling(error)
            if isinstance(error, TypeError):
                explain_call(error, args, kwargs)
            raise

    def _run_cast(self, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        scope = self._scope
        if self._policy is None or scope is None or scope.running:
            return method(*args, **kwargs)
        args, kwargs = cast((args, kwargs), self._policy.compute)
        scope.running = True
        try:
            with self._policy.multiplying():
                return cast(method(*args, **kwargs), self._policy.output)
        finally:
            scope.running = False

    def _check_names(self, what: str, tree: Any, own: Set[str], children: dict[str, Layer], path: str) -> None:
        where = f"{type(self).__name__}{f' at {path!r}' if path else ''}"
        if not isinstance(tree, Mapping):
            hint = "; is an argument left out? It is layer.apply(params, state, x)" if hasattr(tree, "shape") else ""
            if isinstance(tree, tuple):
                hint = "; layer.init(key) gives a pair: layer.apply(*layer.init(key), x)"
            raise TypeError(f"{what} of {where} must be a dict as layer.init(key) gives it, got {type(tree).__name__}{hint}")
        missing = own - tree.keys()
        unknown = tree.keys() - own - children.keys()
        if missing or unknown:
            parts = [f"{label} {sorted(names)}" for label, names in (("missing", missing), ("unknown", unknown)) if names]
            raise ValueError(
                f"{what} of {where} do not fit the layer: {', '.join(parts)}; expected {sorted(own)}"
                f"{f' and children {list(children)}' if children else ''}. Use the dicts that layer.init(key) returns"
                f"{', params alone and not under the name params.' if 'params' in unknown else '.'}"
            )

    def _collect(self) -> Tree:
        """The state after ``forward``: this view's buffers and its children's."""
        assert self._scope is not None, "only a view has a state"
        state: Tree = {name: self.__dict__[name] for name in self._scope.buffers}
        for name, child in self.children().items():
            tree = child._collect()
            if tree:
                state[name] = tree
        return without_paths(state, [other for _, other in self._shared])

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
                "use: params, state = layer.init(key); y, state = layer.apply(params, state, x). "
                "Made inside forward, it has none either: make it a field, or assign it in __post_init__"
            )
        try:
            return self._run(self.forward, args, kwargs)
        except Exception as error:
            error.add_note(f"in layer {scope.path!r}: {self!r}")
            raise


def _call_cast(view: Layer, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A method of a view between the casts of its policy."""
    return view._run_cast(method, args, kwargs)
