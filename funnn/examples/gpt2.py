"""GPT-2, which reads the weights of Hugging Face's.

    model = from_config(json.load(open("config.json")))
    params = from_huggingface(checkpoint.load_safetensors("model.safetensors"), model)
    generate(model, params, {}, tokens, 50)

It shows learnt positions, and a head that is tied to the embedding: ``F.linear(x, self.tok_embed.weight)``. Radford et al., "Language models are
unsupervised multitask learners" (2019).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax.numpy as jnp

from funnn import Layer, checkpoint, init
from funnn import functional as F
from funnn.examples.transformer import Block, read_config, read_weights
from funnn.layers import GELU, Dropout, Embedding, FeedForward, GroupedQueryAttention, LayerNorm, Repeat


class GPT2(Layer):
    """Tokens (B, L) -> ``(logits, cache)`` with logits (B, L, vocab_size), or (B, 1, vocab_size) of the places ``at`` (B,).

    ``positions``, ``segments`` and ``cache`` are those of GroupedQueryAttention; the cache is that of ``init_cache``, or None.
    """

    vocab_size: int = 50257
    context: int = 1024
    width: int = 768
    depth: int = 12
    heads: int = 12
    dropout: float = 0.1
    eps: float = 1e-5

    def __post_init__(self):
        self.tok_embed = Embedding(self.vocab_size, self.width)
        self.pos_embed = Embedding(self.context, self.width)
        self.drop = Dropout(self.dropout)
        self.h = Repeat(self._block(), self.depth, has_aux=True)
        self.ln_f = LayerNorm(self.width, self.eps)

    def _block(self):
        attention = GroupedQueryAttention(self.width, self.heads, bias=True, packed=True, dropout=self.dropout)
        mlp = FeedForward(self.width, 4 * self.width, GELU("tanh"))
        return Block(LayerNorm(self.width, self.eps), attention, LayerNorm(self.width, self.eps), mlp, Dropout(self.dropout))

    def redraw(self, name: str, shape: tuple[int, ...]) -> Callable[..., Any] | None:
        """Weights from N(0, 0.02²), those before a sum of the blocks smaller by √(2 · depth), biases 0, as GPT-2's are."""
        if ".norm" in name or name.startswith("ln_f"):
            return None
        if name.endswith("bias"):
            return init.zeros
        into_sum = name.endswith(("attn.out.weight", "mlp.down.weight"))
        return partial(init.normal, std=0.02 / (2 * self.depth) ** 0.5 if into_sum else 0.02)

    def init_cache(self, batch, length, dtype=jnp.float32):
        """A cache for ``batch`` texts of up to ``length`` tokens."""
        return self.h.layer.attn.init_cache(batch, length, dtype, layers=self.depth)

    def forward(self, tokens, positions=None, cache=None, at=None, segments=None):
        if positions is None:
            positions = jnp.arange(tokens.shape[-1], dtype=jnp.int32)
            places = positions if cache is None else positions + cache.length[0]
            positions = None if cache is None else places
        else:
            places = jnp.maximum(positions, 0)  # of padding, to which nothing attends
        x = self.drop(self.tok_embed(tokens) + self.pos_embed(places))
        x, cache = self.h(x, positions, segments, each=cache)
        if at is not None:
            x = jnp.take_along_axis(x, at[:, None, None], 1)
        return F.linear(self.ln_f(x), self.tok_embed.weight), cache


#: Argument -> its key in a config.json.
NAMES = {
    "vocab_size": "vocab_size",
    "context": "n_positions",
    "width": "n_embd",
    "depth": "n_layer",
    "heads": "n_head",
    "dropout": "resid_pdrop",
    "eps": "layer_norm_epsilon",
}


def from_config(config: Mapping[str, Any]) -> GPT2:
    """The model that a config.json of Hugging Face's GPT-2 describes, also one as a dict of ``GPT2Config``."""
    model = GPT2(**read_config(config, NAMES, activation_function=["gelu_new"]))
    read_config(config, {}, n_inner=[None, 4 * model.width])
    return model


def from_huggingface(flat: Mapping[str, Any], model: GPT2) -> dict[str, Any]:
    """Params of the model from the arrays of a Hugging Face checkpoint by their names, checked against the model's own."""
    # the head is the embedding again
    return read_weights(flat, [*checkpoint.GPT2, checkpoint.Rule(r"^head\.", None, optional=True)], model)
