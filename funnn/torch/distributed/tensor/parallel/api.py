"""Applies styles to the modules within a module."""

from __future__ import annotations

from fnmatch import fnmatch

from funnn.torch.distributed.device_mesh import DeviceMesh
from funnn.torch.distributed.tensor.parallel.style import ParallelStyle
from funnn.torch.nn.modules.module import Module

__all__ = ["parallelize_module"]


def parallelize_module(
    module: Module,
    device_mesh: DeviceMesh | None = None,
    parallelize_plan: ParallelStyle | dict[str, ParallelStyle] | None = None,
    *,
    src_data_rank: int | None = 0,
) -> Module:
    """The module with parameters split over the processes of a mesh of one axis.

    Args:
      module: is changed, and returned.
      device_mesh: the processes.
      parallelize_plan: a style for the module itself, or styles by the paths of modules within it, in which ``*`` stands for any name.
      src_data_rank: as distribute_tensor.

    Raises:
      ValueError: the mesh has several axes; pass one of them, ``mesh["tp"]``.
      TypeError: the plan is none.
    """
    if device_mesh is None:
        raise RuntimeError("device_mesh is needed: pass that of init_device_mesh(device_type, mesh_shape)")
    if device_mesh.ndim != 1:
        raise ValueError(
            f"Tensor Parallel only accepts a 1D DeviceMesh, but found {device_mesh.ndim}D! Pass one of its axes, as in mesh['tp']"
        )
    if isinstance(parallelize_plan, ParallelStyle):
        parallelize_plan.src_data_rank = src_data_rank
        return parallelize_plan._apply(module, device_mesh)
    if not isinstance(parallelize_plan, dict):
        raise TypeError(f"Expect Union[ParallelStyle, Dict[str, ParallelStyle]] for parallelize_plan, {type(parallelize_plan)} found!")
    for pattern, style in parallelize_plan.items():
        found = [(name, child) for name, child in module.named_modules() if _fits(name, pattern)]
        for _, child in found:
            parallelize_module(child, device_mesh, style, src_data_rank=src_data_rank)
    return module


def _fits(name: str, pattern: str) -> bool:
    """Whether the path of a module fits a pattern, name by name."""
    names, patterns = name.split("."), pattern.split(".")
    return len(names) == len(patterns) and all(fnmatch(one, other) for one, other in zip(names, patterns, strict=True))
