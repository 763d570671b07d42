"""Causal masks that know what they are."""

from __future__ import annotations

import enum
import warnings
from typing import Any

from funnn.engine.ops.make import factories as _factories
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype

__all__ = ["CausalBias", "CausalVariant", "causal_lower_right", "causal_upper_left"]


class CausalVariant(enum.IntEnum):
    """Where the diagonal of a causal mask that is not square begins: UPPER_LEFT, or LOWER_RIGHT, where it ends in the corner."""

    UPPER_LEFT = enum.auto()
    LOWER_RIGHT = enum.auto()


class CausalBias(Tensor):
    """A boolean mask (seq_len_q, seq_len_kv), for ``attn_mask`` of scaled_dot_product_attention."""

    def __init__(self, variant: CausalVariant, seq_len_q: int, seq_len_kv: int):
        if not isinstance(variant, CausalVariant):
            raise AssertionError(f"variant must be a CausalVariant, got {type(variant).__name__}")
        self.variant, self.seq_len_q, self.seq_len_kv = variant, seq_len_q, seq_len_kv
        self._set_storage(self._materialize())
        if seq_len_q > seq_len_kv and variant is CausalVariant.LOWER_RIGHT:
            warnings.warn(
                "Lower right causal bias will produce NaNs in the output when seq_len_q > seq_len_kv! (Here zeros, for queries without any key.)",
                stacklevel=2,
            )

    def _materialize(self, device: Any = None) -> Tensor:
        """The mask as an ordinary tensor."""
        offset = self.seq_len_kv - self.seq_len_q if self.variant is CausalVariant.LOWER_RIGHT else 0
        return _factories.ones(self.seq_len_q, self.seq_len_kv, dtype=_dtype.bool_).tril(diagonal=offset)


def causal_upper_left(*size: int) -> CausalBias:
    """Query i attends to keys 0 … i, as with ``is_causal=True``."""
    return _causal(CausalVariant.UPPER_LEFT, size)


def causal_lower_right(*size: int) -> CausalBias:
    """The last query attends to all keys, the one before it to all but the last, and so on."""
    return _causal(CausalVariant.LOWER_RIGHT, size)


def _causal(variant: CausalVariant, size: tuple) -> CausalBias:
    if len(size) != 2:
        raise AssertionError(f"causal_{variant.name.lower()} only supports 2D tensors: give the numbers of queries and of keys, not {size}")
    return CausalBias(variant, *size)
