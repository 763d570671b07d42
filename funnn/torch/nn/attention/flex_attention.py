"""Attention with a function of every score and its place; the formula is :func:`funnn.functional.flex_attention.flex_attention`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.tape.grad_mode import no_grad
from funnn.engine.tensor.tensor import Tensor
from funnn.functional.flex_attention import (
    attention,
    attention_scores,
    check_shapes,
    default_scale,
    largest_score,
    log_sum_exp,
    weighted_values,
)
from funnn.torch.nn.attention._block_mask import WHOLE, _sliced_mask_mod_error, everywhere, noop_mask
from funnn.torch.nn.attention._block_mask import BlockMask as BlockMask
from funnn.torch.nn.attention._block_mask import and_masks as and_masks
from funnn.torch.nn.attention._block_mask import create_block_mask as create_block_mask
from funnn.torch.nn.attention._block_mask import create_mask as create_mask
from funnn.torch.nn.attention._block_mask import or_masks as or_masks

__all__ = [
    "AuxOutput",
    "AuxRequest",
    "BlockMask",
    "FlexKernelOptions",
    "and_masks",
    "create_block_mask",
    "create_mask",
    "flex_attention",
    "noop_mask",
    "or_masks",
]

FlexKernelOptions = dict[str, Any]

_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG = False  # torch's switch; here the function runs as it is in any case


class AuxRequest(NamedTuple):
    """What flex_attention is to return beside its output."""

    lse: bool = False
    max_scores: bool = False


class AuxOutput(NamedTuple):
    """What was asked for by an AuxRequest; the rest is None."""

    lse: Tensor | None = None
    max_scores: Tensor | None = None


_attention = Op(attention, "FlexAttentionAutogradOpBackward", scalars=("scale",))
_scores = Op(attention_scores, "MulBackward0", scalars=("scale",))
_weighted = Op(weighted_values, "FlexAttentionAutogradOpBackward")
_log_sum_exp = Op(log_sum_exp, "FlexAttentionAutogradOpBackward")
_largest = Op(largest_score, "FlexAttentionAutogradOpBackward")


def flex_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score_mod: Callable | None = None,
    block_mask: BlockMask | None = None,
    scale: float | None = None,
    enable_gqa: bool = False,
    return_lse: bool = False,
    kernel_options: FlexKernelOptions | None = None,
    *,
    return_aux: AuxRequest | None = None,
) -> Any:
    """Attention with ``score_mod(score, b, h, q_idx, kv_idx)`` in the place of every score, where ``block_mask`` allows it.

    Args:
      query: (B, H_q, L, E); key: (B, H, S, E); value: (B, H, S, E_v), where the batch of keys and values may be 1 if block_mask has B.
      score_mod: a function of Tensors without dimensions; tensors that it captures get gradients, too. Default none.
      block_mask: made by :func:`create_block_mask`; its mask_mod is what counts here. Default none.
      scale: of the scores; default 1/√E.
      enable_gqa: whether H may be a divisor of H_q; default False.
      return_lse, return_aux: return also the logarithm of each query's sum, (B, H_q, L); as ``(out, lse)``, or what an AuxRequest asks for.
      kernel_options: of torch's kernels; accepted and not needed.

    Raises:
      ValueError: shapes that do not fit each other or the block_mask.
      RuntimeError: the mask_mod of a part of a BlockMask.
    """
    check_shapes(query, key, value, enable_gqa)
    if return_lse and return_aux is not None:
        raise ValueError("Cannot specify both return_lse and return_aux. Use return_aux=AuxRequest(lse=True)")
    if return_lse:
        warnings.warn("return_lse is deprecated. Please use return_aux=AuxRequest(lse=True) instead.", FutureWarning, stacklevel=2)
    _check_mask(query, key, block_mask)
    scale = default_scale(query) if scale is None else scale
    shape, mask = (*query.shape[:-1], key.shape[-2]), None
    if block_mask is not None and block_mask.mask_mod is not noop_mask:
        with no_grad():
            mask = everywhere(block_mask.mask_mod, shape)
    wanted = return_aux or AuxRequest(lse=return_lse)
    if score_mod is None and not any(wanted):
        output = call(_attention, (query, key, value, mask, scale), {})
        return output if return_aux is None else (output, AuxOutput())
    scores = call(_scores, (query, key, scale), {})
    if score_mod is not None:
        scores = everywhere(score_mod, shape, scores)
    output = call(_weighted, (scores, value, mask), {})
    found = AuxOutput(
        *(call(op, (scores, mask), {}) if asked else None for op, asked in zip((_log_sum_exp, _largest), wanted, strict=True))
    )
    if return_aux is not None:
        return output, found
    return (output, found.lse) if return_lse else output


def _check_mask(query: Tensor, key: Tensor, block_mask: BlockMask | None) -> None:
    batch, key_batch = query.size(0), key.size(0)
    if batch != key_batch and (block_mask is None or block_mask.kv_num_blocks.size(0) != batch):
        raise ValueError(
            "Expect query and key/value to have the same batch size, or block_mask and query to have the same batch size, "
            f"but got Bq={batch}, Bkv={key_batch}, B_block_mask={None if block_mask is None else block_mask.kv_num_blocks.size(0)}."
        )
    if block_mask is None:
        return
    if block_mask.mask_mod is _sliced_mask_mod_error:
        raise RuntimeError("Cannot use mask_mod from a sliced BlockMask")
    lengths = (query.size(-2), key.size(-2))
    if tuple(block_mask.BLOCK_SIZE) != (WHOLE, WHOLE) and lengths != tuple(block_mask.shape[-2:]):
        raise ValueError(
            f"block_mask was created for block_mask.shape={block_mask.shape} but got q_len={lengths[0]} and kv_len={lengths[1]}. Create one for "
            "these lengths, or, for smaller ones, crop it to the upper left corner by block_mask._adjust(q_len, kv_len)"
        )


_DEFAULT_SPARSE_BLOCK_SIZE = 128
