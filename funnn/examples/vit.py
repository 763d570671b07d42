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

import jax.numpy as jnp

from funnn import Layer, checkpoint, init
from funnn.examples.transformer import Block, read_config, read_weights
from funnn.layers import GELU, Conv2d, Dropout, FeedForward, GroupedQueryAttention, LayerNorm, Linear, Param, Repeat


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
        self.h = Repeat(self._block(), self.depth, has_aux=True)
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
        x, _ = self.h(x)
        return self.head(self.ln_f(x)[:, 0])


#: Argument -> its key in a config.json.
NAMES = {
    "image_size": "image_size",
    "patch_size": "patch_size",
    "channels": "num_channels",
    "width": "hidden_size",
    "hidden": "intermediate_size",
    "depth": "num_hidden_layers",
    "heads": "num_attention_heads",
    "dropout": "hidden_dropout_prob",
    "bias": "qkv_bias",
    "eps": "layer_norm_eps",
}


def from_config(config: Mapping[str, Any]) -> ViT:
    """The model that a config.json of Hugging Face's ViT describes, also one as a dict of ``ViTConfig``."""
    options = read_config(config, NAMES, hidden_act=["gelu"])
    return ViT(**options, classes=len(config["id2label"]) if config.get("id2label") else config.get("num_labels", 2))


def from_huggingface(flat: Mapping[str, Any], model: ViT) -> dict[str, Any]:
    """Params of the model from the arrays of a Hugging Face checkpoint by their names, checked against the model's own."""
    return read_weights(flat, checkpoint.VIT, model)
