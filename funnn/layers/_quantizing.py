"""A trained network with weights of 8 bits: layers and their parameters replaced together."""

from __future__ import annotations

from typing import Any

from funnn._types import Tree
from funnn.layers._layer import Layer
from funnn.layers._replacing import at, below, targets, with_tree
from funnn.layers._selecting import Types
from funnn.layers._surgery import put
from funnn.layers.attention import NonDynamicallyQuantizableLinear
from funnn.layers.linear import Linear
from funnn.layers.quantized import QuantizedEmbedding, QuantizedGRU, QuantizedLinear, QuantizedLSTM, QuantizedRNN
from funnn.layers.recurrent import GRU, LSTM, RNN
from funnn.layers.sparse import Embedding

_FORMS: dict[type[Layer], Any] = {
    Linear: QuantizedLinear,
    Embedding: QuantizedEmbedding,
    RNN: QuantizedRNN,
    LSTM: QuantizedLSTM,
    GRU: QuantizedGRU,
}
_NAMES = "Linear, Embedding, RNN, LSTM and GRU"


def quantize(
    layer: Layer, params: Any, *, path: str | tuple[str, ...] | None = None, type: Types = (Linear, Embedding, RNN, LSTM, GRU)
) -> tuple[Any, Tree]:
    """Store the weights of Linear, Embedding, RNN, LSTM and GRU in 8 bits, for inference: (new layer, new parameters).

    Each row w of a weight becomes integers q in [−127, 127] and a scale s = max |w| / 127, with w ≈ s q and no number off by more than s / 2. What is computed
    with them is floating point as before; biases and all other layers stay as they are.

    Args:
      layer, params: the layer and its parameters; neither changes.
      path: a dotted path or several, with ``*`` and ``**``, as :func:`param_mask` has them. Default everywhere.
      type: some of Linear, Embedding, RNN, LSTM and GRU; default all. The projections of a MultiheadAttention stay as they are, as in torch.

    Returns:
      The layer with :class:`QuantizedLinear`, :class:`QuantizedEmbedding`, :class:`QuantizedLSTM` and so on in the places of those, and its parameters.
      State stays valid. Parameters of a ``Repeat`` stay stacked.

    Raises:
      ValueError: no layer fits, or params lack the layer's.
      TypeError: a class with a forward of its own, an Embedding with max_norm, or another type of layer.

    Source: Dettmers et al., "LLM.int8()" (2022), for scales row by row; torchao's int8 weight-only.

    >>> import jax, jax.numpy as jnp
    >>> from funnn.layers import ReLU, Sequential
    >>> net = Sequential(Linear(4, 8), ReLU(), Linear(8, 1))
    >>> params, state = net.init(jax.random.key(0))
    >>> small, small_params = quantize(net, params)
    >>> small[0], str(small_params["0"]["quantized_weight"].dtype)
    (QuantizedLinear(in_features=4, out_features=8, bias=True), 'int8')
    >>> x = jnp.ones((2, 4))
    >>> bool(jnp.allclose(small.apply(small_params, state, x)[0], net.apply(params, state, x)[0], atol=0.02))
    True
    """
    found = {
        where: node
        for where, node in targets(layer, path, type, "quantize").items()
        if not isinstance(node, NonDynamicallyQuantizableLinear)
    }
    if not found:
        raise ValueError(f"quantize: {layer!r} has none of {_NAMES} but projections of a MultiheadAttention, which stay as they are")
    for where, node in found.items():
        base = next((kind for kind in _FORMS if isinstance(node, kind)), None)
        if base is None or node.__class__.forward is not base.forward:
            raise TypeError(f"quantize: {node!r} at {where!r} has no form of 8 bits; there is one for {_NAMES}")
        node, _ = at(layer, where)
        tree = below(params, where, layer)
        if not any(name.startswith("weight") for name in tree):
            raise ValueError(
                f"quantize: params have no weight at {where!r}; use the dicts that layer.init(key) returns, and give a shared layer under "
                "its first path"
            )
        new, own = _FORMS[base].from_layer(node, tree)
        new = new.with_policy(node._policy).with_mode(node._mode).with_output(node._output)
        params = with_tree(params, where, own)
        layer = put(layer, where, new) if where else new
    return layer, params
