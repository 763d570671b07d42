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

import jax
import jax.numpy as jnp

from funnn import Layer, checkpoint
from funnn import functional as F
from funnn.layers import Embedding, GroupedQueryAttention, Linear, RMSNorm, RotaryEmbedding, SwiGLU


class Block(Layer):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    norm1: RMSNorm
    attn: GroupedQueryAttention
    norm2: RMSNorm
    mlp: Layer

    def forward(self, x, positions=None, segments=None, cache=None):
        y, cache = self.attn(self.norm1(x), positions, segments, cache)
        x = x + y
        return x + self.mlp(self.norm2(x)), cache


class Llama(Layer):
    """Tokens (B, L) -> ``(logits, cache)`` with logits (B, L, vocab_size), or (B, 1, vocab_size) of the places ``at`` (B,).

    ``positions``, ``segments`` and ``cache`` are those of GroupedQueryAttention; the cache is a tuple, one for each block, or None.
    """

    vocab_size: int
    width: int
    hidden: int
    depth: int
    heads: int
    kv_heads: int | None = None
    head_dim: int | None = None
    rotary: RotaryEmbedding | None = None
    eps: float = 1e-5
    window: int | None = None
    bias: bool = False
    out_bias: bool = False
    tied: bool = False

    def __post_init__(self):
        self.embed = Embedding(self.vocab_size, self.width)
        self.h = [self._block() for _ in range(self.depth)]
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
        return tuple(block.attn.init_cache(batch, length, dtype) for block in self.h)

    def forward(self, tokens, positions=None, cache=None, at=None, segments=None):
        x, caches = self.embed(tokens), []
        for block, entry in zip(self.h, cache or [None] * self.depth, strict=True):
            x, entry = block(x, positions, segments, entry)
            caches.append(entry)
        if at is not None:
            x = jnp.take_along_axis(x, at[:, None, None], 1)
        x = self.norm(x)
        return F.linear(x, self.embed.weight) if self.tied else self.head(x), tuple(caches) if cache else None


def from_config(config: Mapping[str, Any]) -> Llama:
    """The model that a config.json of Hugging Face's Llama or Mistral describes, also one as a dict of ``LlamaConfig``."""
    rope = dict(config.get("rope_scaling") or {}) | dict(config.get("rope_parameters") or {})
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind not in ("default", "linear", "llama3"):
        raise NotImplementedError(f"from_config: rope_type {kind!r} is not among default, linear and llama3")
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    scaling = {
        "scaling": None if kind == "default" else kind,
        "factor": rope.get("factor", 1.0),
        "low_freq_factor": rope.get("low_freq_factor", 1.0),
        "high_freq_factor": rope.get("high_freq_factor", 4.0),
        "original_length": rope.get("original_max_position_embeddings", 8192),
    }
    base = config.get("rope_theta") or rope.get("rope_theta", 10000.0)
    return Llama(
        config["vocab_size"],
        config["hidden_size"],
        config["intermediate_size"],
        config["num_hidden_layers"],
        heads,
        config.get("num_key_value_heads"),
        head_dim,
        RotaryEmbedding(head_dim, base, **scaling),
        config["rms_norm_eps"],
        config.get("sliding_window"),
        config.get("attention_bias", False),
        config.get("attention_bias", False),
        config.get("tie_word_embeddings", False),
    )


def from_huggingface(flat: Mapping[str, Any], model: Llama) -> dict[str, Any]:
    """Params of the model from the arrays of a Hugging Face checkpoint by their names, checked against the model's own."""
    rules = [*checkpoint.LLAMA, *([checkpoint.Rule(r"^head\.", None, optional=True)] if model.tied else [])]
    params, _ = jax.eval_shape(model.init, jax.random.key(0))
    return checkpoint.from_state_dict(checkpoint.rename(flat, rules), params)[0]
