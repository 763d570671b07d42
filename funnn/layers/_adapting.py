"""Fine-tuning a part: LoRA and adapters put into a layer and its parameters, and taken out of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from funnn import functional as F
from funnn._types import Tree
from funnn.layers._layer import Buffer, Layer, fold_name, present
from funnn.layers._replacing import at, below, targets, with_tree, without
from funnn.layers._selecting import Types
from funnn.layers._surgery import put, walk
from funnn.layers._wrapper import Wrapper
from funnn.layers.adapter_layer import Adapter
from funnn.layers.attention import MultiheadAttention
from funnn.layers.conv import ConvNd
from funnn.layers.linear import Linear
from funnn.layers.low_rank import LoRA, LoRAConv, LoRAEmbedding, LoRALinear, LoRAMultiheadAttention
from funnn.layers.sparse import Embedding

L = TypeVar("L", bound=Layer)

_FORMS: dict[type[Layer], type[LoRA]] = {
    Linear: LoRALinear,
    Embedding: LoRAEmbedding,
    ConvNd: LoRAConv,
    MultiheadAttention: LoRAMultiheadAttention,
}


def lora(
    layer: L,
    params: Any,
    *,
    key: jax.Array,
    rank: int = 8,
    alpha: float | None = None,
    dropout: float = 0.0,
    path: str | tuple[str, ...] | None = None,
    type: Types = Linear,
    dtype: Any = None,
) -> tuple[Any, Tree]:
    """Put LoRA into the layers that are meant: (new layer, new parameters), which compute the same at first.

    Args:
      layer, params: the layer and its parameters; neither changes, and the arrays are in the new tree as they are, each below ``base_layer``.
      key: for the new parameters.
      rank, alpha, dropout: r, α (default r) and the dropout in front of A, of every one; see LoRALinear.
      path: a dotted path or several, with ``*`` and ``**``, as :func:`param_mask` has them: "encoder" is all inside it. Default everywhere.
      type: the class or classes of layers: Linear, Embedding, Conv1d to Conv3d, MultiheadAttention. Default Linear. In a MultiheadAttention the
        output projection gets one too.
      dtype: of the new parameters; default that of those beside them.

    Those in a ``Repeat`` are stacked as its others. Train only what is new with :func:`adapter_mask`, and take the result into the weights with
    :func:`merge`. Hu et al., "LoRA: Low-rank adaptation of large language models" (2021).

    Raises:
      ValueError: no layer fits; or an argument is out of range, or params lack the layer's.
      TypeError: there is no LoRA of such a layer: grouped or transposed convolutions, Embeddings with max_norm, attention over other widths.

    >>> import optax
    >>> from funnn.layers import ReLU, Sequential
    >>> net = Sequential(Linear(4, 8), ReLU(), Linear(8, 1))
    >>> params, state = net.init(jax.random.key(0))
    >>> tuned, tuned_params = lora(net, params, rank=2, key=jax.random.key(1))
    >>> {name: list(tree) for name, tree in tuned_params.items()}
    {'0': ['base_layer', 'lora_A', 'lora_B'], '2': ['base_layer', 'lora_A', 'lora_B']}
    >>> labels = jax.tree.map(lambda new: "train" if new else "freeze", adapter_mask(tuned, tuned_params))
    >>> optimizer = optax.multi_transform({"train": optax.adam(1e-3), "freeze": optax.set_to_zero()}, labels)
    >>> merged, merged_params = merge(tuned, tuned_params)
    >>> merged == net
    True
    """

    def wrap(base: Layer, where: str) -> Wrapper:
        form = next((form for kind, form in _FORMS.items() if isinstance(base, kind)), None)
        if form is None:
            raise TypeError(
                f"lora: {base!r} at {where!r} has no LoRA; there is one for Linear, Embedding, Conv1d to Conv3d and MultiheadAttention"
            )
        return form(base, rank, alpha, dropout)

    found = targets(layer, path, type, "lora")
    inner = [f"{where}.out_proj" if where else "out_proj" for where, base in found.items() if isinstance(base, MultiheadAttention)]
    return _wrapped(layer, params, [*found, *(where for where in inner if where not in found)], wrap, key, dtype)


def adapter(
    layer: L,
    params: Any,
    *,
    key: jax.Array,
    bottleneck: int = 64,
    features: int | None = None,
    activation: Callable[..., Any] | Layer = F.gelu,
    path: str | tuple[str, ...] | None = None,
    type: Types = Linear,
    dtype: Any = None,
) -> tuple[Any, Tree]:
    """Put an Adapter behind each of the layers that are meant: (new layer, new parameters), which compute the same at first.

    Args:
      layer, params, key, path, type, dtype: as :func:`lora` takes them; ``type`` may be any layer without buffers.
      bottleneck, activation: of every Adapter.
      features: the size of the last axis of what the layers give; default their ``out_features`` or ``embedding_dim``.

    Houlsby et al., "Parameter-efficient transfer learning for NLP" (2019).

    Raises:
      ValueError: no layer fits; or features is not given for a layer that doesn't tell.
      TypeError: a layer has buffers.

    >>> from funnn.layers import Sequential
    >>> net = Sequential(Linear(4, 8), Linear(8, 1))
    >>> tuned, params = adapter(net, net.init(jax.random.key(0))[0], bottleneck=2, path="0", key=jax.random.key(1))
    >>> list(params["0"]), list(params["1"])
    (['base_layer', 'adapter_down', 'adapter_up'], ['weight', 'bias'])
    """

    def wrap(base: Layer, where: str) -> Wrapper:
        if any(isinstance(entry, Buffer) and present(entry) for _, inner in walk(base) for entry in inner.spec().values()):
            raise TypeError(
                f"adapter: the layer at {where!r} has buffers, whose paths would change; put the Adapter into it, or write it into the layer"
            )
        size = features or getattr(base, "out_features", None) or getattr(base, "embedding_dim", None)
        if size is None:
            raise ValueError(f"adapter: give features, the size of the last axis of what {base.__class__.__name__} at {where!r} gives")
        return Adapter(base, size, bottleneck, activation)

    return _wrapped(layer, params, list(targets(layer, path, type, "adapter")), wrap, key, dtype)


def adapter_mask(layer: Layer, params: Any) -> Tree:
    """Which parameters are those of LoRA and of adapters: a tree of bools for ``partition`` and for optax.

    >>> tuned, params = lora(Linear(2, 3), Linear(2, 3).init(jax.random.key(0))[0], key=jax.random.key(1))
    >>> adapter_mask(tuned, params)
    {'base_layer': {'weight': False, 'bias': False}, 'lora_A': {'weight': True}, 'lora_B': {'weight': True}}
    """

    def mask_of(node: Layer, tree: Any, added: bool) -> Any:
        children = node.children()
        return {
            name: mask_of(children[name], value, name != "base_layer" if isinstance(node, Wrapper) else added)
            if name in children and isinstance(value, Mapping)
            else jax.tree.map(lambda _: isinstance(node, Wrapper) or added, value)
            for name, value in tree.items()
        }

    return mask_of(layer, params, False)


def merge(layer: Any, params: Any) -> tuple[Any, Tree]:
    """Take LoRA's products into the weights: (plain layer, plain parameters) that compute the same without the extra work.

    The layer is the one that :func:`lora` was given, and so are the names. Sums are of float32, or wider, and rounded to the weights' type. An Adapter is no
    linear map and stays.

    >>> net = Linear(2, 3)
    >>> tuned, params = lora(net, net.init(jax.random.key(0))[0], key=jax.random.key(1))
    >>> params["lora_B"]["weight"] += 1
    >>> merged, merged_params = merge(tuned, params)
    >>> x = jnp.ones(2)
    >>> bool(jnp.allclose(merged.apply(merged_params, {}, x)[0], tuned.apply(params, {}, x)[0])), merged == net
    (True, True)
    """
    return _unwrapped(layer, params, LoRA, lambda node, tree: node.merged(tree))


def remove_adapters(layer: Any, params: Any) -> tuple[Any, Tree]:
    """Take LoRA and adapters away, with what they have learnt: the layer and the parameters that they were put into.

    >>> net = Linear(2, 3)
    >>> params = net.init(jax.random.key(0))[0]
    >>> plain, same = remove_adapters(*lora(net, params, key=jax.random.key(1)))
    >>> plain == net and same["weight"] is params["weight"]
    True
    """
    return _unwrapped(layer, params, Wrapper, lambda node, tree: tree.get("base_layer", {}))


# -- the mechanism


def _wrapped(
    layer: Any, params: Any, paths: list[str], wrap: Callable[[Layer, str], Wrapper], key: jax.Array, dtype: Any
) -> tuple[Any, Tree]:
    for path in sorted(paths, key=lambda path: -path.count(".") if path else 1):
        base, counts = at(layer, path)
        tree = below(params, path, layer)
        wrapper = wrap(base.with_policy(None).with_mode(None).with_output(None), path)
        wrapper = wrapper.with_policy(base._policy).with_mode(base._mode).with_output(base._output)
        kinds = [leaf.dtype for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
        added = _draw(wrapper, fold_name(key, path), dtype or (kinds[0] if kinds else jnp.float32), counts)
        params = with_tree(params, path, {**({"base_layer": tree} if tree else {}), **added})
        layer = put(layer, path, wrapper) if path else wrapper
    return layer, params


def _draw(wrapper: Wrapper, key: jax.Array, dtype: Any, counts: tuple[int, ...]) -> Tree:
    """The new parameters, stacked as the Repeats around say."""

    def draw(key: jax.Array) -> Tree:
        return wrapper.draw_added(key, dtype)

    for _ in counts:
        draw = jax.vmap(draw)
    return draw(jax.random.split(key, counts) if counts else key)


def _unwrapped(layer: Any, params: Any, kind: type[Any], plain: Callable[[Any, Any], Any]) -> tuple[Any, Tree]:
    """Each wrapper's base in its place, those inside others first."""
    for path, node in reversed(list(walk(layer))):
        if isinstance(node, kind):
            node = at(layer, path)[0]  # what is inside it is plain by now
            tree = plain(node, below(params, path, layer))
            params = with_tree(params, path, tree) if tree else without(params, path)
            base = node.base_layer.with_policy(node._policy).with_mode(node._mode).with_output(node._output)
            layer = put(layer, path, base) if path else base
    return layer, params
