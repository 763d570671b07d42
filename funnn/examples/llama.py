"""Llama, which reads the weights of Hugging Face's: also Mistral's and Qwen2's, which differ in a window and in biases.

    from funnn import checkpoint
    flat = checkpoint.load_safetensors("model.safetensors")
    model = from_config(json.load(open("config.json")))
    params = from_huggingface(flat, model)
    generate(model, params, {}, tokens, 50)

It shows a language model that ``funnn.generation.generate`` can continue texts with: ``forward`` takes and gives a cache, and ``init_cache`` makes one.
Touvron et al., "Llama: open and efficient foundation language models" (2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from funnn import Layer, checkpoint
from funnn import functional as F
from funnn.examples.transformer import Block, read_config, read_weights
from funnn.layers import Embedding, GroupedQueryAttention, Linear, Repeat, RMSNorm, RotaryEmbedding, SwiGLU


class Llama(Layer):
    """Tokens (B, L) -> ``(logits, cache)`` with logits (B, L, vocab_size), or (B, 1, vocab_size) of the places ``at`` (B,).

    ``positions``, ``segments`` and ``cache`` are those of GroupedQueryAttention; the cache is that of ``init_cache``, or None.
    """

    vocab_size: int
    width: int
    hidden: int
    depth: int
    heads: int
    kv_heads: int | None = None
    head_dim: int | None = None
    rotary: RotaryEmbedding | None = None
    eps: float = 1e-6
    window: int | None = None
    bias: bool = False
    out_bias: bool = False
    tied: bool = False

    def __post_init__(self):
        self.embed = Embedding(self.vocab_size, self.width)
        self.h = Repeat(self._block(), self.depth, has_aux=True)
        self.norm = RMSNorm(self.width, self.eps)
        if not self.tied:
            self.head = Linear(self.width, self.vocab_size, bias=False)

    def _block(self):
        rotary = self.rotary or RotaryEmbedding(self.head_dim or self.width // self.heads)
        options = {"bias": self.bias, "out_bias": self.out_bias, "rotary": rotary, "window": self.window}
        attention = GroupedQueryAttention(self.width, self.heads, self.kv_heads, self.head_dim, **options)
        return Block(RMSNorm(self.width, self.eps), attention, RMSNorm(self.width, self.eps), SwiGLU(self.width, self.hidden))

    def init_cache(self, batch, length, dtype=jnp.float32):
        """A cache for ``batch`` texts of up to ``length`` tokens."""
        return self.h.layer.attn.init_cache(batch, length, dtype, layers=self.depth)

    def forward(self, tokens, positions=None, cache=None, at=None, segments=None):
        x, cache = self.h(self.embed(tokens), positions, segments, each=cache)
        if at is not None:
            x = jnp.take_along_axis(x, at[:, None, None], 1)
        x = self.norm(x)
        return F.linear(x, self.embed.weight) if self.tied else self.head(x), cache


#: Argument -> its key in a config.json.
NAMES = {
    "vocab_size": "vocab_size",
    "width": "hidden_size",
    "hidden": "intermediate_size",
    "depth": "num_hidden_layers",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "eps": "rms_norm_eps",
    "window": "sliding_window",
    "bias": "attention_bias",
    "out_bias": "attention_bias",
    "tied": "tie_word_embeddings",
}
#: Of the part that says how positions are turned.
ROPE_NAMES = {
    "base": "rope_theta",
    "factor": "factor",
    "low_freq_factor": "low_freq_factor",
    "high_freq_factor": "high_freq_factor",
    "original_length": "original_max_position_embeddings",
}


def from_config(config: Mapping[str, Any]) -> Llama:
    """The model that a config.json of Hugging Face's Llama or Mistral describes, also one as a dict of ``LlamaConfig``."""
    options = read_config(config, NAMES)
    rope = {"rope_theta": config.get("rope_theta"), **(config.get("rope_scaling") or {}), **(config.get("rope_parameters") or {})}
    rope["rope_type"] = kind = rope.get("rope_type") or rope.get("type") or "default"
    turning = read_config(rope, ROPE_NAMES, rope_type=["default", "linear", "llama3"])
    head_dim = options.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    return Llama(**options, rotary=RotaryEmbedding(head_dim, scaling=None if kind == "default" else kind, **turning))


def from_huggingface(flat: Mapping[str, Any], model: Llama) -> dict[str, Any]:
    """Params of the model from the arrays of a Hugging Face checkpoint by their names, checked against the model's own."""
    tied = [checkpoint.Rule(r"^head\.", None, optional=True)] if model.tied else []
    return read_weights(flat, [*checkpoint.LLAMA, *tied], model)
