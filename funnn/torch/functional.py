"""torch.functional: names of torch's own namespace (for neural networks' functions see torch.nn.functional)."""

from funnn.engine.ops.kit.table import FUNCTIONS as _FUNCTIONS

_NAMES = (
    "atleast_1d atleast_2d atleast_3d block_diag broadcast_shapes broadcast_tensors cartesian_prod cdist chain_matmul einsum istft lu meshgrid "
    "norm pca_lowrank split stft svd_lowrank tensordot unique unique_consecutive unravel_index"
)
__all__ = _NAMES.split()
globals().update({name: _FUNCTIONS[name] for name in __all__})
