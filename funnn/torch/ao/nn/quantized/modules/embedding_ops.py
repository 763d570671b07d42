"""Tables of 8-bit integers."""

from __future__ import annotations

from typing import Any

from funnn.functional._int8 import quantize_table, table_rows
from funnn.torch import _namespace as torch
from funnn.torch.nn import functional as F
from funnn.torch.nn.modules import _layer_classes as floats
from funnn.torch.nn.modules.module import Module


class Embedding(Module):
    """The rows s_i q_i + m_i of a table of integers q in [0, 255], each with a scale s_i and a smallest number m_i.

    Args:
      num_embeddings, embedding_dim: rows and columns of the table.
      padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse: not used, as in PyTorch.
      dtype: torch.quint8.

    The buffers are ``int_weight`` (num_embeddings, embedding_dim), ``weight_scale`` and ``weight_least`` (num_embeddings, 1); PyTorch's packed
    parameters have no arrays here. Results have no gradient. Source: torch.ao.nn.quantized.Embedding.

    Raises:
      NotImplementedError: another dtype, such as that of 4 bits.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        dtype: Any = torch.quint8,
    ):
        super().__init__()
        if dtype is not torch.quint8:
            raise NotImplementedError(f"{self._get_name()} with dtype={dtype} is not supported: give torch.quint8")
        self.num_embeddings, self.embedding_dim, self.dtype = num_embeddings, embedding_dim, dtype
        self.register_buffer("int_weight", torch.zeros(num_embeddings, embedding_dim, dtype=torch.uint8))
        self.register_buffer("weight_scale", torch.ones(num_embeddings, 1))
        self.register_buffer("weight_least", torch.zeros(num_embeddings, 1))

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """Of an nn.Embedding with float32 weights.

        Raises:
          AssertionError: another module.
          NotImplementedError: weights of another dtype.
        """
        cls._check(mod, floats.Embedding)
        return cls(mod.num_embeddings, mod.embedding_dim)._take(mod)

    @classmethod
    def _check(cls, mod: Any, expected: type) -> None:
        if type(mod) is not expected:
            raise AssertionError(f"nnq.{cls.__name__}.from_float only works for {expected.__name__}, but got {type(mod).__name__}")
        if mod.weight.dtype is not torch.float32:
            raise NotImplementedError(
                f"quantize_dynamic takes weights of torch.float32, got {mod.weight.dtype}; call .float() on the model"
            )

    def _take(self, mod: Any) -> Any:
        with torch.no_grad():
            self.int_weight, self.weight_scale, self.weight_least = quantize_table(mod.weight.detach())
        return self.train(mod.training)

    def _rows(self, indices: Any) -> Any:
        return table_rows(indices, self.int_weight, self.weight_scale, self.weight_least)

    def forward(self, indices: Any) -> Any:
        _within(indices, self.num_embeddings)
        with torch.no_grad():
            return self._rows(indices)

    def weight(self) -> Any:
        """Raises NotImplementedError: PyTorch gives a quantised tensor."""
        raise NotImplementedError(
            f"{self._get_name()}.weight() is not supported: there are no quantised tensors; int_weight holds the integers: "
            "int_weight * weight_scale + weight_least"
        )

    def _get_name(self) -> str:
        return f"Quantized{type(self).__name__}"

    def extra_repr(self) -> str:
        sizes = f"num_embeddings={self.num_embeddings}, embedding_dim={self.embedding_dim}"
        return f"{sizes}, dtype={self.dtype}, qscheme=torch.per_channel_affine_float_qparams"


class EmbeddingBag(Embedding):
    """The sums of such rows: ``forward(indices, offsets=None, per_sample_weights=None)`` as nn.EmbeddingBag with mode 'sum'.

    Args:
      num_embeddings, embedding_dim: rows and columns of the table.
      max_norm, norm_type, scale_grad_by_freq, sparse: not used, as in PyTorch.
      mode: 'sum'; PyTorch takes others and sums all the same.
      include_last_offset: whether offsets end with the number of indices.
      dtype: torch.quint8.

    Source: torch.ao.nn.quantized.EmbeddingBag.

    Raises:
      NotImplementedError: another mode or dtype.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "sum",
        sparse: bool = False,
        include_last_offset: bool = False,
        dtype: Any = torch.quint8,
    ):
        super().__init__(num_embeddings, embedding_dim, dtype=dtype)
        if mode != "sum":
            raise NotImplementedError(
                f"QuantizedEmbeddingBag with mode={mode!r} is not supported: PyTorch's sums whatever the mode; leave it out of qconfig_spec"
            )
        self.mode, self.include_last_offset = mode, include_last_offset

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """Of an nn.EmbeddingBag with mode 'sum' and float32 weights; it raises what Embedding.from_float does, and for another mode."""
        cls._check(mod, floats.EmbeddingBag)
        return cls(mod.num_embeddings, mod.embedding_dim, mode=mod.mode, include_last_offset=mod.include_last_offset)._take(mod)

    def forward(self, indices: Any, offsets: Any = None, per_sample_weights: Any = None) -> Any:
        _within(indices, self.num_embeddings)
        with torch.no_grad():
            rows, numbers = self._rows(indices.reshape(-1)), torch.arange(indices.numel()).reshape(indices.shape)
            return F.embedding_bag(
                numbers, rows, offsets, mode="sum", per_sample_weights=per_sample_weights, include_last_offset=self.include_last_offset
            )


def _within(indices: Any, rows: int) -> None:
    """Refuse numbers of rows that are not there, and what is no integer."""
    if indices.is_floating_point() or indices.is_complex() or indices.dtype is torch.bool:
        raise RuntimeError(f"the indices must be integers, torch.int32 or torch.int64, got {indices.dtype}; convert them with .long()")
    if indices.numel() and (int(indices.min()) < 0 or int(indices.max()) >= rows):
        raise RuntimeError(f"the indices must be in [0, {rows}), the rows of the table, got {int(indices.min())} to {int(indices.max())}")
