"""How operations work on the parts of DTensors: into which layout operands are brought, and how the result lies.

A rule is made for one axis of the mesh at a time, from the placements there, and knows shapes of the whole. What has no rule is done on the whole.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from funnn.engine.tensor.overrides import DisableTorchFunctionSubclass
from funnn.engine.tensor.tensor import Tensor
from funnn.torch.distributed.tensor._layout import Layout, Move, Spread
from funnn.torch.distributed.tensor.placement_types import Partial, Placement, Replicate, Shard

_UNARY = (
    "neg abs exp exp2 expm1 log log2 log10 log1p sqrt rsqrt square reciprocal sign floor ceil round trunc sin cos tan sinh cosh tanh asin acos atan erf "
    "sigmoid relu relu6 gelu silu mish elu selu celu leaky_relu softplus hardtanh hardswish hardsigmoid logsigmoid dropout clamp clip nan_to_num isnan "
    "isinf isfinite logical_not bitwise_not zeros_like ones_like full_like empty_like"
)
_BINARY = (
    "add sub mul div true_divide floor_divide remainder fmod pow maximum minimum atan2 rsub eq ne lt le gt ge logical_and logical_or logical_xor "
    "bitwise_and bitwise_or bitwise_xor where lerp addcmul addcdiv masked_fill copy fill"
)
_ELEMENTWISE = frozenset(f"{_UNARY} {_BINARY}".split())
#: What writes into its first operand, besides what ends in an underscore.
_WRITING = frozenset(["__setitem__"])
#: Element by element, and what they give of summands is a summand: of all operands, or of one and numbers.
_OF_ALL_SUMMANDS, _OF_ONE_SUMMAND = {"add", "sub"}, {"mul", "div", "true_divide", "neg"}


@dataclasses.dataclass
class _Axis:
    """What a rule says for an axis of the mesh.

    Attributes:
      targets: the placement of each operand.
      spread: the operands that are whole, and of which each process uses another part or uses it for another part.
      result: the placement of the result.
    """

    targets: list[Placement]
    result: Placement
    spread: frozenset[int] = frozenset()


Rule = Callable[[Sequence[Placement], Sequence[tuple[int, ...]], tuple[Any, ...], dict[str, Any]], _Axis]


def _whole(count: int) -> _Axis:
    return _Axis([Replicate()] * count, Replicate())


def _elementwise(name: str) -> Rule:
    def rule(placements: Sequence[Placement], shapes: Sequence[tuple[int, ...]], args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Axis:
        rank, count = max(map(len, shapes)), len(shapes)
        tensors = len([one for one in args if isinstance(one, Tensor)])  # of which several may be one operand
        numbers = len(args) - tensors + len(kwargs)
        is_linear = (name in _OF_ALL_SUMMANDS and not numbers) or (name in _OF_ONE_SUMMAND and tensors == 1 and isinstance(args[0], Tensor))
        if is_linear and all(one == Partial() for one in placements):
            return _Axis(list(placements), placements[0])
        split = next((one.dim + rank - len(shape) for one, shape in zip(placements, shapes, strict=True) if isinstance(one, Shard)), None)
        if split is None:
            return _whole(count)
        length = max(shape[split - rank] for shape in shapes if len(shape) >= rank - split)
        targets: list[Placement] = []
        for shape in shapes:
            dim = split - rank + len(shape)
            targets.append(Shard(dim) if dim >= 0 and shape[dim] == length else Replicate())
        return _Axis(targets, Shard(split), frozenset(number for number, one in enumerate(targets) if isinstance(one, Replicate)))

    return rule


def _linear(placements: Sequence[Placement], shapes: Sequence[tuple[int, ...]], args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Axis:
    """x (…, I) · weight (O, I) + bias (O,)."""
    last, bias = len(shapes[0]) - 1, len(shapes) > 2
    x, weight = placements[:2]

    def axis(of_x: Placement, of_weight: Placement, of_bias: Placement, result: Placement, *spread: int) -> _Axis:
        return _Axis([of_x, of_weight, *[of_bias] * bias], result, frozenset(number for number in spread if number < 2 + bias))

    if weight == Shard(0):
        return axis(Replicate(), Shard(0), Shard(0), Shard(last), 0)
    if weight == Shard(1) or x == Shard(last):
        return axis(Shard(last), Shard(1), Partial(), Partial())
    if isinstance(x, Shard):
        return axis(x, Replicate(), Replicate(), x, 1, 2)
    return _whole(len(shapes))


def _matmul(placements: Sequence[Placement], shapes: Sequence[tuple[int, ...]], args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Axis:
    """(…, M, K) · (K, N)."""
    last = len(shapes[0]) - 1
    if len(shapes) != 2 or last < 1 or len(shapes[1]) != 2:
        return _whole(len(shapes))
    a, b = placements
    if a == Shard(last) or b == Shard(0):
        return _Axis([Shard(last), Shard(0)], Partial())
    if isinstance(a, Shard):
        return _Axis([a, Replicate()], a, frozenset({1}))
    if b == Shard(1):
        return _Axis([Replicate(), Shard(1)], Shard(last), frozenset({0}))
    return _whole(2)


def _reduced(shape: tuple[int, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[set[int], bool]:
    """The dimensions that a sum is over, and whether they stay."""
    dim = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else None))
    keep = bool(kwargs.get("keepdim", args[2] if len(args) > 2 else False))
    dims = range(len(shape)) if dim is None or dim == () else [dim] if isinstance(dim, int) else dim
    return {one % len(shape) for one in dims} if shape else set(), keep


def _sum(placements: Sequence[Placement], shapes: Sequence[tuple[int, ...]], args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Axis:
    (placement,), (shape,) = placements, shapes
    dims, keep = _reduced(shape, args, kwargs)
    if isinstance(placement, Shard):
        if placement.dim in dims:
            return _Axis([placement], Partial())
        return _Axis([placement], Shard(placement.dim - (0 if keep else len([dim for dim in dims if dim < placement.dim]))))
    if placement == Partial():
        return _Axis([placement], placement)
    return _whole(1)


_RULES: dict[str, Rule] = {"linear": _linear, "matmul": _matmul, "mm": _matmul, "sum": _sum}


def _result_shape(name: str, shapes: Sequence[tuple[int, ...]], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, ...]:
    if name == "linear":
        return (*shapes[0][:-1], shapes[1][0])
    if name in ("matmul", "mm"):
        return (*shapes[0][:-1], shapes[1][-1])
    if name == "sum":
        dims, keep = _reduced(shapes[0], args, kwargs)
        return tuple(1 if dim in dims else size for dim, size in enumerate(shapes[0]) if keep or dim not in dims)
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(0 if 0 in sizes else max(sizes) for sizes in zip(*padded, strict=True))


def run_on_parts(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], kind: Any, wrap: Callable[[Tensor, Layout], Any]
) -> Any:
    """Run a function of torch on DTensors (of class ``kind``), by its rule on their parts, or else on the whole.

    Raises:
      RuntimeError: a tensor among them is none, or they lie on several meshes.
      NotImplementedError: one is changed in place by an operation that has no rule, or whose result lies otherwise.
    """
    operands: list[Any] = []
    _collect((args, kwargs), kind, operands)
    mesh, name = operands[0]._layout.mesh, function.__name__
    if any(one._layout.mesh != mesh for one in operands):
        raise RuntimeError(f"torch.{name}: DTensors on several meshes: {', '.join(str(one._layout.mesh) for one in operands)}")
    if name == "mean" and _is_plain_mean(args, kwargs):
        dims, _ = _reduced(args[0]._layout.shape, args, kwargs)
        return args[0].sum(*args[1:], **kwargs) / math.prod(args[0]._layout.shape[dim] for dim in dims)
    base, in_place = _base_name(name)
    if in_place or "out" in kwargs:
        _check_in_place(name, base, args, kwargs, kind)
    _check_mixed(name, args, kwargs, operands)
    rule = _elementwise(base) if base in _ELEMENTWISE else _RULES.get(base)
    if rule is None:
        return _on_the_whole(function, args, kwargs, operands, kind, wrap)
    layouts = [one._layout for one in operands]
    shapes = [layout.shape for layout in layouts]
    axes = [rule([layout.placements[axis] for layout in layouts], shapes, args, kwargs) for axis in range(mesh.ndim)]
    result = tuple(axis.result for axis in axes)
    if mesh.devices is not None:  # XLA adds summands up
        result = tuple(Replicate() if isinstance(one, Partial) else one for one in result)
    if in_place and (result != layouts[0].placements or tuple(axis.targets[0] for axis in axes) != result):
        raise NotImplementedError(
            f"{name} would change a DTensor's layout {layouts[0].placements} to {result}; redistribute the other operand before"
        )
    parts: list[Any] = [
        _brought(one, [axis.targets[number] for axis in axes], [number in axis.spread for axis in axes])
        for number, one in enumerate(operands)
    ]
    if in_place:
        parts[0] = args[0]  # itself, so that it is what changes
    with DisableTorchFunctionSubclass():
        part = function(*_replaced(args, kind, operands, parts), **_replaced(kwargs, kind, operands, parts))
    return args[0] if in_place else wrap(part, Layout(mesh, result, _result_shape(base, shapes, args, kwargs)))


def _base_name(name: str) -> tuple[str, bool]:
    """The name of an operation without what says that it is one in place, and whether it is."""
    if name in _WRITING or name.startswith("__i"):
        return name.strip("_").removeprefix("i"), True
    return (name.removesuffix("_"), True) if name.endswith("_") and not name.endswith("__") else (name, False)


def _check_in_place(name: str, base: str, args: tuple[Any, ...], kwargs: dict[str, Any], kind: Any) -> None:
    if "out" in kwargs or base not in _ELEMENTWISE or not isinstance(args[0], kind):
        raise NotImplementedError(
            f"{name} of a DTensor is not supported in place; make a new one from full_tensor() with distribute_tensor"
        )
    if getattr(args[0], "_is_copy", False):
        raise NotImplementedError(
            f"{name} would write into a copy: a view of a DTensor is made of the whole; use to_local(), whose memory is the part's"
        )


def _is_plain_mean(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return len(args) > 0 and hasattr(args[0], "_layout") and not set(kwargs) - {"dim", "keepdim"}


def _check_mixed(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], operands: Sequence[Any]) -> None:
    """Raise where an operand is a tensor of one process, and no number."""
    tensors: list[Any] = []
    _collect((args, kwargs), Tensor, tensors)
    if any(one.numel() != 1 or one.dim() > 0 for one in tensors if all(one is not operand for operand in operands)):
        raise RuntimeError(
            f"torch.{name}: got mixed torch.Tensor and DTensor, need to convert all torch.Tensor to DTensor before calling distributed operators! "
            "distribute_tensor(tensor, mesh, placements) and DTensor.from_local make one"
        )


def _brought(tensor: Any, targets: Sequence[Placement], spread: Sequence[bool]) -> Tensor:
    """The part of an operand in the layout that the rule wants."""
    layout = tensor._layout
    part = tensor._part()
    if layout.mesh.devices is not None:  # the whole, of which XLA finds the parts
        return part
    if tuple(targets) != layout.placements:
        part = Move.apply(part, layout, tuple(targets))
    for axis, is_spread in enumerate(spread):
        if is_spread and part.requires_grad:
            part = Spread.apply(part, layout.mesh.get_group(axis))
    return part


def _on_the_whole(
    function: Callable[..., Any], args: Any, kwargs: Any, operands: Sequence[Any], kind: Any, wrap: Callable[..., Any]
) -> Any:
    mesh = operands[0]._layout.mesh
    whole = [one.full_tensor() for one in operands]
    with DisableTorchFunctionSubclass():
        result = function(*_replaced(args, kind, operands, whole), **_replaced(kwargs, kind, operands, whole))

    def wrapped(value: Any) -> Any:
        if type(value) is Tensor:
            made = wrap(value, Layout(mesh, (Replicate(),) * mesh.ndim, tuple(value.shape)))
            made._is_copy = value._base is not None
            return made
        if isinstance(value, (list, tuple)) and any(isinstance(one, Tensor) for one in value):
            items = [wrapped(one) for one in value]
            return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
        return value

    return wrapped(result)


def _collect(value: Any, kind: Any, found: list[Any]) -> None:
    if isinstance(value, kind):
        if all(value is not one for one in found):
            found.append(value)
    elif isinstance(value, (list, tuple)):
        for one in value:
            _collect(one, kind, found)
    elif isinstance(value, dict):
        for one in value.values():
            _collect(one, kind, found)


def _replaced(value: Any, kind: Any, operands: Sequence[Any], parts: Sequence[Tensor]) -> Any:
    if isinstance(value, kind):
        return next(part for operand, part in zip(operands, parts, strict=True) if operand is value)
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)(_replaced(one, kind, operands, parts) for one in value)
    if isinstance(value, dict):
        return {key: _replaced(one, kind, operands, parts) for key, one in value.items()}
    return value
