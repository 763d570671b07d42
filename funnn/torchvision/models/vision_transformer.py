"""Vision Transformer, of "An image is worth 16x16 words"."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import funnn.torch as torch
from funnn.torch import nn
from funnn.torchvision.models._api import model, weights_of
from funnn.torchvision.ops.misc import MLP

ViT_B_16_Weights = weights_of("ViT_B_16_Weights", __name__)
ViT_B_32_Weights = weights_of("ViT_B_32_Weights", __name__)
ViT_L_16_Weights = weights_of("ViT_L_16_Weights", __name__)
ViT_L_32_Weights = weights_of("ViT_L_32_Weights", __name__)
ViT_H_14_Weights = weights_of("ViT_H_14_Weights", __name__)

_NORM = partial(nn.LayerNorm, eps=1e-6)


def _image_size(weights: Any) -> int:
    """That of the images with which weights were trained."""
    return int(weights.transforms.keywords["crop_size"])


class MLPBlock(MLP):
    """Two linear layers with a GELU between them."""

    _version = 2

    def __init__(self, in_dim: int, mlp_dim: int, dropout: float) -> None:
        super().__init__(in_dim, [mlp_dim, in_dim], activation_layer=nn.GELU, inplace=None, dropout=dropout)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.normal_(module.bias, std=1e-6)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, metadata: dict[str, Any], *rest: Any) -> None:
        if metadata.get("version") in (None, 1):  # the layers' former names
            for old, new in (("linear_1", "0"), ("linear_2", "3")):
                for kind in ("weight", "bias"):
                    if f"{prefix}{old}.{kind}" in state_dict:
                        state_dict[f"{prefix}{new}.{kind}"] = state_dict.pop(f"{prefix}{old}.{kind}")
        super()._load_from_state_dict(state_dict, prefix, metadata, *rest)


class EncoderBlock(nn.Module):
    """Attention and an :class:`MLPBlock`, each after a norm and beside the identity."""

    def __init__(
        self,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float,
        attention_dropout: float,
        norm_layer: Callable[..., Any] = _NORM,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.ln_1 = norm_layer(hidden_dim)
        self.self_attention = nn.MultiheadAttention(hidden_dim, num_heads, dropout=attention_dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = norm_layer(hidden_dim)
        self.mlp = MLPBlock(hidden_dim, mlp_dim, dropout)

    def forward(self, input: Any) -> Any:
        """(N, L, hidden_dim) of the same."""
        x = self.ln_1(input)
        x, _ = self.self_attention(x, x, x, need_weights=False)
        x = self.dropout(x) + input
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    """Positions added, then :class:`EncoderBlock` after :class:`EncoderBlock`, and a norm."""

    def __init__(
        self,
        seq_length: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float,
        attention_dropout: float,
        norm_layer: Callable[..., Any] = _NORM,
    ) -> None:
        super().__init__()
        self.pos_embedding = nn.Parameter(torch.empty(1, seq_length, hidden_dim).normal_(std=0.02))
        self.dropout = nn.Dropout(dropout)
        layers = OrderedDict()
        for i in range(num_layers):
            layers[f"encoder_layer_{i}"] = EncoderBlock(num_heads, hidden_dim, mlp_dim, dropout, attention_dropout, norm_layer)
        self.layers = nn.Sequential(layers)
        self.ln = norm_layer(hidden_dim)

    def forward(self, input: Any) -> Any:
        """(N, L, hidden_dim) of the same."""
        return self.ln(self.layers(self.dropout(input + self.pos_embedding)))


class VisionTransformer(nn.Module):
    """Patches as words, and a word for the class.

    Args:
      image_size: height and width of images.
      patch_size: those of patches.
      num_layers: how many blocks.
      num_heads: heads of attention.
      hidden_dim: features of a word.
      mlp_dim: features between the linear layers of a block.
      dropout: the probability of dropout.
      attention_dropout: that of attention.
      num_classes: how many numbers come out.
      representation_size: features of a layer before the last one; None for no such layer.
      norm_layer: makes the normalisation of a number of features.
      conv_stem_configs: not supported.
    """

    def __init__(
        self,
        image_size: int,
        patch_size: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        num_classes: int = 1000,
        representation_size: int | None = None,
        norm_layer: Callable[..., Any] = _NORM,
        conv_stem_configs: Any = None,
    ) -> None:
        super().__init__()
        if conv_stem_configs is not None:
            raise NotImplementedError("VisionTransformer takes no conv_stem_configs: assign conv_proj")
        if image_size % patch_size:
            raise AssertionError("Input shape indivisible by patch size!")
        self.image_size, self.patch_size, self.hidden_dim, self.mlp_dim = image_size, patch_size, hidden_dim, mlp_dim
        self.attention_dropout, self.dropout, self.num_classes = attention_dropout, dropout, num_classes
        self.representation_size, self.norm_layer = representation_size, norm_layer
        self.conv_proj = nn.Conv2d(3, hidden_dim, kernel_size=patch_size, stride=patch_size)
        self.class_token = nn.Parameter(torch.zeros(1, 1, hidden_dim))
        self.seq_length = (image_size // patch_size) ** 2 + 1
        self.encoder = Encoder(self.seq_length, num_layers, num_heads, hidden_dim, mlp_dim, dropout, attention_dropout, norm_layer)
        heads: OrderedDict[str, Any] = OrderedDict()
        if representation_size is None:
            heads["head"] = nn.Linear(hidden_dim, num_classes)
        else:
            heads["pre_logits"] = nn.Linear(hidden_dim, representation_size)
            heads["act"] = nn.Tanh()
            heads["head"] = nn.Linear(representation_size, num_classes)
        self.heads = nn.Sequential(heads)
        fan_in = self.conv_proj.in_channels * patch_size * patch_size
        nn.init.trunc_normal_(self.conv_proj.weight, std=math.sqrt(1 / fan_in))
        nn.init.zeros_(self.conv_proj.bias)
        if representation_size is not None:
            nn.init.trunc_normal_(self.heads.pre_logits.weight, std=math.sqrt(1 / self.heads.pre_logits.in_features))
            nn.init.zeros_(self.heads.pre_logits.bias)
        nn.init.zeros_(self.heads.head.weight)
        nn.init.zeros_(self.heads.head.bias)

    def _process_input(self, x: Any) -> Any:
        """(N, L, hidden_dim) of images (N, 3, H, W)."""
        n, _, height, width = x.shape
        for name, size in (("height", height), ("width", width)):
            if size != self.image_size:
                raise AssertionError(f"Wrong image {name}! Expected {self.image_size} but got {size}!")
        return self.conv_proj(x).reshape(n, self.hidden_dim, -1).permute(0, 2, 1)

    def forward(self, x: Any) -> Any:
        """(N, num_classes) of images (N, 3, image_size, image_size)."""
        x = self._process_input(x)
        x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], dim=1)
        return self.heads(self.encoder(x)[:, 0])


@model(ViT_B_16_Weights, image_size=_image_size)
def vit_b_16(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VisionTransformer:
    """ViT B/16, with trained ``weights`` if they are named; other arguments are :class:`VisionTransformer`'s."""
    return VisionTransformer(patch_size=16, num_layers=12, num_heads=12, hidden_dim=768, mlp_dim=3072, **{"image_size": 224, **kwargs})


@model(ViT_B_32_Weights, image_size=_image_size)
def vit_b_32(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VisionTransformer:
    """ViT B/32, with trained ``weights`` if they are named; other arguments are :class:`VisionTransformer`'s."""
    return VisionTransformer(patch_size=32, num_layers=12, num_heads=12, hidden_dim=768, mlp_dim=3072, **{"image_size": 224, **kwargs})


@model(ViT_L_16_Weights, image_size=_image_size)
def vit_l_16(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VisionTransformer:
    """ViT L/16, with trained ``weights`` if they are named; other arguments are :class:`VisionTransformer`'s."""
    return VisionTransformer(patch_size=16, num_layers=24, num_heads=16, hidden_dim=1024, mlp_dim=4096, **{"image_size": 224, **kwargs})


@model(ViT_L_32_Weights, image_size=_image_size)
def vit_l_32(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VisionTransformer:
    """ViT L/32, with trained ``weights`` if they are named; other arguments are :class:`VisionTransformer`'s."""
    return VisionTransformer(patch_size=32, num_layers=24, num_heads=16, hidden_dim=1024, mlp_dim=4096, **{"image_size": 224, **kwargs})


@model(ViT_H_14_Weights, image_size=_image_size)
def vit_h_14(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VisionTransformer:
    """ViT H/14, with trained ``weights`` if they are named; other arguments are :class:`VisionTransformer`'s."""
    return VisionTransformer(patch_size=14, num_layers=32, num_heads=16, hidden_dim=1280, mlp_dim=5120, **{"image_size": 224, **kwargs})
