"""torch.embedding_bag with its four results, and torch.embedding_renorm_."""

from __future__ import annotations

import jax.numpy as jnp

from funnn import functional as F
from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.engine.tensor.tensor import Tensor


def _facts(weight, indices, offsets, output, last, padding):
    """For each index its bag, for each bag how many indices count, and for each number of a bag's maximum the row that it is from."""
    count = offsets.shape[0] - last
    bags = jnp.searchsorted(offsets, jnp.arange(indices.shape[0]), side="right").astype(indices.dtype) - 1
    bags = jnp.minimum(bags, count - 1)
    counts = jnp.ones(indices.shape, bool) if padding is None else indices != padding
    sizes = jnp.zeros(count, indices.dtype).at[bags].add(counts)
    if output is None:
        return bags, sizes
    places = jnp.arange(indices.shape[0])[:, None]
    places = jnp.where(counts[:, None] & (weight[indices] == output[bags]), places, indices.shape[0])
    first = jnp.full(output.shape, indices.shape[0]).at[bags].min(places)
    return bags, sizes, jnp.append(indices, 0)[first].astype(indices.dtype)


_facts_op = Op(_facts)
_MODES = ("sum", "mean", "max")


def embedding_bag(
    weight: Tensor,
    indices: Tensor,
    offsets: Tensor,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """torch.nn.functional.embedding_bag in mode 0 ('sum'), 1 ('mean') or 2 ('max'), the bag of each index, the bags' sizes, and rows of maxima.

    As in torch, a sum needs none of these: without a ``padding_idx`` the second is empty, and the others are zero.
    """
    options = None, 2, scale_grad_by_freq, _MODES[mode], sparse, per_sample_weights, include_last_offset, padding_idx
    output = F.embedding_bag(indices, weight, offsets, *options)
    padding = None if padding_idx is None else padding_idx % weight.shape[0]
    found = call(
        _facts_op, (weight.detach(), indices, offsets, output.detach() if mode == 2 else None, int(include_last_offset), padding), {}
    )
    if mode == 0:
        zeros = FUNCTIONS["zeros_like"](found[1])
        return output, found[0] if padding is not None else found[0][:0], zeros, zeros.clone()
    return output, found[0], found[1], found[2] if mode == 2 else found[1].clone()


def embedding_renorm_(input: Tensor, indices: Tensor, max_norm: float, norm_type: float) -> Tensor:
    """Rows of ``input`` that ``indices`` name, in place: scaled to ``max_norm`` where their norm is larger."""
    rows = indices.unique()
    with_norm = input.detach().index_select(0, rows)
    norms = with_norm.norm(norm_type, 1, True)
    scale = FUNCTIONS["where"](norms > max_norm, max_norm / (norms + 1e-7), 1.0).to(input.dtype)
    input.detach().index_copy_(0, rows, with_norm * scale)
    return input


FUNCTIONS.update(embedding_bag=embedding_bag, embedding_renorm_=embedding_renorm_)
