"""What GPT-2, Llama and ViT share: the block, and how a config.json and weights of Hugging Face's are read.

The blocks of a model are one ``Repeat(block, depth, has_aux=True)``: parameters and caches of all of them are stacked along a first axis, and one scan runs
them, so that a model of 80 blocks compiles as fast as one of two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax

from funnn import Layer, checkpoint
from funnn.layers import Dropout, GroupedQueryAttention


class Block(Layer):
    """x + attention(norm(x)), then x + mlp(norm(x)); both dropped out in training. Gives ``(x, cache)``."""

    norm1: Layer
    attn: GroupedQueryAttention
    norm2: Layer
    mlp: Layer
    drop: Dropout = Dropout(0.0)

    def forward(self, x, positions=None, segments=None, cache=None):
        y, cache = self.attn(self.norm1(x), positions, segments, cache)
        x = x + self.drop(y)
        return x + self.drop(self.mlp(self.norm2(x))), cache


def read_config(config: Mapping[str, Any], names: Mapping[str, str], **only: Sequence[Any]) -> dict[str, Any]:
    """Arguments of a model from a config.json: ``names`` says under which key each one stands; what is null or not there keeps its default.

    Args:
      config: the file's content, or as a dict the configuration's arguments.
      names: argument of the model -> key of the file.
      **only: key of the file -> its values that the model has, of which the first is the default.

    Raises:
      NotImplementedError: the file asks for what the model does not have.
    """
    for key, values in only.items():
        if config.get(key, values[0]) not in values:
            raise NotImplementedError(f"from_config: expected {key} {' or '.join(map(repr, values))}, but got {config[key]!r}")
    return {argument: config[key] for argument, key in names.items() if config.get(key) is not None}


def read_weights(flat: Mapping[str, Any], rules: Sequence[checkpoint.Rule], model: Layer) -> dict[str, Any]:
    """Params of the model from the arrays of a checkpoint by their names, checked against the model's own."""
    norms = checkpoint.Rule(r"^(h\.\d+)\.ln([12])\.", r"\1.norm\2.", optional=True)
    stacked = checkpoint.stack_layers(checkpoint.rename(flat, [*rules, norms]), "h.{}.")
    return checkpoint.from_state_dict(stacked, jax.eval_shape(model.init, jax.random.key(0))[0])[0]
