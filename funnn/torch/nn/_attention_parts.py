"""The steps of torch's multi_head_attention_forward, for programs that have written it out anew from its parts."""

from __future__ import annotations

import math
import warnings
from typing import Any

from funnn import functional as F
from funnn.engine.ops.kit.table import FUNCTIONS as ops
from funnn.engine.tensor.tensor import Tensor


def _get_softmax_dim(name: str, ndim: int, stacklevel: int) -> int:
    """The axis that softmax without ``dim`` takes: the first for 0, 1 and 3 axes, else the second."""
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.", stacklevel=stacklevel
    )
    return 0 if ndim in (0, 1, 3) else 1


def _none_or_dtype(input: Tensor | None) -> Any:
    """The dtype of a tensor, None of None."""
    if input is None or isinstance(input, Tensor):
        return None if input is None else input.dtype
    raise RuntimeError(f"input to _none_or_dtype() must be None or torch.Tensor, got {type(input).__name__}")


def _canonical_mask(
    mask: Tensor | None, mask_name: str, other_type: Any, other_name: str, target_type: Any, check_other: bool = True
) -> Tensor | None:
    """A mask as numbers to add: −∞ where a boolean one is True. ``other_type`` is the type of the mask that it should agree with."""
    if mask is None:
        return None
    boolean = str(mask.dtype) == "torch.bool"
    if not boolean and not mask.is_floating_point():
        raise AssertionError(f"only bool and floating types of {mask_name} are supported; got {mask.dtype}")
    if check_other and other_type is not None and mask.dtype != other_type:
        warnings.warn(f"Support for mismatched {mask_name} and {other_name} is deprecated. Use same type for both instead.", stacklevel=2)
    return ops["zeros_like"](mask, dtype=target_type).masked_fill_(mask, -math.inf) if boolean else mask


def _mha_shape_check(
    query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None, attn_mask: Tensor | None, num_heads: int
) -> bool:
    """Whether there is a batch; refuses key, value and masks that do not fit the query."""
    if query.dim() not in (2, 3):
        raise AssertionError(f"query should be unbatched 2D or batched 3D tensor but received {query.dim()}-D query tensor")
    batched = query.dim() == 3
    kind = "batched (3-D)" if batched else "unbatched (2-D)"
    _check_rank(f"For {kind} `query`, expected `key` and `value` to be {query.dim()}-D", (key, value), {query.dim()})
    _check_rank(
        f"For {kind} `query`, expected `key_padding_mask` to be `None` or {query.dim() - 1}-D", (key_padding_mask,), {query.dim() - 1}
    )
    _check_rank(f"For {kind} `query`, expected `attn_mask` to be `None`, 2-D or 3-D", (attn_mask,), {2, 3})
    if not batched and attn_mask is not None and attn_mask.dim() == 3:
        expected = (num_heads, query.shape[0], key.shape[0])
        if tuple(attn_mask.shape) != expected:
            raise AssertionError(f"Expected `attn_mask` shape to be {expected} but got {attn_mask.shape}")
    return batched


def _check_rank(what: str, tensors: tuple, ranks: set[int]) -> None:
    found = [tensor.dim() for tensor in tensors if tensor is not None]
    if not ranks.issuperset(found):
        raise AssertionError(f"{what} but found {' and '.join(f'{rank}-D' for rank in found)} tensors respectively")


def _in_projection_packed(q: Tensor, k: Tensor, v: Tensor, w: Tensor, b: Tensor | None = None) -> tuple[Tensor, ...]:
    """Query, key and value, each by its third of the weight's rows."""
    weights, biases = w.chunk(3), (None,) * 3 if b is None else b.chunk(3)
    return tuple(F.linear(x, weight, bias) for x, weight, bias in zip((q, k, v), weights, biases, strict=True))


def _in_projection(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    w_q: Tensor,
    w_k: Tensor,
    w_v: Tensor,
    b_q: Tensor | None = None,
    b_k: Tensor | None = None,
    b_v: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value, each by its own weight and bias."""
    return F.linear(q, w_q, b_q), F.linear(k, w_k, b_k), F.linear(v, w_v, b_v)


def _verify_batch_size(size: Any) -> None:
    """Refuse a batch of one value a channel, of which there is no variance."""
    if math.prod(size) == size[1]:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {size}")
