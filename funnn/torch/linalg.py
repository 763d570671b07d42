"""torch.linalg: decompositions, solvers, norms and products of matrices."""

from funnn.torch._ops.matrix_checks import LinAlgError as LinAlgError
from funnn.torch._ops.table import namespace as _namespace

__all__ = ["LinAlgError", *sorted(_namespace("linalg"))]

globals().update(_namespace("linalg"))
