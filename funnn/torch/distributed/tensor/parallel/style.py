"""How a module's parameters, inputs and outputs lie on a mesh."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from funnn.engine.tensor.tensor import Tensor
from funnn.torch.distributed.device_mesh import DeviceMesh
from funnn.torch.distributed.tensor._dtensor import DTensor, distribute_module, distribute_tensor
from funnn.torch.distributed.tensor.placement_types import Placement, Replicate, Shard
from funnn.torch.nn.modules._layer_classes import Embedding, Linear
from funnn.torch.nn.modules.module import Module
from funnn.torch.nn.parameter import Parameter

__all__ = [
    "ColwiseParallel",
    "ParallelStyle",
    "PrepareModuleInput",
    "PrepareModuleInputOutput",
    "PrepareModuleOutput",
    "RowwiseParallel",
    "SequenceParallel",
]


class ParallelStyle:
    """How a module lies on a mesh; parallelize_module applies it."""

    src_data_rank: int | None = 0

    def _apply(self, module: Module, device_mesh: DeviceMesh) -> Module:
        raise NotImplementedError(f"{type(self).__name__} does not say how it is applied: define _apply(self, module, device_mesh)")


def _laid_out(value: Tensor, mesh: DeviceMesh, layout: Placement) -> DTensor:
    """A tensor between modules as a DTensor: a process has its part there, and a mesh of devices of one process the whole."""
    if mesh.devices is None:
        return DTensor.from_local(value, mesh, [layout])
    return DTensor.from_local(value, mesh).redistribute(placements=[layout])


def _between_modules(value: DTensor) -> Tensor:
    """A DTensor as a tensor between modules; see :func:`_laid_out`."""
    return value.to_local() if value.device_mesh.devices is None else value.full_tensor()


def _brought(value: Any, mesh: DeviceMesh, layout: Placement | None, wanted: Placement | None) -> Any:
    """A tensor as a DTensor that lies as wanted; what is no tensor, or has no layout, as it is."""
    if not isinstance(value, Tensor) or layout is None:
        return value
    found = value if isinstance(value, DTensor) else _laid_out(value, mesh, layout)
    return found if wanted is None else found.redistribute(placements=[wanted])


def _left(value: Any, mesh: DeviceMesh, layout: Placement | None, use_local: bool) -> Any:
    """A DTensor that lies as wanted, or its part."""
    if not isinstance(value, DTensor) or layout is None:
        return value
    found = value.redistribute(placements=[layout])
    return _between_modules(found) if use_local else found


class _OfWeights(ParallelStyle):
    """A style of modules with a weight: where the input is brought, how the parameters are split, how the output is left."""

    def __init__(self, *, input_layouts: Placement, output_layouts: Placement, use_local_output: bool = True):
        super().__init__()
        self.input_layouts, self.output_layouts, self.use_local_output = (input_layouts,), (output_layouts,), use_local_output

    def _wanted_input(self, module: Module) -> Placement:
        return Replicate()

    def _placement(self, module: Module, name: str) -> Placement:
        raise NotImplementedError

    def _apply(self, module: Module, device_mesh: DeviceMesh) -> Module:
        if not isinstance(module, (Linear, Embedding)):
            raise NotImplementedError(
                f"{type(self).__name__} currently only support nn.Linear and nn.Embedding, got {type(module).__name__}"
            )
        for name, parameter in list(module._parameters.items()):
            if parameter is not None:
                split = distribute_tensor(parameter, device_mesh, [self._placement(module, name)], src_data_rank=self.src_data_rank)
                module.register_parameter(name, Parameter(split, parameter.requires_grad))
        wanted = self._wanted_input(module)
        return distribute_module(
            module,
            device_mesh,
            None,
            lambda own, inputs, mesh: (_brought(inputs[0], mesh, self.input_layouts[0], wanted), *inputs[1:]),
            lambda own, output, mesh: _left(output, mesh, self.output_layouts[0], self.use_local_output),
        )


class ColwiseParallel(_OfWeights):
    """A Linear or Embedding of which each process has some of the outputs' features.

    Args:
      input_layouts: how inputs that are no DTensors lie, replicated by default.
      output_layouts: how the output is left, split along its last dimension by default.
      use_local_output: whether the output is the part of the process instead of a DTensor.
    """

    def __init__(self, *, input_layouts: Placement | None = None, output_layouts: Placement | None = None, use_local_output: bool = True):
        super().__init__(
            input_layouts=input_layouts or Replicate(), output_layouts=output_layouts or Shard(-1), use_local_output=use_local_output
        )

    def _placement(self, module: Module, name: str) -> Placement:
        return Shard(0 if isinstance(module, Linear) else 1)


class RowwiseParallel(_OfWeights):
    """A Linear of which each process has some of the inputs' features, or an Embedding of which it has some of the rows; the output is the sum.

    Args:
      input_layouts: how inputs that are no DTensors lie, split along the last dimension by default (replicated: that is for an Embedding).
      output_layouts: how the output is left, replicated by default.
      use_local_output: whether the output is the part of the process instead of a DTensor.
    """

    def __init__(self, *, input_layouts: Placement | None = None, output_layouts: Placement | None = None, use_local_output: bool = True):
        super().__init__(
            input_layouts=input_layouts or Shard(-1), output_layouts=output_layouts or Replicate(), use_local_output=use_local_output
        )

    def _wanted_input(self, module: Module) -> Placement:
        return Shard(-1) if isinstance(module, Linear) else Replicate()

    def _placement(self, module: Module, name: str) -> Placement:
        if isinstance(module, Embedding):
            return Shard(0)
        return Shard(1) if name == "weight" else Replicate()


class SequenceParallel(ParallelStyle):
    """A normalisation or dropout on a sequence that is split along a dimension.

    Args:
      sequence_dim: that dimension, 1 by default.
      use_local_output: whether the output is the part of the process instead of a DTensor.
    """

    def __init__(self, *, sequence_dim: int = 1, use_local_output: bool = False):
        super().__init__()
        self.sequence_sharding, self.sequence_dim, self.use_local_output = (Shard(sequence_dim),), sequence_dim, use_local_output

    def _apply(self, module: Module, device_mesh: DeviceMesh) -> Module:
        layout = self.sequence_sharding[0]
        return distribute_module(
            module,
            device_mesh,
            None,
            lambda own, inputs, mesh: (_brought(inputs[0], mesh, layout, layout), *inputs[1:]),
            lambda own, output, mesh: _left(output, mesh, layout, self.use_local_output),
        )


def _each(values: Any) -> tuple[Any, ...]:
    return tuple(values) if isinstance(values, (tuple, list)) else (values,)


class PrepareModuleInput(ParallelStyle):
    """Brings a module's inputs into layouts.

    Args:
      input_layouts: how inputs that are no DTensors lie, None for those that stay as they are.
      desired_input_layouts: how they are wanted.
      input_kwarg_layouts, desired_input_kwarg_layouts: the same of inputs by name.
      use_local_output: whether the module gets the parts of the process.
    """

    def __init__(
        self,
        *,
        input_layouts: Any = None,
        desired_input_layouts: Any = None,
        input_kwarg_layouts: dict[str, Placement] | None = None,
        desired_input_kwarg_layouts: dict[str, Placement] | None = None,
        use_local_output: bool = False,
    ):
        super().__init__()
        self.input_layouts = None if input_layouts is None else _each(input_layouts)
        self.desired_input_layouts = None if desired_input_layouts is None else _each(desired_input_layouts)
        self.input_kwarg_layouts, self.desired_input_kwarg_layouts = input_kwarg_layouts or {}, desired_input_kwarg_layouts or {}
        self.use_local_output = use_local_output
        if self.input_layouts is not None and (
            self.desired_input_layouts is None or len(self.desired_input_layouts) != len(self.input_layouts)
        ):
            raise AssertionError("input_layouts and desired_input_layouts should have same length!")

    def _apply(self, module: Module, device_mesh: DeviceMesh) -> Module:
        def prepare(own: Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
            layouts, wanted = self.input_layouts or (None,) * len(inputs), self.desired_input_layouts or (None,) * len(inputs)
            if len(layouts) != len(inputs):
                raise ValueError("module inputs and input_layouts should have same length!")
            brought = tuple(self._prepared(*each, device_mesh) for each in zip(inputs, layouts, wanted, strict=True))
            by_name = {
                name: self._prepared(value, self.input_kwarg_layouts.get(name), self.desired_input_kwarg_layouts.get(name), device_mesh)
                for name, value in named.items()
            }
            return brought, by_name

        module.register_forward_pre_hook(prepare, with_kwargs=True)
        return module

    def _prepared(self, value: Any, layout: Placement | None, wanted: Placement | None, mesh: DeviceMesh) -> Any:
        found = _brought(value, mesh, layout, wanted)
        return _between_modules(found) if self.use_local_output and isinstance(found, DTensor) and layout is not None else found


class PrepareModuleOutput(ParallelStyle):
    """Brings a module's outputs into layouts.

    Args:
      output_layouts: how outputs that are no DTensors lie, None for those that stay as they are.
      desired_output_layouts: how they are wanted.
      use_local_output: whether the parts of the process are given.
    """

    def __init__(self, *, output_layouts: Any, desired_output_layouts: Any, use_local_output: bool = True):
        super().__init__()
        self.output_layouts, self.desired_output_layouts = _each(output_layouts), _each(desired_output_layouts)
        self.use_local_output = use_local_output
        if len(self.output_layouts) != len(self.desired_output_layouts):
            raise AssertionError("output_layouts and desired_output_layouts should have same length!")

    def _apply(self, module: Module, device_mesh: DeviceMesh) -> Module:
        def leave(own: Module, inputs: Any, outputs: Any) -> Any:
            found = _each(outputs)
            if len(found) != len(self.output_layouts):
                raise ValueError("module outputs and output_layouts should have same length!")
            left = [
                _left(_brought(value, device_mesh, layout, None), device_mesh, wanted, self.use_local_output)
                for value, layout, wanted in zip(found, self.output_layouts, self.desired_output_layouts, strict=True)
            ]
            return tuple(left) if isinstance(outputs, (tuple, list)) else left[0]

        module.register_forward_hook(leave)
        return module


class PrepareModuleInputOutput(ParallelStyle):
    """Brings a module's inputs and outputs into layouts; see PrepareModuleInput and PrepareModuleOutput."""

    def __init__(
        self,
        *,
        input_layouts: Any = None,
        desired_input_layouts: Any = None,
        input_kwarg_layouts: dict[str, Placement] | None = None,
        desired_input_kwarg_layouts: dict[str, Placement] | None = None,
        use_local_input: bool = False,
        output_layouts: Any = None,
        desired_output_layouts: Any = None,
        use_local_output: bool = True,
    ):
        super().__init__()
        self._styles: Sequence[ParallelStyle] = (
            PrepareModuleInput(
                input_layouts=input_layouts,
                desired_input_layouts=desired_input_layouts,
                input_kwarg_layouts=input_kwarg_layouts,
                desired_input_kwarg_layouts=desired_input_kwarg_layouts,
                use_local_output=use_local_input,
            ),
            PrepareModuleOutput(
                output_layouts=output_layouts, desired_output_layouts=desired_output_layouts, use_local_output=use_local_output
            ),
        )

    def _apply(self, module: Module, device_mesh: DeviceMesh) -> Module:
        for style in self._styles:
            style._apply(module, device_mesh)
        return module
