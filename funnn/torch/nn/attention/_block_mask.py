"""Masks as functions of the place, and which blocks of the scores they leave empty, full or in part."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable
from typing import Any

from funnn.engine.ops.kit.table import FUNCTIONS as ops
from funnn.engine.ops.make import factories as _factories
from funnn.engine.ops.make.ranges import arange
from funnn.engine.tape.grad_mode import no_grad
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.transform.vmap import vmap
from funnn.engine.types import dtype as _dtype
from funnn.functional.flex_attention import at_all_places
from funnn.torch.nn.functional import pad

BLOCK = 128  # the usual size of a block
WHOLE = 1 << 30  # the size of the one block of a mask that masks nothing


def noop_mask(batch: Tensor, head: Tensor, token_q: Tensor, token_kv: Tensor) -> Tensor:
    """The mask of attention to everything."""
    return batch.new_ones((), dtype=_dtype.bool_)


def or_masks(*mask_mods: Callable) -> Callable:
    """The mask that allows what any of the given ones allows."""
    return _combined(mask_mods, "or_mask", False, lambda a, b: a | b)


def and_masks(*mask_mods: Callable) -> Callable:
    """The mask that allows what all of the given ones allow."""
    return _combined(mask_mods, "and_mask", True, lambda a, b: a & b)


def _combined(mask_mods: tuple, name: str, start: bool, combine: Callable) -> Callable:
    if not all(callable(mask_mod) for mask_mod in mask_mods):
        raise RuntimeError(f"All inputs should be callable mask_mods: {mask_mods}")

    def mask(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        result = b.new_full((), start, dtype=_dtype.bool_)
        for mask_mod in mask_mods:
            result = combine(result, mask_mod(b, h, q_idx, kv_idx))
        return result

    mask.__name__ = mask.__qualname__ = name
    return mask


def _sliced_mask_mod_error(batch: Tensor, head: Tensor, token_q: Tensor, token_kv: Tensor) -> Any:
    """Stands in a part of a BlockMask for the mask_mod, which counts from another beginning."""
    raise RuntimeError(
        "Cannot use mask_mod from a sliced BlockMask. Set its mask_mod, made from that of the whole BlockMask with an offset"
    )


def everywhere(function: Callable, shape: tuple, *scores: Tensor) -> Tensor:
    """``function(*scores, b, h, i, j)`` at all places, for a function of Tensors."""
    return at_all_places(function, shape, *scores, vmap=vmap, arange=arange)


def _takes(function: Callable) -> int:
    """How many arguments a function must be given."""
    parameters = inspect.signature(function).parameters.values()
    count = sum(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    if count not in (4, 5):
        raise AssertionError(
            f"Expected 4 or 5 positional args, got {count}: (b, h, q_idx, kv_idx), for a score_mod with the score before them"
        )
    return count


def create_mask(mod_fn: Callable, B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, device: Any = None) -> Tensor:
    """The mask (B, H, Q_LEN, KV_LEN) of a mask_mod; of a score_mod, False where it makes a score of zero −∞."""
    shape = (B or 1, H or 1, Q_LEN, KV_LEN)
    with no_grad():
        if _takes(mod_fn) == 4:
            return everywhere(mod_fn, shape)
        return everywhere(mod_fn, shape, _factories.zeros(shape)).isneginf().logical_not()


def create_block_mask(
    mask_mod: Callable,
    B: int | None,
    H: int | None,
    Q_LEN: int,
    KV_LEN: int,
    device: Any = None,
    BLOCK_SIZE: int | tuple[int, int] = BLOCK,
    _compile: bool = False,
    separate_full_blocks: bool = True,
    compute_dq_write_order: bool = False,
    dq_kv_order: bool = True,
) -> BlockMask:
    """The BlockMask of a ``mask_mod(b, h, q_idx, kv_idx)``, which gives True where a query may attend to a key.

    Args:
      B, H: numbers of batches and heads; None for 1, the same mask for all.
      BLOCK_SIZE: of a block, for queries and keys or (queries, keys).
      separate_full_blocks: whether blocks without any False are listed apart.

    Raises:
      AssertionError: a function that is no mask_mod.
      NotImplementedError: compute_dq_write_order, which is for a kernel of torch's.
    """
    if _takes(mask_mod) != 4:
        raise AssertionError(f"create-block_mask requires a mask_mod function! Got {mask_mod}")
    if compute_dq_write_order:
        raise NotImplementedError(
            "create_block_mask(compute_dq_write_order=True) orders the sums of a kernel that is not here; leave it out"
        )
    size = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else tuple(BLOCK_SIZE)
    mask = create_mask(mask_mod, B, H, Q_LEN, KV_LEN, device)
    mask = pad(mask, (0, -KV_LEN % size[1], 0, -Q_LEN % size[0]))
    counts = mask.unflatten(3, (-1, size[1])).unflatten(2, (-1, size[0])).sum((3, 5))
    full = counts == size[0] * size[1] if separate_full_blocks else None
    partial = counts > 0 if full is None else (counts > 0) & ~full
    listed = (*_ordered(partial), *((None, None) if full is None else _ordered(full)))
    return BlockMask.from_kv_blocks(*listed, BLOCK_SIZE=size, mask_mod=mask_mod, seq_lengths=(Q_LEN, KV_LEN))


def _ordered(dense: Tensor) -> tuple[Tensor, Tensor]:
    """How many blocks of each row are there, and all numbers of columns, those first."""
    dense = dense.int()
    return dense.sum(-1).int(), ops["argsort"](dense, dim=-1, descending=True, stable=True).int()


def _dense(counts: Tensor, columns: Tensor) -> Tensor:
    """The opposite of ``_ordered``."""
    width = columns.shape[-1]
    listed = ops["where"](arange(width) < counts.unsqueeze(-1), columns, width).long()
    dense = ops["zeros_like"](columns[..., :1]).expand(*columns.shape[:-1], width + 1).clone()
    return dense.scatter(-1, listed, 1)[..., :width].contiguous()


_PAIRS = (
    "kv_num_blocks",
    "kv_indices",
    "full_kv_num_blocks",
    "full_kv_indices",
    "q_num_blocks",
    "q_indices",
    "full_q_num_blocks",
    "full_q_indices",
)


class BlockMask:
    """A mask_mod with the blocks of the scores in which it allows anything.

    Attributes:
      kv_num_blocks, kv_indices: for each row of blocks (B, H, rows), how many are allowed in part, and in (B, H, rows, columns) which ones, first.
      full_kv_num_blocks, full_kv_indices: the same of the blocks allowed as a whole, or None.
      q_num_blocks, q_indices, full_q_num_blocks, full_q_indices: the same for each column; or None.
      BLOCK_SIZE: (queries, keys) of a block; seq_lengths: numbers of queries and keys; mask_mod: the function.
    """

    dq_write_order = dq_write_order_full = dq_kv_order = dq_kv_order_spt = None

    def __init__(
        self,
        seq_lengths: tuple[int, int],
        kv_num_blocks: Tensor,
        kv_indices: Tensor,
        full_kv_num_blocks: Tensor | None,
        full_kv_indices: Tensor | None,
        q_num_blocks: Tensor | None,
        q_indices: Tensor | None,
        full_q_num_blocks: Tensor | None,
        full_q_indices: Tensor | None,
        BLOCK_SIZE: tuple[int, int] = (BLOCK, BLOCK),
        mask_mod: Callable = noop_mask,
    ):
        if kv_indices.dim() < 2:
            raise RuntimeError("BlockMask must have at least 2 dimensions")
        for side, pair in (("kv", (full_kv_num_blocks, full_kv_indices)), ("q", (full_q_num_blocks, full_q_indices))):
            if (pair[0] is None) != (pair[1] is None):
                raise AssertionError(f"full_{side}_num_blocks and full_{side}_indices must be both provided or omitted")
        self.seq_lengths, self.BLOCK_SIZE, self.mask_mod = seq_lengths, BLOCK_SIZE, mask_mod
        self.kv_num_blocks, self.kv_indices = kv_num_blocks, kv_indices
        self.full_kv_num_blocks, self.full_kv_indices = full_kv_num_blocks, full_kv_indices
        self.q_num_blocks, self.q_indices = q_num_blocks, q_indices
        self.full_q_num_blocks, self.full_q_indices = full_q_num_blocks, full_q_indices

    @classmethod
    def from_kv_blocks(
        cls,
        kv_num_blocks: Tensor,
        kv_indices: Tensor,
        full_kv_num_blocks: Tensor | None = None,
        full_kv_indices: Tensor | None = None,
        BLOCK_SIZE: int | tuple[int, int] = BLOCK,
        mask_mod: Callable | None = None,
        seq_lengths: tuple[int, int] | None = None,
        compute_q_blocks: bool = True,
    ) -> BlockMask:
        """The BlockMask of the blocks of each row; those of each column are found from them, if ``compute_q_blocks``."""
        if kv_indices.dim() < 2:
            raise RuntimeError("BlockMask must have at least 2 dimensions")
        if (full_kv_num_blocks is None) != (full_kv_indices is None):
            raise AssertionError("full_kv_num_blocks and full_kv_indices must be both provided or omitted")
        size = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else BLOCK_SIZE
        columns = [None] * 4
        if compute_q_blocks:
            columns[:2] = _ordered(_dense(kv_num_blocks, kv_indices).mT)
            columns[2:] = (None, None) if full_kv_indices is None else _ordered(_dense(full_kv_num_blocks, full_kv_indices).mT)
        if seq_lengths is None:
            seq_lengths = (kv_indices.shape[-2] * size[0], kv_indices.shape[-1] * size[1])
        rows = (kv_num_blocks, kv_indices, full_kv_num_blocks, full_kv_indices)
        return cls(seq_lengths, *rows, *columns, size, noop_mask if mask_mod is None else mask_mod)

    def as_tuple(self, flatten: bool = True) -> tuple:
        """The lengths, the lists of blocks, what torch's kernels order their sums by (None here), the size of a block and the mask_mod."""
        lengths, size = (self.seq_lengths, self.BLOCK_SIZE) if flatten else ((self.seq_lengths,), (self.BLOCK_SIZE,))
        orders = (self.dq_write_order, self.dq_write_order_full, self.dq_kv_order, self.dq_kv_order_spt)
        return (*lengths, *(getattr(self, name) for name in _PAIRS), *orders, *size, self.mask_mod)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the mask that this stands for."""
        return (*self.kv_indices.shape[:-2], *self.seq_lengths)

    def numel(self) -> int:
        """The number of elements of that mask."""
        return math.prod(self.shape)

    def sparsity(self) -> float:
        """How many percent of the scores lie in blocks that are left out."""
        counts = [counts for counts in (self.kv_num_blocks, self.full_kv_num_blocks) if counts is not None]
        blocks = sum(count.sum().item() for count in counts)
        return 100 * (1 - blocks * self.BLOCK_SIZE[0] * self.BLOCK_SIZE[1] / self.numel())

    def to_dense(self) -> Tensor:
        """1 for each block that is not left out."""
        dense = _dense(self.kv_num_blocks, self.kv_indices)
        return dense if self.full_kv_indices is None else dense | _dense(self.full_kv_num_blocks, self.full_kv_indices)

    def _replaced(self, lists: list, mask_mod: Callable, seq_lengths: tuple[int, int]) -> BlockMask:
        return BlockMask.from_kv_blocks(*lists, self.BLOCK_SIZE, mask_mod, seq_lengths, self.q_indices is not None)

    def __getitem__(self, index: Any) -> BlockMask:
        """The blocks of some batches, heads and rows; the mask_mod has to be set anew."""
        given = index if isinstance(index, tuple) else (index,)
        given = (*given, *[slice(None)] * 3)[:3]
        given = tuple(slice(i % n, i % n + 1) if isinstance(i, int) else i for i, n in zip(given, self.kv_num_blocks.shape, strict=False))
        lists = [None if getattr(self, name) is None else getattr(self, name)[given] for name in _PAIRS[:4]]
        return self._replaced(lists, _sliced_mask_mod_error, self.seq_lengths)

    def _adjust(self, new_q_len: int, new_kv_len: int) -> BlockMask:
        """The upper left part for fewer queries and keys."""
        rows, columns = (-(-length // size) for length, size in zip((new_q_len, new_kv_len), self.BLOCK_SIZE, strict=True))
        lists = []
        for counts, indices in ((self.kv_num_blocks, self.kv_indices), (self.full_kv_num_blocks, self.full_kv_indices)):
            lists += (None, None) if counts is None else _ordered(_dense(counts, indices)[..., :rows, :columns])
        return self._replaced(lists, self.mask_mod, (new_q_len, new_kv_len))

    def to(self, device: Any) -> BlockMask:
        """The same on a device."""
        moved = [None if getattr(self, name) is None else getattr(self, name).to(device) for name in _PAIRS]
        return BlockMask(self.seq_lengths, *moved, self.BLOCK_SIZE, self.mask_mod)

    def to_string(self, grid_size: int | tuple[int, int] = (20, 20), limit: int = 4) -> str:
        """A picture: █ for blocks that are there, ░ where only some of those shown by one sign are."""
        dense = self.to_dense().float()
        most = (grid_size, grid_size) if isinstance(grid_size, int) else grid_size
        steps = [max(1, -(-length // count)) for length, count in zip(dense.shape[-2:], most, strict=True)]
        pictures = []
        for number, place in enumerate(itertools.product(*map(range, dense.shape[:-2]))):
            if number == limit:
                pictures += ["...", "To print out more, set BlockMask.to_string(limit=N)"]
                pictures.append("You can also index (BlockMask[batch, head]) to choose a specific batch or head")
                break
            lines = ["".join(_sign(part.mean().item()) * 2 for part in rows.split(steps[1], 1)) for rows in dense[place].split(steps[0], 0)]
            pictures.append("\n".join([str(place), *lines, ""]))
        return "\n".join(pictures)

    def __str__(self) -> str:
        return f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%, \n{self.to_string().strip()}\n)"

    def __repr__(self) -> str:
        shapes = {name: None if getattr(self, name) is None else getattr(self, name).shape for name in _PAIRS}
        name = getattr(self.mask_mod, "__name__", self.mask_mod)
        shown = {**shapes, "BLOCK_SIZE": self.BLOCK_SIZE, "shape": self.shape, "sparsity": f"{self.sparsity():.2f}%", "mask_mod": name}
        return "BlockMask(\n" + ",\n".join(f"    {key}={value}" for key, value in shown.items()) + "\n)"


def _sign(part: float) -> str:
    return {1.0: "█", 0.0: " "}.get(part, "░")
