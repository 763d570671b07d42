"""A vision transformer, which reads the weights of Hugging Face's ViTForImageClassification.

    model = from_config(json.load(open("config.json")))
    params = from_huggingface(checkpoint.load_safetensors("model.safetensors"), model)
    logits, _ = model.apply(params, {}, images)

It shows parameters beside layers, ``cls_token`` and ``pos_embed``, and the language models' attention without a causal mask. Dosovitskiy et al., "An image
is worth 16x16 words" (2021).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from funnn import Layer, checkpoint, init
from funnn.layers import GELU, Conv2d, Dropout, FeedForward, GroupedQueryAttention, LayerNorm, Linear, Param


class Block(Layer):
    """x + attention(norm(x)), then x + mlp(norm(x)); both dropped out in training."""

    ln1: LayerNorm
    attn: GroupedQueryAttention
    ln2: LayerNorm
    mlp: FeedForward
    drop: Dropout

    def forward(self, x):
        y, _ = self.attn(self.ln1(x))
        x = x + self.drop(y)
        return x + self.drop(self.mlp(self.ln2(x)))


class ViT(Layer):
    """Images (N, channels, S, S), S = image_size -> logits (N, classes)."""

    image_size: int = 224
    patch_size: int = 16
    channels: int = 3
    width: int = 768
    hidden: int = 3072
    depth: int = 12
    heads: int = 12
    classes: int = 1000
    dropout: float = 0.0
    bias: bool = True
    eps: float = 1e-12

    def __post_init__(self):
        if self.image_size % self.patch_size:
            raise ValueError(f"image_size must be divisible by patch_size, but got {self.image_size} and {self.patch_size}")
        self.patch = Conv2d(self.channels, self.width, self.patch_size, stride=self.patch_size)
        self.drop = Dropout(self.dropout)
        self.h = [self._block() for _ in range(self.depth)]
        self.ln_f = LayerNorm(self.width, self.eps)
        self.head = Linear(self.width, self.classes)

    def _block(self):
        attention = GroupedQueryAttention(self.width, self.heads, bias=self.bias, out_bias=True, causal=False)
        mlp = FeedForward(self.width, self.hidden, GELU())
        return Block(LayerNorm(self.width, self.eps), attention, LayerNorm(self.width, self.eps), mlp, Dropout(self.dropout))

    def spec(self):
        small = partial(init.trunc_normal, std=0.02)
        count = (self.image_size // self.patch_size) ** 2 + 1
        return {"cls_token": Param((1, 1, self.width), small), "pos_embed": Param((1, count, self.width), small)}

    def forward(self, images):
        patches = self.patch(images)
        patches = patches.reshape(*patches.shape[:2], -1).swapaxes(1, 2)
        cls = jnp.broadcast_to(self.cls_token, (images.shape[0], 1, self.width))
        x = self.drop(jnp.concatenate([cls, patches], 1) + self.pos_embed)
        for block in self.h:
            x = block(x)
        return self.head(self.ln_f(x)[:, 0])


def from_config(config: Mapping[str, Any]) -> ViT:
    """The model that a config.json of Hugging Face's ViT describes, also one as a dict of ``ViTConfig``."""
    if config.get("hidden_act", "gelu") != "gelu":
        raise NotImplementedError(f"from_config: expected hidden_act 'gelu', but got {config['hidden_act']!r}")
    return ViT(
        config["image_size"],
        config["patch_size"],
        config.get("num_channels", 3),
        config["hidden_size"],
        config["intermediate_size"],
        config["num_hidden_layers"],
        config["num_attention_heads"],
        len(config["id2label"]) if config.get("id2label") else config.get("num_labels", 2),
        config.get("hidden_dropout_prob", 0.0),
        config.get("qkv_bias", True),
        config.get("layer_norm_eps", 1e-12),
    )


def from_huggingface(flat: Mapping[str, Any], model: ViT) -> dict[str, Any]:
    """Params of the model from the arrays of a Hugging Face checkpoint by their names, checked against the model's own."""
    params, _ = jax.eval_shape(model.init, jax.random.key(0))
    return checkpoint.from_state_dict(checkpoint.rename(flat, checkpoint.VIT), params)[0]
