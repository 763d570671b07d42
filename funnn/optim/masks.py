"""Which parameters decay, and which arrays are stacks: answers for each parameter of a layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from funnn.layers import Layer
from funnn.optim._select import Place, Which, by_place, matcher


def decay_mask(layer: Layer, exclude: Sequence[Which] = ()) -> Callable[[Any], Any]:
    """The usual mask of weight decay: matrices and kernels decay; biases, scales and other parameters of rank below 2 do not.

    The rank is that of one layer's parameter, so the biases of layers that ``Repeat`` stacks into a matrix do not decay either. A bias is also what is
    called so, whatever its rank: ``bias_k`` of attention.

    Args:
      layer: whose parameters they are.
      exclude: more that do not decay: regular expressions, searched for in the path, and classes of layers, such as ``Embedding``.

    Returns:
      A function of the parameters that gives a tree of bools: ``mask`` of :func:`adamw` and of optax's.

    Raises:
      TypeError: ``exclude`` has something else.
      ValueError: from the function, for parameters that the layer does not have.

    Example:
      >>> import jax, optax
      >>> from funnn.layers import Embedding, Linear, Repeat, Sequential
      >>> from funnn.optim import adamw, decay_mask
      >>> net = Sequential(Embedding(5, 4), Repeat(Linear(4, 4), 3))
      >>> params, _ = net.init(jax.random.key(0))
      >>> mask = decay_mask(net, exclude=[Embedding])
      >>> mask(params)
      {'0': {'weight': False}, '1': {'layer': {'bias': False, 'weight': True}}}
      >>> optimizer = adamw(1e-3, weight_decay=0.1, mask=mask)
    """
    excluded = matcher(exclude, layer, "decay_mask")

    def decays(path: str, place: Place) -> bool:
        parts = path.rpartition(".")[2].split("_")
        return len(place.shape) > 1 and "bias" not in (parts[0], parts[-1]) and excluded(path) is None

    return by_place(layer, decays)


def stacked_axes(layer: Layer) -> Callable[[Any], Any]:
    """How many leading axes of each parameter number layers: one for each ``Repeat`` that it is in.

    Args:
      layer: whose parameters they are.

    Returns:
      A function of the parameters that gives a tree of ints: ``stacked`` of :func:`muon` and :func:`adafactor`.

    Raises:
      ValueError: from the function, for parameters that the layer does not have.

    Example:
      >>> import jax
      >>> from funnn.layers import Linear, Repeat, Sequential
      >>> from funnn.optim import stacked_axes
      >>> net = Sequential(Linear(4, 4, bias=False), Repeat(Linear(4, 4, bias=False), 3))
      >>> stacked_axes(net)(net.init(jax.random.key(0))[0])
      {'0': {'weight': 0}, '1': {'layer': {'weight': 1}}}
    """
    return by_place(layer, lambda path, place: place.stacked)
