"""What the stubs say that the live objects do not: the results of functions without annotations, types by the names of parameters, overloads.

A function of torch without an annotation of its own gives a ``Tensor``, or the named tuple of its name in ``torch.return_types``, unless it stands
here. ``Any`` stands where the result depends on the values of the arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

if TYPE_CHECKING:  # the stubs find these by their names
    from funnn.torch import Size, Tensor, dtype, return_types


def _each(result: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), result)


#: Function of torch, or method or property of Tensor -> its result.
RESULTS: dict[str, str] = {
    **_each(
        "bool",
        "allclose equal is_complex is_conj is_floating_point is_inference is_neg is_nonzero is_pinned is_same_size is_set_to is_shared is_signed "
        "is_tensor can_cast is_cpu is_cuda __contains__",
    ),
    **_each(
        "int", "get_device get_num_threads get_num_interop_threads numel ndimension dense_dim sparse_dim const_data_ptr itemsize nbytes"
    ),
    **_each("dtype", "result_type promote_types"),
    **_each("str", "typename extra_repr"),
    **_each("Size", "broadcast_shapes"),
    **_each("tuple[int, ...]", "dim_order"),
    **_each(
        "tuple[Tensor, ...]",
        "split split_with_sizes chunk unbind tensor_split hsplit vsplit dsplit broadcast_tensors meshgrid unravel_index gradient",
    ),
    **_each("tuple[Tensor, Tensor]", "var_mean std_mean native_dropout max_pool1d_with_indices"),
    **_each(
        "tuple[Tensor, Tensor, Tensor]",
        "native_layer_norm native_batch_norm native_group_norm _native_batch_norm_legit svd_lowrank pca_lowrank",
    ),
    "embedding_bag": "tuple[Tensor, Tensor, Tensor, Tensor]",
    "__iter__": "Iterator[Tensor]",
    # one tensor or several, numbers, or what a function of the user's gives
    **_each(
        "Any",
        "unique unique_consecutive lu atleast_1d atleast_2d atleast_3d as_subclass __reduce_ex__ __reduce__ __deepcopy__ __dlpack__ "
        "__dlpack_device__ __funnn_function__ __cuda_array_interface__ _foreach_*",
    ),
}

#: The type of an argument that has no annotation (or Any), by its name; where the default is None, ``| None`` is added.
PARAMETERS: dict[str, str] = {
    "dtype": "dtype",
    "device": "device | str | int",
    "layout": "layout",
    "memory_format": "memory_format",
    "generator": "Generator",
    "requires_grad": "bool",
    "keepdim": "bool",
    "pin_memory": "bool",
    "params": "Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]",
    "lr": "float | Tensor",
    "betas": "tuple[float | Tensor, float | Tensor]",
    **_each("float", "eps weight_decay momentum dampening"),
    "foreach": "bool",
    "fused": "bool",
}

#: Names of sizes and dimensions that may be loose, in one sequence, or given by the name.
SIZES = "size sizes shape dims repeats"

#: Arguments of which there may be any number, or one list of them.
LOOSE: dict[str, str] = {
    **_each("int | Sequence[int]", SIZES),
    "tensors": "Tensor | Sequence[Tensor]",
}

#: Arguments that are numbers of dimensions where their default is one, and may be lists where it is not.
DIMENSIONS = frozenset(("dim", "dim0", "dim1", "dim2", "offset", "diagonal", "start_dim", "end_dim"))


class Overloads:
    """Functions whose result depends on which arguments are there. Those of Tensor take the tensor as ``self``."""

    @overload
    def max(input: Tensor, *, out: Tensor | None = None) -> Tensor: ...
    @overload
    def max(input: Tensor, dim: int, keepdim: bool = False, *, out: Any = None) -> return_types.max: ...
    @overload
    def max(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor: ...
    def max() -> None: ...

    @overload
    def min(input: Tensor, *, out: Tensor | None = None) -> Tensor: ...
    @overload
    def min(input: Tensor, dim: int, keepdim: bool = False, *, out: Any = None) -> return_types.min: ...
    @overload
    def min(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor: ...
    def min() -> None: ...

    @overload
    def median(input: Tensor) -> Tensor: ...
    @overload
    def median(input: Tensor, dim: int, keepdim: bool = False, *, out: Any = None) -> return_types.median: ...
    def median() -> None: ...

    @overload
    def nanmedian(input: Tensor) -> Tensor: ...
    @overload
    def nanmedian(input: Tensor, dim: int, keepdim: bool = False, *, out: Any = None) -> return_types.nanmedian: ...
    def nanmedian() -> None: ...

    @overload
    def where(condition: Tensor) -> tuple[Tensor, ...]: ...
    @overload
    def where(condition: Tensor, input: Any, other: Any, *, out: Tensor | None = None) -> Tensor: ...
    def where() -> None: ...

    @overload
    def nonzero(input: Tensor, *, out: Tensor | None = None, as_tuple: Literal[False] = False) -> Tensor: ...
    @overload
    def nonzero(input: Tensor, *, as_tuple: Literal[True]) -> tuple[Tensor, ...]: ...
    def nonzero() -> None: ...


class MethodOverloads:
    """The same of methods that are no functions of torch."""

    @overload
    def size(self: Tensor) -> Size: ...
    @overload
    def size(self: Tensor, dim: int) -> int: ...
    def size() -> None: ...

    @overload
    def stride(self: Tensor) -> tuple[int, ...]: ...
    @overload
    def stride(self: Tensor, dim: int) -> int: ...
    def stride() -> None: ...

    @overload
    def type(self: Tensor) -> str: ...
    @overload
    def type(self: Tensor, dtype: dtype | str | Callable[..., Any], non_blocking: bool = False) -> Tensor: ...
    def type() -> None: ...

    @overload
    def view(self: Tensor, *size: int | Sequence[int]) -> Tensor: ...
    @overload
    def view(self: Tensor, dtype: dtype) -> Tensor: ...
    def view() -> None: ...

    def where(self: Tensor, condition: Tensor, other: Any) -> Tensor: ...
