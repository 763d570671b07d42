"""Singular values of large matrices by random projection."""

from __future__ import annotations

from typing import Any

from funnn.engine.ops.kit.table import FUNCTIONS, publish
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype


def _basis(A: Tensor, count: int, steps: int) -> Tensor:
    """Orthonormal columns that span nearly what A's largest singular vectors span: a random start, then A·Aᴴ applied ``steps`` times."""
    orthonormal = FUNCTIONS["linalg.qr"]
    kind = A.dtype if A.dtype.category >= 2 else _dtype.get_default_dtype()
    Q = orthonormal(A @ FUNCTIONS["randn"](A.shape[-1], count, dtype=kind)).Q
    for _ in range(steps):
        Q = orthonormal(A @ orthonormal(A.mH @ Q).Q).Q
    return Q


def svd_lowrank(A: Tensor, q: int | None = 6, niter: int | None = 2, M: Any = None) -> tuple[Tensor, Tensor, Tensor]:
    """U, S, V with A ≈ U·diag(S)·Vᴴ and q singular values (of A − M, if given), exact where the rank is at most q.

    From a random matrix, so it depends on the seed (Halko, Martinsson, Tropp 2009, algorithm 5.1).
    """
    A = A if M is None else A - M.broadcast_to(A.shape)
    wide = A.shape[-2] < A.shape[-1]
    A = A.mH if wide else A
    Q = _basis(A, 6 if q is None else q, 2 if niter is None else niter)
    U, S, Vh = FUNCTIONS["linalg.svd"](Q.mH @ A, full_matrices=False)
    U, V = Q @ U, Vh.mH
    return (V, S, U) if wide else (U, S, V)


def pca_lowrank(A: Tensor, q: int | None = None, center: bool = True, niter: int = 2) -> tuple[Any, Any, Any]:
    """The q principal components of the rows of A: svd_lowrank of A with its columns' means subtracted (if ``center``)."""
    rows, columns = A.shape[-2:]
    if q is None:
        q = min(6, rows, columns)
    elif not 0 <= q <= min(rows, columns):
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(rows, columns)}")
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    return svd_lowrank(A - A.mean(dim=-2, keepdim=True) if center else A, q, niter)


publish("svd_lowrank", svd_lowrank, method=False)
publish("pca_lowrank", pca_lowrank, method=False)
