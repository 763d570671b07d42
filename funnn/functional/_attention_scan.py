"""Attention of many queries to many keys, in memory that grows with their number and not with its square.

The queries are taken a few at a time, by a scan. Of each only its outputs and what its scores were lowered by are kept; a derivative computes the
exponentials e of ``_attention_kernel`` again, block by block, and so do derivatives of it. Dao et al., "FlashAttention" (2022), whose blocks of keys
are not needed here: as few queries as a block has may meet all keys at once; within a window, those keys alone that one of them sees.

Of a mask or bias, which may be as large as all scores, each step reads its own part, where it stands; only a bias with a derivative is put in another
order first, for reverse mode of the reading would add zeros of its whole size at every step.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from funnn._types import Arrays
from funnn.functional import _attention_block as block
from funnn.functional._attention_block import Band, Operands
from funnn.functional._linear_map import linear_map
from funnn.functional._precision import precise_jvp
from funnn.functional._varying import vary_like

# A block has at most ROWS queries, and fewer where all heads together would have more scores than SCORES: what a CPU's caches hold.
ROWS, SCORES = 128, 2**19
ROWS_ELSEWHERE, SCORES_ELSEWHERE = 1024, 2**26  # a GPU or TPU wants large products; not measured

Tree = dict[str, Any]


def moves(band: Band) -> bool:
    """Whether each query sees only a part of the keys, that moves along with it."""
    return band.least is not None and band.most is not None


@functools.partial(precise_jvp, nondiff_argnums=(6, 7))
def run(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    bias: jax.Array | None,
    mask: jax.Array | None,
    drop: jax.Array | None,
    first: int,
    band: Band,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """o, r and what the scores were lowered by, of a block; ``first`` is the number of its first query less that of its first key."""
    given = Operands(q, k, v, bias, mask, drop)

    def step(rows: Tree, at: _At) -> tuple[Tree, Tree]:
        part = at.part(given, rows)
        e, shift = block.exponentials(part, at.first, band)
        o, r = block.means(part, e)
        return {"o": o, "r": r, "shift": shift}, {}

    found, _ = _by_rows(step, {"q": q}, given, first, band)
    return found["o"], found["r"], found["shift"]


@functools.partial(run.defjvp, symbolic_zeros=True)
def _run_jvp(first: int, band: Band, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Arrays, Arrays]:
    # Called as it is differentiated, so that no derivative of any order is that of the scan above, whose e would be kept.
    o, r, shift = run(*primals, first, band)
    live = block.live_tangents(tangents)
    if not live:
        return (o, r, shift), (jnp.zeros_like(o), jnp.zeros_like(r), jnp.zeros_like(shift))
    names = tuple(name for name, x in zip(Operands._fields, primals, strict=True) if x is not None)
    residuals = (*(x for x in primals if x is not None), o, r, shift)
    static = {"live": tuple(live), "names": names, "first": first, "band": band}
    moved = linear_map(_tangent, _cotangent, tuple(live.values()), residuals, (o, r), **static)
    return (o, r, shift), (*moved, jnp.zeros_like(shift))


def _tangent(linear: Arrays, residuals: Arrays, live: tuple[str, ...], names: tuple[str, ...], first: int, band: Band) -> Arrays:
    """ȯ and ṙ of the tangents of the operands named in ``live``."""
    given, kept = _unpacked(residuals, names)
    moved = dict(zip(live, linear, strict=True))
    of_rows = {"moved " + name: x for name, x in moved.items() if _by_query(name, x)}

    def step(rows: Tree, at: _At) -> tuple[Tree, Tree]:
        part = at.part(given, rows)
        e, _ = block.exponentials(part, at.first, band, rows["shift"])
        own = {name: at.columns(name, rows.get("moved " + name, x)) for name, x in moved.items()}
        o, r = block.tangent(own, part, rows["o"], rows["r"], e)
        return {"o": o, "r": r}, {}

    found, _ = _by_rows(step, {**_rows_of(given, live), **of_rows, **kept}, given, first, band)
    return found["o"], found["r"]


def _cotangent(linear: Arrays, residuals: Arrays, live: tuple[str, ...], names: tuple[str, ...], first: int, band: Band) -> Arrays:
    """The transpose of ``_tangent``: the cotangents of the operands named in ``live``."""
    given, kept = _unpacked(residuals, names)

    def step(rows: Tree, at: _At) -> tuple[Tree, Tree]:
        part = at.part(given, rows)
        e, _ = block.exponentials(part, at.first, band, rows["shift"])
        # The last block may have rows of the one before it, which are not counted again.
        of_o, of_r = (jnp.where(at.new(rows[name]), rows[name], 0) for name in ("of o", "of r"))
        found = block.cotangent(live, of_o, of_r, part, rows["o"], rows["r"], e)
        own = {name: found.pop(name) for name in live if name in rows}
        return {name: at.among_all_keys(name, x, given) for name, x in own.items()}, found

    all_rows = {**_rows_of(given, live), **kept, "of o": linear[0], "of r": linear[1]}
    others = [x for x in given if x is not None]
    of_rows, sums = _by_rows(step, all_rows, given, first, band, others, [name for name in live if name not in all_rows])
    found = {**of_rows, **sums}
    return tuple(found[name] for name in live)


def _unpacked(residuals: Arrays, names: tuple[str, ...]) -> tuple[Operands, Tree]:
    """The operands, and o, r and the shifts."""
    return Operands(**dict(zip(names, residuals, strict=False))), dict(zip(("o", "r", "shift"), residuals[-3:], strict=True))


def _by_query(name: str, x: jax.Array) -> bool:
    """Whether the operand of this name has an axis of queries."""
    return name == "q" or (name not in ("k", "v") and block.has_axis(x, -2))


def _rows_of(given: Operands, live: tuple[str, ...]) -> Tree:
    """What is taken apart before the loop: the queries, and a bias of their own that has a derivative."""
    bias = given.bias if "bias" in live else None
    return {"q": given.q} if bias is None or not _by_query("bias", bias) else {"q": given.q, "bias": bias}


class _At(NamedTuple):
    """Where a step of the loop is."""

    row: jax.Array  #: the number of its first query
    known: jax.Array  #: how many of its queries an earlier step had
    size: int  #: its queries
    column: jax.Array  #: the number of the first key
    span: int  #: its keys
    first: jax.Array  #: the number of the first query less that of the first key

    def part(self, given: Operands, rows: Tree) -> Operands:
        """The operands of this step: those in ``rows``, and the others' parts."""
        found: Tree = {name: self._own(name, x, name in rows) for name, x in {**given._asdict(), **rows}.items() if name in given._fields}
        return given._replace(**found)

    def _own(self, name: str, x: jax.Array | None, of_rows: bool) -> jax.Array | None:
        if x is None:
            return None
        if not of_rows and _by_query(name, x):
            x = lax.dynamic_slice_in_dim(x, self.row, self.size, x.ndim - 2)
        return self.columns(name, x)

    def columns(self, name: str, x: jax.Array) -> jax.Array:
        """The part of an operand that belongs to this step's keys."""
        axis = _key_axis(name, x)
        return x if axis is None or x.shape[axis] == self.span else lax.dynamic_slice_in_dim(x, self.column, self.span, axis)

    def new(self, rows: jax.Array) -> jax.Array:
        """Which of the rows no earlier step had."""
        return lax.ge(lax.broadcasted_iota(jnp.int32, rows.shape, rows.ndim - 2), self.known)

    def among_all_keys(self, name: str, x: jax.Array, given: Operands) -> jax.Array:
        """A cotangent of this step's keys, with zeros for the others."""
        like: Any = getattr(given, name)
        axis = _key_axis(name, like)
        if axis is None or x.shape[axis] == like.shape[axis]:
            return x
        shape = (*x.shape[:axis], like.shape[axis], *x.shape[axis + 1 :])
        return lax.dynamic_update_slice_in_dim(vary_like(jnp.zeros(shape, x.dtype), x), x, self.column, axis)

    def added(self, name: str, total: jax.Array, x: jax.Array) -> jax.Array:
        """``total``, a cotangent of all keys, and to it x, one of this step's."""
        axis = _key_axis(name, total)
        if axis is None or x.shape[axis] == total.shape[axis]:
            return total + x
        return lax.dynamic_update_slice_in_dim(total, self.columns(name, total) + x, self.column, axis)


def _key_axis(name: str, x: jax.Array) -> int | None:
    """The axis of keys of the operand of this name, if it has one."""
    if name in ("k", "v"):
        return x.ndim - 2
    return x.ndim - 1 if name != "q" and block.has_axis(x, -1) else None


def _by_rows(
    step: Callable[[Tree, _At], tuple[Tree, Tree]],
    rows: Tree,
    given: Operands,
    first: int,
    band: Band,
    others: Any = (),
    summed: Sequence[str] = (),
) -> tuple[Tree, Tree]:
    """What ``step`` gives: for a few rows at a time, put together, and the operands' cotangents named in ``summed``, to which all rows add."""
    queries, keys = given.q.shape[-2], given.k.shape[-2]
    rows_at_most, scores_at_most = (ROWS, SCORES) if jax.default_backend() == "cpu" else (ROWS_ELSEWHERE, SCORES_ELSEWHERE)
    width = band.most - band.least if band.most is not None and band.least is not None else keys
    most = max(1, min(rows_at_most, scores_at_most // max(1, math.prod(given.q.shape[:-2]) * min(keys, rows_at_most + width))))
    count = -(-queries // most)
    size = -(-queries // count)
    span = min(keys, size + width)

    @functools.partial(jax.checkpoint, prevent_cse=False)
    def body(sums: Tree, at: tuple[Tree, jax.Array]) -> tuple[Tree, Tree]:
        parts, number = at
        row = jnp.minimum(number * size, queries - size)
        column = jnp.clip(row + first - (band.most or 0), 0, keys - span)
        here = _At(row, number * size - row, size, column, span, row + first - column)
        found, added = step(parts, here)
        return {name: here.added(name, sums[name], x) for name, x in added.items()}, found

    parts = {name: _cut_up(x, count, size) for name, x in rows.items()}
    zeros = {name: jnp.zeros_like(getattr(given, name)) for name in summed}
    sums, found = lax.scan(body, vary_like(zeros, rows, others), (parts, jnp.arange(count, dtype=jnp.int32)))
    return jax.tree.map(lambda x: _put_together(x, queries), found), sums


def _cut_up(x: jax.Array, count: int, size: int) -> jax.Array:
    """(*, L, n) to (count, *, size, n), of which the last begins so early that it is full."""
    rows, whole = x.shape[-2], (count - 1) * size
    if count * size != rows:
        x = block.joined([block.cut(x, -2, slice(0, whole)), block.cut(x, -2, slice(rows - size, rows))])
    return jnp.moveaxis(x.reshape(*x.shape[:-2], count, size, x.shape[-1]), -3, 0)


def _put_together(x: jax.Array, rows: int) -> jax.Array:
    """The opposite of ``_cut_up``."""
    count, size = x.shape[0], x.shape[-2]
    x = jnp.moveaxis(x, 0, -3)
    x = x.reshape(*x.shape[:-3], x.shape[-3] * x.shape[-2], x.shape[-1])
    missing = count * size - rows
    if not missing:
        return x
    return block.joined(
        [block.cut(x, -2, slice(0, (count - 1) * size)), block.cut(x, -2, slice((count - 1) * size + missing, count * size))]
    )
