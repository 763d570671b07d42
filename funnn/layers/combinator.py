"""Layers around layers for research code: side by side, around a shortcut, repeated by a scan, recomputed in the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from funnn._types import Tree
from funnn.layers import lift
from funnn.layers._layer import Layer, fold_name


class Lambda(Layer):
    """A function as a layer without parameters: y = function(x).

    Two are equal when they are of the same function object, so a function defined at module level keeps jit from compiling again.

    >>> layer = Lambda(jnp.square)
    >>> layer.apply({}, {}, jnp.array(3.0))[0].item()
    9.0
    """

    function: Callable[..., Any]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def extra_repr(self) -> str:
        return getattr(self.function, "__name__", repr(self.function))


class FunctionalCall(Layer):
    """``layer`` with parameters that come as an input: ``forward(params, *args)``. It has none of its own.

    For networks whose parameters another one writes (a hypernetwork) or keeps (a target network). ``layer`` has no buffers; it is no child, so that
    paths do not lead into it, and no Module of funnn.torch can be made of it. Source: torch.func.functional_call.

    Raises:
      ValueError: the parameters are not those of the layer, or it has buffers.

    >>> from funnn.layers import Linear
    >>> main = FunctionalCall(Linear(2, 1, bias=False))
    >>> main.init(jax.random.key(0))
    ({}, {})
    >>> main.apply({}, {}, {"weight": jnp.array([[1.0, 2.0]])}, jnp.ones(2))[0].tolist()
    [3.0]
    """

    layer: Layer

    def children(self) -> dict[str, Any]:
        return {}

    def forward(self, params: Any, *args: Any, **kwargs: Any) -> Any:
        scope = getattr(self, "_scope", None)
        if scope is None:
            raise NotImplementedError("FunctionalCall has no form as a Module: use torch.func.functional_call there")
        path = f"{scope.path}.layer" if scope.path else "layer"
        view = self.layer._bind(self.layer._cast(params), {}, scope.next_key(), self.training, path, scope.observer)
        view._belong_to(scope)
        return view(*args, **kwargs)

    def extra_repr(self) -> str:
        return repr(self.layer)


class Residual(Layer):
    """y = shortcut(x) + body(x); without a shortcut x itself. He et al., "Deep residual learning" (2015).

    >>> from funnn.layers import Linear
    >>> params, state = Residual(Linear(3, 3)).init(jax.random.key(0))
    >>> list(params), params["body"]["weight"].shape
    (['body'], (3, 3))
    """

    body: Layer
    shortcut: Layer | None = None

    def forward(self, x: Any) -> Any:
        return (x if self.shortcut is None else self.shortcut(x)) + self.body(x)


class Parallel(Layer):
    """All layers on the same input: the tuple of their outputs, or ``merge(*outputs)``.

    >>> from funnn.layers import Identity, Tanh
    >>> layer = Parallel([Identity(), Tanh()], merge=jnp.add)
    >>> layer.apply({}, {}, jnp.zeros(2))[0].tolist()
    [0.0, 0.0]
    """

    layers: list[Any]
    merge: Callable[..., Any] | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        outputs = tuple([layer(*args, **kwargs) for layer in self.layers])
        return outputs if self.merge is None else self.merge(*outputs)


class Remat(Layer):
    """``layer``, whose intermediate values are computed again in the backward pass instead of being kept: less memory for more work.

    Args:
      layer: what to wrap.
      policy: which values to keep nevertheless, one of ``jax.checkpoint_policies``; default none.

    On a funnn.torch Module it has no effect. Source: jax.checkpoint.

    >>> from funnn.layers import Linear
    >>> layer = Remat(Linear(3, 2))
    >>> layer.apply(*layer.init(jax.random.key(0)), jnp.ones(3))[0].shape
    (2,)
    """

    layer: Layer
    policy: Callable[..., Any] | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return lift.remat(lambda layer, *args, **kwargs: layer(*args, **kwargs), self.layer, policy=self.policy)(*args, **kwargs)


class Repeat(Layer):
    """``times`` layers of the same description one after the other, as a scan: compile time does not grow with depth.

    Args:
      layer: one of them; its output has the shape and dtype of its first input.
      times: how many.
      unroll: how many of them a step of the scan runs; default 1.
      has_aux: whether each gives ``(output, aux)``: then so does Repeat, with the aux of all stacked along a leading axis (hidden states, auxiliary
        losses, new caches); default False.

    The parameters and buffers of all of them are stacked along a leading axis of size ``times`` under ``layer``; each has initial values of its
    own. ``forward(x, *others, each=None)`` passes the same ``others`` to every one, and of ``each``, a tree of arrays with a leading axis of size
    ``times`` (caches, say), the part of its own behind them. A funnn.torch Module can't hold stacked parameters: from_functional raises
    NotImplementedError for it.

    Raises:
      ValueError: times or unroll is not positive.
      TypeError: the layer's output has not its input's shape and dtype.

    >>> from funnn.layers import Linear
    >>> layer = Repeat(Linear(3, 3), 12)
    >>> params, state = layer.init(jax.random.key(0))
    >>> params["layer"]["weight"].shape, layer.apply(params, state, jnp.ones(3))[0].shape
    ((12, 3, 3), (3,))
    """

    stacks: ClassVar[bool] = True

    layer: Layer
    times: int
    unroll: int = 1
    has_aux: bool = False

    def __post_init__(self) -> None:
        for name in ("times", "unroll"):
            if getattr(self, name) < 1:
                raise ValueError(f"Repeat: {name} must be positive, but got {name}={getattr(self, name)}")

    def _draw_all(self, key: Any, dtype: Any) -> tuple[Tree, Tree]:
        keys = jnp.stack([fold_name(key, str(number)) for number in range(self.times)])
        stacked = jax.vmap(lambda key: self.layer.init(key, dtype=dtype))(keys)
        params, state = ({"layer": tree} if tree else {} for tree in stacked)
        return params, state

    def forward(self, x: Any, *others: Any, each: Any = None) -> Any:
        self._check_stacked()

        def step(layer: Any, x: Any, own: Any) -> Any:
            output = layer(x, *others) if each is None else layer(x, *others, own)
            return output if self.has_aux else (output, None)

        x, aux = lift.scan(step, self.layer, x, each, self.times, params="stacked", state="stacked", unroll=self.unroll)
        return (x, aux) if self.has_aux else x

    def _check_stacked(self) -> None:
        """Refuse parameters that are not those of ``times`` layers."""
        for what, tree in (("params", self.layer._params()), ("state", self.layer._collect())):
            if sizes := {leaf.shape[:1] for leaf in jax.tree.leaves(tree)} - {(self.times,)}:
                raise ValueError(
                    f"{what} of Repeat do not fit the layer: arrays have leading sizes {sorted(sizes)}, but times={self.times}; "
                    "use the dicts that layer.init(key) returns, or checkpoint.stack those of single layers"
                )

    def extra_repr(self) -> str:
        return f"times={self.times}"
