"""torch.linalg: decompositions, solvers, norms and products of matrices."""

from funnn.engine.ops.kit.table import namespace as _namespace
from funnn.engine.ops.linalg.matrix_checks import LinAlgError as LinAlgError

__all__ = ["LinAlgError", *sorted(_namespace("linalg"))]

globals().update(_namespace("linalg"))
