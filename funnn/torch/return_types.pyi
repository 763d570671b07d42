# Made by .ci/stubs.py from the live objects; write to the sources, and run it again.

from funnn.engine.tensor.tensor import Tensor as _Tensor
from typing import NamedTuple

__all__ = ['_lu_with_info', '_lu_with_info_out', 'aminmax', 'aminmax_out', 'cummax', 'cummax_out', 'cummin', 'cummin_out', 'frexp', 'frexp_out', 'geqrf', 'geqrf_out', 'histogram', 'histogram_out', 'histogramdd', 'histogramdd_out', 'kthvalue', 'kthvalue_out', 'linalg_cholesky_ex', 'linalg_cholesky_ex_out', 'linalg_eig', 'linalg_eig_out', 'linalg_eigh', 'linalg_eigh_out', 'linalg_inv_ex', 'linalg_inv_ex_out', 'linalg_ldl_factor', 'linalg_ldl_factor_ex', 'linalg_ldl_factor_ex_out', 'linalg_ldl_factor_out', 'linalg_lstsq', 'linalg_lstsq_out', 'linalg_lu', 'linalg_lu_factor', 'linalg_lu_factor_ex', 'linalg_lu_factor_ex_out', 'linalg_lu_factor_out', 'linalg_lu_out', 'linalg_qr', 'linalg_qr_out', 'linalg_slogdet', 'linalg_slogdet_out', 'linalg_solve_ex', 'linalg_solve_ex_out', 'linalg_svd', 'linalg_svd_out', 'lu_unpack', 'lu_unpack_out', 'max', 'max_out', 'median', 'median_out', 'min', 'min_out', 'mode', 'mode_out', 'nanmedian', 'nanmedian_out', 'qr', 'qr_out', 'slogdet', 'slogdet_out', 'sort', 'sort_out', 'svd', 'svd_out', 'topk', 'topk_out', 'triangular_solve', 'triangular_solve_out']



class _lu_with_info(NamedTuple):
    LU: _Tensor
    pivots: _Tensor
    info: _Tensor

class _lu_with_info_out(NamedTuple):
    LU: _Tensor
    pivots: _Tensor
    info: _Tensor

class aminmax(NamedTuple):
    min: _Tensor
    max: _Tensor

class aminmax_out(NamedTuple):
    min: _Tensor
    max: _Tensor

class cummax(NamedTuple):
    values: _Tensor
    indices: _Tensor

class cummax_out(NamedTuple):
    values: _Tensor
    indices: _Tensor

class cummin(NamedTuple):
    values: _Tensor
    indices: _Tensor

class cummin_out(NamedTuple):
    values: _Tensor
    indices: _Tensor

class frexp(NamedTuple):
    mantissa: _Tensor
    exponent: _Tensor

class frexp_out(NamedTuple):
    mantissa: _Tensor
    exponent: _Tensor

class geqrf(NamedTuple):
    a: _Tensor
    tau: _Tensor

class geqrf_out(NamedTuple):
    a: _Tensor
    tau: _Tensor

class histogram(NamedTuple):
    hist: _Tensor
    bin_edges: _Tensor

class histogram_out(NamedTuple):
    hist: _Tensor
    bin_edges: _Tensor

class histogramdd(NamedTuple):
    hist: _Tensor
    bin_edges: _Tensor

class histogramdd_out(NamedTuple):
    hist: _Tensor
    bin_edges: _Tensor

class kthvalue(NamedTuple):
    values: _Tensor
    indices: _Tensor

class kthvalue_out(NamedTuple):
    values: _Tensor
    indices: _Tensor

class linalg_cholesky_ex(NamedTuple):
    L: _Tensor
    info: _Tensor

class linalg_cholesky_ex_out(NamedTuple):
    L: _Tensor
    info: _Tensor

class linalg_eig(NamedTuple):
    eigenvalues: _Tensor
    eigenvectors: _Tensor

class linalg_eig_out(NamedTuple):
    eigenvalues: _Tensor
    eigenvectors: _Tensor

class linalg_eigh(NamedTuple):
    eigenvalues: _Tensor
    eigenvectors: _Tensor

class linalg_eigh_out(NamedTuple):
    eigenvalues: _Tensor
    eigenvectors: _Tensor

class linalg_inv_ex(NamedTuple):
    inverse: _Tensor
    info: _Tensor

class linalg_inv_ex_out(NamedTuple):
    inverse: _Tensor
    info: _Tensor

class linalg_ldl_factor(NamedTuple):
    LD: _Tensor
    pivots: _Tensor

class linalg_ldl_factor_ex(NamedTuple):
    LD: _Tensor
    pivots: _Tensor
    info: _Tensor

class linalg_ldl_factor_ex_out(NamedTuple):
    LD: _Tensor
    pivots: _Tensor
    info: _Tensor

class linalg_ldl_factor_out(NamedTuple):
    LD: _Tensor
    pivots: _Tensor

class linalg_lstsq(NamedTuple):
    solution: _Tensor
    residuals: _Tensor
    rank: _Tensor
    singular_values: _Tensor

class linalg_lstsq_out(NamedTuple):
    solution: _Tensor
    residuals: _Tensor
    rank: _Tensor
    singular_values: _Tensor

class linalg_lu(NamedTuple):
    P: _Tensor
    L: _Tensor
    U: _Tensor

class linalg_lu_factor(NamedTuple):
    LU: _Tensor
    pivots: _Tensor

class linalg_lu_factor_ex(NamedTuple):
    LU: _Tensor
    pivots: _Tensor
    info: _Tensor

class linalg_lu_factor_ex_out(NamedTuple):
    LU: _Tensor
    pivots: _Tensor
    info: _Tensor

class linalg_lu_factor_out(NamedTuple):
    LU: _Tensor
    pivots: _Tensor

class linalg_lu_out(NamedTuple):
    P: _Tensor
    L: _Tensor
    U: _Tensor

class linalg_qr(NamedTuple):
    Q: _Tensor
    R: _Tensor

class linalg_qr_out(NamedTuple):
    Q: _Tensor
    R: _Tensor

class linalg_slogdet(NamedTuple):
    sign: _Tensor
    logabsdet: _Tensor

class linalg_slogdet_out(NamedTuple):
    sign: _Tensor
    logabsdet: _Tensor

class linalg_solve_ex(NamedTuple):
    result: _Tensor
    info: _Tensor

class linalg_solve_ex_out(NamedTuple):
    result: _Tensor
    info: _Tensor

class linalg_svd(NamedTuple):
    U: _Tensor
    S: _Tensor
    Vh: _Tensor

class linalg_svd_out(NamedTuple):
    U: _Tensor
    S: _Tensor
    Vh: _Tensor

class lu_unpack(NamedTuple):
    P: _Tensor
    L: _Tensor
    U: _Tensor

class lu_unpack_out(NamedTuple):
    P: _Tensor
    L: _Tensor
    U: _Tensor

class max(NamedTuple):
    values: _Tensor
    indices: _Tensor

class max_out(NamedTuple):
    values: _Tensor
    indices: _Tensor

class median(NamedTuple):
    values: _Tensor
    indices: _Tensor

class median_out(NamedTuple):
    values: _Tensor
    indices: _Tensor

class min(NamedTuple):
    values: _Tensor
    indices: _Tensor

class min_out(NamedTuple):
    values: _Tensor
    indices: _Tensor

class mode(NamedTuple):
    values: _Tensor
    indices: _Tensor

class mode_out(NamedTuple):
    values: _Tensor
    indices: _Tensor

class nanmedian(NamedTuple):
    values: _Tensor
    indices: _Tensor

class nanmedian_out(NamedTuple):
    values: _Tensor
    indices: _Tensor

class qr(NamedTuple):
    Q: _Tensor
    R: _Tensor

class qr_out(NamedTuple):
    Q: _Tensor
    R: _Tensor

class slogdet(NamedTuple):
    sign: _Tensor
    logabsdet: _Tensor

class slogdet_out(NamedTuple):
    sign: _Tensor
    logabsdet: _Tensor

class sort(NamedTuple):
    values: _Tensor
    indices: _Tensor

class sort_out(NamedTuple):
    values: _Tensor
    indices: _Tensor

class svd(NamedTuple):
    U: _Tensor
    S: _Tensor
    V: _Tensor

class svd_out(NamedTuple):
    U: _Tensor
    S: _Tensor
    V: _Tensor

class topk(NamedTuple):
    values: _Tensor
    indices: _Tensor

class topk_out(NamedTuple):
    values: _Tensor
    indices: _Tensor

class triangular_solve(NamedTuple):
    solution: _Tensor
    cloned_coefficient: _Tensor

class triangular_solve_out(NamedTuple):
    solution: _Tensor
    cloned_coefficient: _Tensor
