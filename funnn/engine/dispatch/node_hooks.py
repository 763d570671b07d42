"""Hooks on nodes, called as PyTorch calls them: with a gradient for each output and each input of PyTorch's node.

Where PyTorch has several nodes for an operation and there is one here, the gradients between them are not there; what reads them raises.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

from funnn.engine.dispatch.arguments import named_arguments
from funnn.engine.dispatch.shown_nodes import steps_before

#: Functions whose node has not their name, and the nodes that are all of what PyTorch has for them; "*": each of their nodes.
_SINGLE: dict[str, str] = {
    "matmul": "Mm Bmm Mv Dot",
    "vecdot": "Vdot",
    "norm": "LinalgVectorNorm",
    **dict.fromkeys(("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), "Convolution"),
    **dict.fromkeys(("dropout2d", "dropout3d"), "Mul"),
    "batch_norm_with_stats": "NativeBatchNorm",
    "grid_sample": "GridSampler2D GridSampler3D",
    **dict.fromkeys(
        ("interpolate", "upsample_nearest", "upsample_bilinear"),
        "AdaptiveAvgPool2D AdaptiveAvgPool3D UpsampleBicubic2D UpsampleBilinear2D UpsampleLinear1D UpsampleTrilinear3D UpsampleNearest1D "
        "UpsampleNearest2D UpsampleNearest3D UpsampleNearestExact1D UpsampleNearestExact2D UpsampleNearestExact3D",
    ),
    "max_pool2d": "MaxPool2DWithIndices",
    "max_pool3d": "MaxPool3DWithIndices",
    "pad": "ConstantPadNd ReflectionPad1D ReflectionPad2D ReflectionPad3D ReplicationPad1D ReplicationPad2D ReplicationPad3D",
    **{
        "relu6": "Hardtanh",
        "rrelu": "RreluWithNoise",
        "selu": "Elu",
        "unfold": "Im2Col",
        "square": "Pow",
        "tile": "Repeat",
        "msort": "Sort",
    },
    **{"eigvals": "LinalgEig", "eigvalsh": "LinalgEigh", "svdvals": "LinalgSvd", "_svd_with_v": "LinalgSvd"},
    **{"_pick": "MaskedSelect", "_sum_to": "Sum", "to_dtype": "ToCopy", "filled": "Fill"},
    **dict.fromkeys(("along", "of_all", "_scatter", "read_window", "read_through", "_read_windows"), "*"),
    "write_window": "DiagonalScatter SelectScatter SliceScatter",
}
#: Functions whose node has other outputs in PyTorch: the numbers of those here, None for one that is not here.
_OUTPUTS: dict[str, tuple[int | None, ...]] = {
    "group_norm": (0, None, None),
    "instance_norm_with_stats": (0,),
    **dict.fromkeys(("eigvals", "eigvalsh"), (0, None)),
    "svdvals": (None, 0, None),
}
#: Nodes that are one for all parts in PyTorch, and one for each part here.
_OF_A_PART = ("SplitBackward0", "SplitWithSizesBackward0", "UnbindBackward0")


def torch_outputs(node: Any) -> tuple[int | None, ...]:
    """The numbers of the outputs that PyTorch's node has, those with a gradient, in its order; None for one that is not here."""
    given = _OUTPUTS.get(node.entry.op.name)
    if given is not None or node.outputs is None:
        return given or (0,)
    return tuple([number for number, output in enumerate(node.outputs) if output is not None and node.of_output(number) is node])


def refuse_hooks_of_parts(node: Any) -> None:
    """Raise where the node is that of one part, and a hook would get the gradients of all."""
    if node.entry.name in _OF_A_PART:
        raise NotImplementedError(
            f"a hook on {node.name()} is not supported, for each part of the tensor has a node of its own; register it on the parts, part.register_hook"
        )


def hook_as_shown(node: Any, hook: Callable[..., Any]) -> Callable[..., Any]:
    """A hook on a node as PyTorch calls it: with the gradients of what PyTorch's node leads to, which are those here but for a transposed weight.

    Those of other steps are not there: a hook that reads them, or gives others, raises.
    """
    refuse_hooks_of_parts(node)
    steps = steps_before(node.entry.op.name, node.entry.name)
    if steps is None and is_single(node):
        return hook
    known = steps is not None and {*steps} <= {"T", None}
    if known and "T" not in (steps or ()):
        return hook

    def transposed(gradients: Any) -> Any:
        if type(gradients) is not tuple or len(gradients) > len(steps or ()):
            return gradients
        shown = (steps or ())[-len(gradients) :]
        return tuple(g.t() if step == "T" and g is not None else g for g, step in zip(gradients, shown, strict=True))

    def call(gradients: tuple[Any, ...], outputs: tuple[Any, ...]) -> Any:
        result = hook(transposed(gradients) if known else _Unknown(node.name()), outputs)
        if result is None:
            return None
        if not known:
            raise _unknown(node.name())
        return transposed(result)

    return functools.update_wrapper(call, hook, ("__name__",), ())


def is_single(node: Any) -> bool:
    """Whether the node is all that PyTorch has for the call: it is called as the function is, or listed above."""
    op, name = node.entry.op, node.entry.name
    named = named_arguments(op.pure, node.entry.layout)
    if op.name != "to_dtype" and named.get("dtype") is not None:  # PyTorch casts first
        return False
    if named.get("padding") == "same":  # PyTorch may pad first
        return False
    stem = re.sub(r"Backward\d*(_copy)?$", "", name)
    if op.name in _SINGLE:
        return _SINGLE[op.name] == "*" or stem in _SINGLE[op.name].split()
    stem = stem.lower()
    functions = {path.rpartition(".")[2].replace("_", "") for path in (op.name, *op.names)}
    return not functions.isdisjoint((stem, re.sub("^(linalg|special|native)", "", stem)))


class _Unknown(Sequence[Any]):
    """The gradients of steps that are not there."""

    def __init__(self, name: str):
        self._name = name

    def __getitem__(self, index: Any) -> Any:
        raise _unknown(self._name)

    def __len__(self) -> int:
        raise _unknown(self._name)


def _unknown(name: str) -> NotImplementedError:
    return NotImplementedError(
        f"the grad_inputs of a hook on {name} are not supported, for its inputs are steps inside one operation; read its grad_outputs, register the "
        "hook on a tensor, x.register_hook, or use register_full_backward_hook of the module"
    )
