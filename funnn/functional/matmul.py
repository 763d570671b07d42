"""Matrix products in groups (mixtures of experts) and of 8-bit numbers with scales."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from funnn.errors import ArgumentError, DtypeError, ShapeError
from funnn.functional import _checks as check
from funnn.functional._dispatch import public

_TILE = 128  # rows of one product at most: long enough that copying a group's matrix for it costs little


def _tiles(offs: jax.Array, total: int) -> tuple[jax.Array, jax.Array]:
    """Rows that are grouped by ``offs``, cut into tiles of one group each: the rows of every tile, and the group of every tile.

    The number of tiles is known from the sizes alone, ``total // size + groups``. Places that hold no row have the number ``total``; tiles that
    are not needed are empty.
    """
    groups = offs.shape[0]
    size = max(1, min(_TILE, total // max(groups, 1)))
    begins = jnp.concatenate([jnp.zeros(1, offs.dtype), offs[:-1]])
    needed = -((begins - offs) // size)  # rounded up
    ends = jnp.cumsum(needed)
    tile = jnp.arange(total // size + groups, dtype=offs.dtype)
    group = jnp.minimum(jnp.sum(tile[:, None] >= ends, axis=1), groups - 1)
    first = begins[group] + (tile - (ends - needed)[group]) * size
    rows = first[:, None] + jnp.arange(size, dtype=offs.dtype)
    return jnp.where((rows < offs[group][:, None]) & (tile < ends[-1])[:, None], rows, total), group


def _take(x: jax.Array, rows: jax.Array) -> jax.Array:
    if not x.shape[0]:
        return jnp.zeros((*rows.shape, *x.shape[1:]), x.dtype)
    return x.at[rows].get(mode="fill", fill_value=0)


def _rows_by_group(x: jax.Array, matrices: jax.Array, offs: jax.Array) -> jax.Array:
    """Each row of ``x`` (T, K) times its group's matrix (G, K, N): (T, N). Rows behind the last group are zero."""
    wide = check.accumulator(x.dtype)
    rows, group = _tiles(offs, x.shape[0])
    # The groups' matrices pass through the accumulator's dtype, in which their gradients are summed over tiles.
    products = jnp.matmul(_take(x, rows), matrices.astype(wide)[group].astype(x.dtype))
    return jnp.zeros((x.shape[0], matrices.shape[2]), x.dtype).at[rows].add(products, mode="drop")


def _sums_by_group(x: jax.Array, y: jax.Array, offs: jax.Array) -> jax.Array:
    """``xᵀ y`` of each group's rows: (T, M) and (T, N) to (G, M, N)."""
    wide = check.accumulator(x.dtype)
    rows, group = _tiles(offs, x.shape[0])
    products = jnp.einsum("cim,cin->cmn", _take(x, rows), _take(y, rows), preferred_element_type=wide)
    return jax.ops.segment_sum(products, group, offs.shape[0]).astype(x.dtype)


@public
def grouped_mm(
    mat_a: jax.Array,
    mat_b: jax.Array,
    *,
    offs: jax.Array | None = None,
    bias: jax.Array | None = None,
    out_dtype: DTypeLike | None = None,
) -> jax.Array:
    """Multiply matrices group by group: ``y_g = A_g B_g``, where an operand of rank 2 holds the groups one after the other.

    Args:
      mat_a: ``A``, of shape (T, K) with groups of rows, (G, M, K) with one matrix a group, or, when both are of rank 2, (M, T) with groups of columns.
      mat_b: ``B``, of shape (G, K, N), (K, T) with groups of columns, or, when both are of rank 2, (T, N) with groups of rows.
      offs: where each group ends in the axis T, an increasing int32 array of shape (G,); None when both operands are of rank 3.
      bias: not supported, in torch neither.
      out_dtype: the dtype of the result, which must be that of mat_a; default that.

    Returns:
      An array of the operands' dtype: (T, N) of a grouped A, (M, T) of a grouped B (zero behind the last group), else (G, M, N). Half precision is
      accumulated in float32.

    Raises:
      ShapeError: the shapes or the number of groups do not fit, or offs is missing or superfluous.
      DtypeError: the operands are not floating point or differ in dtype, or offs is not int32.
      NotImplementedError: a bias is given.

    Source: torch.nn.functional.grouped_mm, which wants rows aligned to 16 bytes where this takes any sizes, and also float64. The work grows with
    T, not with T · G: rows are multiplied in tiles, of one group each.

    Example:
      >>> import jax.numpy as jnp
      >>> experts = jnp.array([[[1.0]], [[10.0]]])
      >>> grouped_mm(jnp.array([[1.0], [2.0], [3.0]]), experts, offs=jnp.array([1, 3], jnp.int32)).tolist()
      [[1.0], [20.0], [30.0]]
    """
    mat_a = check.floating("grouped_mm", "mat_a", mat_a)
    mat_b = check.array("mat_b", mat_b)
    if mat_b.dtype != mat_a.dtype:
        raise DtypeError(f"grouped_mm: expected m1 and m2 to have the same dtype, but got: {mat_a.dtype} != {mat_b.dtype}")
    for name, x in (("mat_a", mat_a), ("mat_b", mat_b)):
        if x.ndim not in (2, 3):
            raise ShapeError(f"grouped_mm: {name} has to be 2 or 3d, but its shape is {check.shape(x)}")
    if mat_a.shape[-1] != mat_b.shape[-2]:
        raise ShapeError(
            f"grouped_mm: contraction dimension of mat_a and mat_b must match, but their shapes are {check.shape(mat_a)} and {check.shape(mat_b)}"
        )
    stacked = mat_a.ndim == mat_b.ndim == 3
    if stacked == (offs is not None):
        raise ShapeError(
            "grouped_mm: Have to provide offsets if there is a 2d matrix, or no offset if both matrices are 3d, but got operands of shapes "
            f"{check.shape(mat_a)} and {check.shape(mat_b)} and {'no offs' if offs is None else 'offs'}"
        )
    if bias is not None:
        raise NotImplementedError("grouped_mm: Bias not supported yet; call it without bias and add that.")
    if out_dtype is not None and jnp.dtype(out_dtype) != mat_a.dtype:
        raise DtypeError(f"Grouped gemm output dtype must match `mat_a` dtype, but got {jnp.dtype(out_dtype)} and {mat_a.dtype}")
    if stacked:
        if mat_a.shape[0] != mat_b.shape[0]:
            raise ShapeError(
                f"grouped_mm: batched dimension has to match, but it is {mat_a.shape[0]} in mat_a and {mat_b.shape[0]} in mat_b"
            )
        return jnp.matmul(mat_a, mat_b)
    offs = check.array("offs", offs)
    if offs.dtype != jnp.int32:
        raise DtypeError(f"grouped_mm: Offsets have to be int32, but got {offs.dtype}; convert them, e.g. offs.astype(jnp.int32)")
    if offs.ndim != 1 or not offs.size:
        raise ShapeError(f"grouped_mm: offs has to be 1D, with one number for each group, but its shape is {check.shape(offs)}")
    for name, x in (("mat_a", mat_a), ("mat_b", mat_b)):
        if x.ndim == 3 and x.shape[0] != offs.shape[0]:
            raise ShapeError(
                f"grouped_mm: matrix batch sizes have to match, but {name} has {x.shape[0]} and offs has {offs.shape[0]} groups"
            )
    if mat_a.ndim == mat_b.ndim:
        return _sums_by_group(mat_a.T, mat_b, offs)
    if mat_a.ndim == 2:
        return _rows_by_group(mat_a, mat_b, offs)
    return _rows_by_group(mat_b.T, mat_a.mT, offs).T


class ScalingType(enum.Enum):
    """What a scale of :func:`scaled_mm` belongs to: the whole matrix, each of its rows (columns of the right one), or blocks of it."""

    TensorWise = 0
    RowWise = 1
    BlockWise1x16 = 2
    BlockWise1x32 = 3
    BlockWise1x128 = 4
    BlockWise128x128 = 5


class SwizzleType(enum.Enum):
    """How the scales lie in memory, which has a meaning for blocks alone."""

    NO_SWIZZLE = 0
    SWIZZLE_32_4_4 = 1


def _only(name: str, value: Any) -> Any:
    """The one item of what torch takes as an item or a list."""
    if not isinstance(value, (list, tuple)):
        return value
    if len(value) != 1:
        raise ArgumentError(f"scaled_mm: Invalid scaling configuration: {name} must be one value, but got {len(value)}")
    return value[0]


def _scaled(name: str, x: jax.Array, scale: Any, recipe: Any, rows: tuple[int, int]) -> jax.Array:
    """The matrix in float32, times its scale; ``rows`` is the shape of a scale for each row."""
    factors, recipe = check.array(f"scale_{name}", _only(f"scale_{name}", scale)), _only(f"scale_recipe_{name}", recipe)
    if not isinstance(recipe, ScalingType):
        raise TypeError(f"scaled_mm: scale_recipe_{name} must be a ScalingType, but got {recipe!r}")
    if recipe not in (ScalingType.TensorWise, ScalingType.RowWise):
        raise NotImplementedError(
            f"scaled_mm: scale_recipe_{name}={recipe.name} is not implemented in funnn; multiply the matrix by its scales, repeated over the "
            "blocks, and use jnp.matmul."
        )
    if x.ndim != 2:
        raise ShapeError(f"scaled_mm: mat_{name} must be a matrix, but its shape is {check.shape(x)}")
    if jnp.finfo(x.dtype).bits != 8 or factors.dtype != jnp.float32:
        raise DtypeError(
            "scaled_mm: Invalid scaling configuration: a and b should be float8 and scales should be float32, "
            f"but mat_{name} is {x.dtype} and scale_{name} is {factors.dtype}"
        )
    expected = 1 if recipe is ScalingType.TensorWise else max(rows)
    if factors.size != expected or (recipe is ScalingType.RowWise and factors.shape != rows):
        raise ShapeError(
            f"scaled_mm: scale_{name} must have {expected} Float element{'s'[: expected != 1]}, got {factors.size}; its shape is "
            f"{check.shape(factors)}, and with RowWise it should be {list(rows)}"
        )
    return x.astype(jnp.float32) * (factors.reshape(()) if recipe is ScalingType.TensorWise else factors)


@public
def scaled_mm(
    mat_a: jax.Array,
    mat_b: jax.Array,
    scale_a: jax.Array | list[jax.Array],
    scale_recipe_a: ScalingType | list[ScalingType],
    scale_b: jax.Array | list[jax.Array],
    scale_recipe_b: ScalingType | list[ScalingType],
    swizzle_a: SwizzleType | list[SwizzleType] | None = None,
    swizzle_b: SwizzleType | list[SwizzleType] | None = None,
    bias: jax.Array | None = None,
    output_dtype: DTypeLike | None = jnp.bfloat16,
    contraction_dim: Sequence[int] = (),
    use_fast_accum: bool = False,
) -> jax.Array:
    """Multiply 8-bit matrices that come with scales: ``y = (s_a · A) (s_b · B) + bias``.

    Args:
      mat_a: ``A``, of shape (M, K) and a float8 dtype.
      mat_b: ``B``, of shape (K, N) and a float8 dtype.
      scale_a: ``s_a``, float32: one number, or of shape (M, 1).
      scale_recipe_a: TensorWise or RowWise, which says what scale_a belongs to.
      scale_b: ``s_b``, float32: one number, or of shape (1, N).
      scale_recipe_b: as that of mat_a.
      swizzle_a: how the scales of blocks lie in memory; without effect.
      swizzle_b: likewise.
      bias: of N numbers, added before the result is rounded; default none.
      output_dtype: the dtype of the result; None is that of mat_a; default bfloat16.
      contraction_dim: the axes of mat_a and mat_b that are summed over, (1, 0) or empty for that; default ().
      use_fast_accum: lets a GPU accumulate with fewer bits; without effect.

    Returns:
      An array of shape (M, N): computed in float32 and rounded once. A float8 result is clipped to its finite range.

    Raises:
      ShapeError: the shapes do not fit.
      DtypeError: the matrices are not of 8 bits, or the scales not float32.
      NotImplementedError: scales of blocks.
      ArgumentError: the recipes differ, or the axes are not (1, 0).

    Source: torch.nn.functional.scaled_mm.

    Example:
      >>> import jax.numpy as jnp
      >>> a, two = jnp.array([[1.0, 3.0]], jnp.float8_e4m3fn), jnp.array(2.0)
      >>> scaled_mm(a, a.T, two, ScalingType.TensorWise, two, ScalingType.TensorWise).tolist()
      [[40.0]]
    """
    mat_a, mat_b = check.floating("scaled_mm", "mat_a", mat_a), check.floating("scaled_mm", "mat_b", mat_b)
    a = _scaled("a", mat_a, scale_a, scale_recipe_a, (mat_a.shape[0] if mat_a.ndim else 1, 1))
    b = _scaled("b", mat_b, scale_b, scale_recipe_b, (1, mat_b.shape[-1] if mat_b.ndim else 1))
    if _only("scale_recipe_a", scale_recipe_a) is not _only("scale_recipe_b", scale_recipe_b):
        raise ArgumentError("scaled_mm: Invalid scaling configuration: scale_recipe_a and scale_recipe_b must be the same")
    if tuple(contraction_dim) not in ((), (1, 0)):
        raise ArgumentError(f"scaled_mm: contraction_dim must be (1, 0) or empty, but got {tuple(contraction_dim)}; transpose the matrices")
    if a.shape[1] != b.shape[0]:
        raise ShapeError(f"mat_a and mat_b shapes cannot be multiplied ({a.shape[0]}x{a.shape[1]} and {b.shape[0]}x{b.shape[1]})")
    y = a @ b
    if bias is not None:
        bias = check.floating("scaled_mm", "bias", bias)
        if bias.shape not in ((y.shape[1],), (1, y.shape[1])):
            raise ShapeError(f"scaled_mm: Bias must be size {y.shape[1]} but got {check.shape(bias)}")
        y = y + bias.astype(y.dtype)
    dtype = mat_a.dtype if output_dtype is None else jnp.dtype(output_dtype)
    if jnp.issubdtype(dtype, jnp.floating) and jnp.finfo(dtype).bits == 8:
        y = jnp.clip(y, float(jnp.finfo(dtype).min), float(jnp.finfo(dtype).max))
    return y.astype(dtype)
