"""Swin Transformer, of "Hierarchical vision transformer using shifted windows", and its second version."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import funnn.torch as torch
from funnn.torch import nn
from funnn.torch.nn import functional as F
from funnn.torchvision.models._api import model, weights_of
from funnn.torchvision.ops.misc import MLP, Permute, StochasticDepth

Swin_T_Weights = weights_of("Swin_T_Weights", __name__)
Swin_S_Weights = weights_of("Swin_S_Weights", __name__)
Swin_B_Weights = weights_of("Swin_B_Weights", __name__)
Swin_V2_T_Weights = weights_of("Swin_V2_T_Weights", __name__)
Swin_V2_S_Weights = weights_of("Swin_V2_S_Weights", __name__)
Swin_V2_B_Weights = weights_of("Swin_V2_B_Weights", __name__)


def _quarters(x: Any) -> Any:
    """(…, H/2, W/2, 4 C) of (…, H, W, C): each second pixel, beside each other."""
    height, width, _ = x.shape[-3:]
    x = F.pad(x, (0, 0, 0, width % 2, 0, height % 2))
    return torch.cat([x[..., i::2, j::2, :] for j in (0, 1) for i in (0, 1)], -1)


class _Merging(nn.Module):
    def __init__(self, dim: int, normalised: int, norm_layer: Callable[..., Any]) -> None:
        super().__init__()
        self.dim = dim
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)
        self.norm = norm_layer(normalised)


class PatchMerging(_Merging):
    """Half the size and twice the features: norm, then a linear layer."""

    def __init__(self, dim: int, norm_layer: Callable[..., Any] = nn.LayerNorm) -> None:
        super().__init__(dim, 4 * dim, norm_layer)

    def forward(self, x: Any) -> Any:
        """(…, H/2, W/2, 2 C) of (…, H, W, C)."""
        return self.reduction(self.norm(_quarters(x)))


class PatchMergingV2(_Merging):
    """Half the size and twice the features: a linear layer, then norm."""

    def __init__(self, dim: int, norm_layer: Callable[..., Any] = nn.LayerNorm) -> None:
        super().__init__(dim, 2 * dim, norm_layer)

    def forward(self, x: Any) -> Any:
        """(…, H/2, W/2, 2 C) of (…, H, W, C)."""
        return self.norm(self.reduction(_quarters(x)))


class ShiftedWindowAttention(nn.Module):
    """Attention within windows, which may be shifted, with a bias for each distance."""

    def __init__(
        self,
        dim: int,
        window_size: list[int],
        shift_size: list[int],
        num_heads: int,
        qkv_bias: bool = True,
        proj_bias: bool = True,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if len(window_size) != 2 or len(shift_size) != 2:
            raise ValueError("window_size and shift_size must be of length 2")
        self.window_size, self.shift_size, self.num_heads = window_size, shift_size, num_heads
        self.attention_dropout, self.dropout = attention_dropout, dropout
        self.qkv = nn.Linear(dim, dim * 3, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim, bias=proj_bias)
        self.define_relative_position_bias_table()
        self.define_relative_position_index()

    def define_relative_position_bias_table(self) -> None:
        """A parameter with a bias for each distance and head."""
        across = [2 * size - 1 for size in self.window_size]
        self.relative_position_bias_table = nn.Parameter(torch.zeros(across[0] * across[1], self.num_heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def define_relative_position_index(self) -> None:
        """A buffer with the number of the distance of each pair of places in a window."""
        rows, columns = self.window_size
        places = torch.stack(torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")).flatten(1)
        apart = places[:, :, None] - places[:, None, :]
        number = (apart[0] + rows - 1) * (2 * columns - 1) + (apart[1] + columns - 1)
        self.register_buffer("relative_position_index", number.flatten())

    def get_relative_position_bias(self) -> Any:
        """(1, heads, L, L)."""
        return self._of_pairs(self.relative_position_bias_table)

    def _of_pairs(self, table: Any) -> Any:
        length = self.window_size[0] * self.window_size[1]
        return table[self.relative_position_index].view(length, length, -1).permute(2, 0, 1).contiguous().unsqueeze(0)

    def _project(self, x: Any) -> Any:
        return self.qkv(x)

    def _scores(self, q: Any, k: Any) -> Any:
        return (q * (q.shape[-1] ** -0.5)).matmul(k.transpose(-2, -1))

    def forward(self, x: Any) -> Any:
        """(N, H, W, C) of the same."""
        n, height, width, channels = x.shape
        rows, columns = self.window_size
        x = F.pad(x, (0, 0, 0, -width % columns, 0, -height % rows))
        high, wide = x.shape[1:3]
        shift = [0 if size >= there else by for by, size, there in zip(self.shift_size, self.window_size, (high, wide), strict=True)]
        if sum(shift) > 0:
            x = torch.roll(x, shifts=(-shift[0], -shift[1]), dims=(1, 2))
        count = (high // rows) * (wide // columns)
        x = x.view(n, high // rows, rows, wide // columns, columns, channels)
        x = x.permute(0, 1, 3, 2, 4, 5).reshape(n * count, rows * columns, channels)
        qkv = self._project(x).reshape(x.size(0), x.size(1), 3, self.num_heads, channels // self.num_heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        scores = self._scores(q, k) + self.get_relative_position_bias()
        if sum(shift) > 0:
            mask = _mask_of_shifted(high, wide, rows, columns, shift, x.dtype)
            scores = scores.view(n, count, self.num_heads, x.size(1), x.size(1)) + mask.unsqueeze(1).unsqueeze(0)
            scores = scores.view(-1, self.num_heads, x.size(1), x.size(1))
        scores = F.dropout(F.softmax(scores, dim=-1), p=self.attention_dropout, training=self.training)
        x = scores.matmul(v).transpose(1, 2).reshape(x.size(0), x.size(1), channels)
        x = F.dropout(self.proj(x), p=self.dropout, training=self.training)
        x = x.view(n, high // rows, wide // columns, rows, columns, channels)
        x = x.permute(0, 1, 3, 2, 4, 5).reshape(n, high, wide, channels)
        if sum(shift) > 0:
            x = torch.roll(x, shifts=(shift[0], shift[1]), dims=(1, 2))
        return x[:, :height, :width, :].contiguous()


def _mask_of_shifted(high: int, wide: int, rows: int, columns: int, shift: Sequence[int], dtype: Any) -> Any:
    """(windows, L, L): -100 for pairs of places that were not beside each other before the shift."""

    def part(size: int, window: int, by: int) -> Any:
        places = torch.arange(size)
        return (places >= size - window).long() + (places >= size - by).long() if by else (places >= size - window).long()

    number = 3 * part(high, rows, shift[0])[:, None] + part(wide, columns, shift[1])[None, :]
    number = number.view(high // rows, rows, wide // columns, columns).permute(0, 2, 1, 3).reshape(-1, rows * columns)
    return (number.unsqueeze(1) != number.unsqueeze(2)).to(dtype) * -100.0


class ShiftedWindowAttentionV2(ShiftedWindowAttention):
    """Attention by angles, with a bias that a small network makes of distances."""

    def __init__(
        self,
        dim: int,
        window_size: list[int],
        shift_size: list[int],
        num_heads: int,
        qkv_bias: bool = True,
        proj_bias: bool = True,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(dim, window_size, shift_size, num_heads, qkv_bias, proj_bias, attention_dropout, dropout)
        self.logit_scale = nn.Parameter(torch.log(10 * torch.ones((num_heads, 1, 1))))
        self.cpb_mlp = nn.Sequential(nn.Linear(2, 512, bias=True), nn.ReLU(inplace=True), nn.Linear(512, num_heads, bias=False))
        if qkv_bias:
            with torch.no_grad():
                self.qkv.bias[dim : 2 * dim].zero_()

    def define_relative_position_bias_table(self) -> None:
        """A buffer with the logarithms of distances."""
        sides = [torch.arange(-(size - 1), size, dtype=torch.float32) / (size - 1) * 8 for size in self.window_size]
        table = torch.stack(torch.meshgrid(*sides, indexing="ij")).permute(1, 2, 0).contiguous().unsqueeze(0)
        self.register_buffer("relative_coords_table", torch.sign(table) * torch.log2(torch.abs(table) + 1.0) / 3.0)

    def get_relative_position_bias(self) -> Any:
        """(1, heads, L, L)."""
        return 16 * torch.sigmoid(self._of_pairs(self.cpb_mlp(self.relative_coords_table).view(-1, self.num_heads)))

    def _project(self, x: Any) -> Any:
        bias = self.qkv.bias
        if bias is not None:
            length = bias.numel() // 3
            bias = torch.cat([bias[:length], torch.zeros_like(bias[:length]), bias[2 * length :]])
        return F.linear(x, self.qkv.weight, bias)

    def _scores(self, q: Any, k: Any) -> Any:
        angles = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
        return angles * torch.clamp(self.logit_scale, max=math.log(100.0)).exp()


class SwinTransformerBlock(nn.Module):
    """Attention and two linear layers, each after a norm and beside the identity."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        window_size: list[int],
        shift_size: list[int],
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        stochastic_depth_prob: float = 0.0,
        norm_layer: Callable[..., Any] = nn.LayerNorm,
        attn_layer: Callable[..., Any] = ShiftedWindowAttention,
    ) -> None:
        super().__init__()
        self.norm1 = norm_layer(dim)
        self.attn = attn_layer(dim, window_size, shift_size, num_heads, attention_dropout=attention_dropout, dropout=dropout)
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")
        self.norm2 = norm_layer(dim)
        self.mlp = MLP(dim, [int(dim * mlp_ratio), dim], activation_layer=nn.GELU, inplace=None, dropout=dropout)
        for module in self.mlp.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.normal_(module.bias, std=1e-6)

    def forward(self, x: Any) -> Any:
        """(N, H, W, C) of the same."""
        x = x + self.stochastic_depth(self.attn(self.norm1(x)))
        return x + self.stochastic_depth(self.mlp(self.norm2(x)))


class SwinTransformerBlockV2(SwinTransformerBlock):
    """Attention and two linear layers, each before a norm and beside the identity."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        window_size: list[int],
        shift_size: list[int],
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        stochastic_depth_prob: float = 0.0,
        norm_layer: Callable[..., Any] = nn.LayerNorm,
        attn_layer: Callable[..., Any] = ShiftedWindowAttentionV2,
    ) -> None:
        drops = dropout, attention_dropout, stochastic_depth_prob
        super().__init__(dim, num_heads, window_size, shift_size, mlp_ratio, *drops, norm_layer, attn_layer)

    def forward(self, x: Any) -> Any:
        """(N, H, W, C) of the same."""
        x = x + self.stochastic_depth(self.norm1(self.attn(x)))
        return x + self.stochastic_depth(self.norm2(self.mlp(x)))


class SwinTransformer(nn.Module):
    """Stages of :class:`SwinTransformerBlock`.

    Args:
      patch_size: height and width of patches.
      embed_dim: features of the first stage.
      depths: how many blocks each stage has.
      num_heads: heads of attention in each stage.
      window_size: height and width of windows.
      mlp_ratio: how many times the features there are between the linear layers of a block.
      dropout: the probability of dropout.
      attention_dropout: that of attention.
      stochastic_depth_prob: the probability with which the last block is left out; earlier ones less.
      num_classes: how many numbers come out.
      norm_layer: makes the normalisation of a number of features.
      block: makes a block.
      downsample_layer: makes what is between stages.
    """

    def __init__(
        self,
        patch_size: list[int],
        embed_dim: int,
        depths: Sequence[int],
        num_heads: Sequence[int],
        window_size: list[int],
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        stochastic_depth_prob: float = 0.1,
        num_classes: int = 1000,
        norm_layer: Callable[..., Any] | None = None,
        block: Callable[..., Any] | None = None,
        downsample_layer: Callable[..., Any] = PatchMerging,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        block, norm = block or SwinTransformerBlock, norm_layer or partial(nn.LayerNorm, eps=1e-5)
        size = (patch_size[0], patch_size[1])
        layers: list[Any] = [nn.Sequential(nn.Conv2d(3, embed_dim, kernel_size=size, stride=size), Permute([0, 2, 3, 1]), norm(embed_dim))]
        count, total = 0, sum(depths)
        for i, depth in enumerate(depths):
            stage = []
            for j in range(depth):
                shift = [0 if j % 2 == 0 else side // 2 for side in window_size]
                drops = dropout, attention_dropout, stochastic_depth_prob * float(count) / (total - 1)
                stage.append(block(embed_dim * 2**i, num_heads[i], window_size, shift, mlp_ratio, *drops, norm_layer=norm))
                count += 1
            layers.append(nn.Sequential(*stage))
            if i < len(depths) - 1:
                layers.append(downsample_layer(embed_dim * 2**i, norm))
        self.features = nn.Sequential(*layers)
        last = embed_dim * 2 ** (len(depths) - 1)
        self.norm = norm(last)
        self.permute = Permute([0, 3, 1, 2])
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten(1)
        self.head = nn.Linear(last, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Any) -> Any:
        """(N, num_classes) of images (N, 3, H, W)."""
        return self.head(self.flatten(self.avgpool(self.permute(self.norm(self.features(x))))))


def _swin(dim: int, depths: Sequence[int], heads: Sequence[int], window: int, depth: float, **kwargs: Any) -> SwinTransformer:
    kwargs = {"stochastic_depth_prob": depth, **kwargs}
    return SwinTransformer([4, 4], dim, depths, heads, [window, window], **kwargs)


@model(Swin_T_Weights)
def swin_t(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> SwinTransformer:
    """Swin T, with trained ``weights`` if they are named; other arguments are :class:`SwinTransformer`'s."""
    return _swin(96, (2, 2, 6, 2), (3, 6, 12, 24), 7, 0.2, **kwargs)


@model(Swin_S_Weights)
def swin_s(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> SwinTransformer:
    """Swin S, with trained ``weights`` if they are named; other arguments are :class:`SwinTransformer`'s."""
    return _swin(96, (2, 2, 18, 2), (3, 6, 12, 24), 7, 0.3, **kwargs)


@model(Swin_B_Weights)
def swin_b(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> SwinTransformer:
    """Swin B, with trained ``weights`` if they are named; other arguments are :class:`SwinTransformer`'s."""
    return _swin(128, (2, 2, 18, 2), (4, 8, 16, 32), 7, 0.5, **kwargs)


@model(Swin_V2_T_Weights)
def swin_v2_t(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> SwinTransformer:
    """Swin V2 T, with trained ``weights`` if they are named; other arguments are :class:`SwinTransformer`'s."""
    return _swin(
        96, (2, 2, 6, 2), (3, 6, 12, 24), 8, 0.2, **{"block": SwinTransformerBlockV2, "downsample_layer": PatchMergingV2, **kwargs}
    )


@model(Swin_V2_S_Weights)
def swin_v2_s(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> SwinTransformer:
    """Swin V2 S, with trained ``weights`` if they are named; other arguments are :class:`SwinTransformer`'s."""
    return _swin(
        96, (2, 2, 18, 2), (3, 6, 12, 24), 8, 0.3, **{"block": SwinTransformerBlockV2, "downsample_layer": PatchMergingV2, **kwargs}
    )


@model(Swin_V2_B_Weights)
def swin_v2_b(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> SwinTransformer:
    """Swin V2 B, with trained ``weights`` if they are named; other arguments are :class:`SwinTransformer`'s."""
    return _swin(
        128, (2, 2, 18, 2), (4, 8, 16, 32), 8, 0.5, **{"block": SwinTransformerBlockV2, "downsample_layer": PatchMergingV2, **kwargs}
    )
