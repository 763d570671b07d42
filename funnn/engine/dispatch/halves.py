"""Complex numbers of two halves (torch.complex32), of which neither JAX nor NumPy has arrays.

Such a tensor is a window of that type on memory of float16 numbers, so views and copies of memory are as of any type. Whatever asks for its numbers as an array
gets :class:`~funnn.engine.types.dtype.NoArrays`; the function of torch in which that happened then runs again in complex64, and its results are
rounded to halves. So operations on other types pay nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
from jax import lax

from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.inplace import check_writable
from funnn.engine.dispatch.op import Op
from funnn.engine.memory.half_pairs import pairs_of
from funnn.engine.memory.storage import Window, whole
from funnn.engine.program.value import filled
from funnn.engine.state import thread
from funnn.engine.tape.grad_mode import no_grad
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import device as _device
from funnn.engine.types import dtype as _dtype
from funnn.engine.types.dtype import NoArrays, complex32, complex64, float16, float32
from funnn.engine.types.warning import say

#: What PyTorch computes in such numbers on a CPU, and what moves them.
_NAMES = """
    abs absolute add sub subtract mul multiply neg negative positive conj conj_physical resolve_conj resolve_neg eq ne isfinite isinf isnan isreal
    sgn diff addcmul kron rsub real imag view_as_real view_as_complex complex outer ger alias_copy as_strided as_strided_copy as_strided_scatter
    atleast_1d atleast_2d atleast_3d block_diag cat concat concatenate chunk clone column_stack contiguous diag_embed diagonal diagonal_copy
    diagonal_scatter dsplit dstack expand expand_as expand_copy fill flatten hsplit hstack index_copy index_fill index_put index_select masked_fill
    masked_select meshgrid movedim moveaxis narrow narrow_copy nonzero nonzero_static permute permute_copy ravel repeat repeat_interleave reshape
    reshape_as roll select select_copy select_scatter slice_copy slice_scatter split split_with_sizes split_copy split_with_sizes_copy squeeze
    squeeze_copy stack swapaxes swapdims t t_copy tile transpose transpose_copy tril triu unbind unbind_copy unflatten unfold unfold_copy
    unsafe_chunk unsafe_split unsqueeze unsqueeze_copy view view_as view_copy vsplit vstack row_stack where adjoint broadcast_to broadcast_tensors
    tensor_split fft_fftshift fft_ifftshift linalg_diagonal index_add _chunk_cat bfloat16 bool byte char short int long half float double chalf
    cdouble cfloat to type type_as copy zero item tolist empty empty_like empty_permuted empty_strided full full_like new_empty new_empty_strided
    new_full new_ones new_zeros new_tensor ones ones_like zeros zeros_like randn randn_like rand rand_like scalar_tensor tensor as_tensor asarray
    norm linalg_norm linalg_vector_norm var std allclose isclose all any is_nonzero count_nonzero data detach requires_grad numel result_type
    backward grad __getitem__ __setitem__ __eq__ __ne__ __add__ __radd__ __iadd__ __sub__ __rsub__ __isub__ __mul__ __rmul__ __imul__ __neg__
    __bool__ __contains__ rsub vander log_softmax softmax softmin var_mean std_mean combinations cartesian_prod cov flip fliplr flipud rot90 argwhere
    conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d pad constant_pad_nd float_power einsum inner l1_loss pairwise_distance
    triplet_margin_loss dist _unsafe_masked_index _unsafe_masked_index_put_accumulate feature_alpha_dropout pixel_shuffle pixel_unshuffle
    linalg_matrix_norm
"""
_COMPUTED = frozenset(_NAMES.split())
#: Functions whose results are of the type that their name says.
_CONVERSIONS = frozenset(
    ["bfloat16", "bool", "byte", "char", "short", "int", "long", "half", "float", "double", "cdouble", "cfloat", "item"]
)


_EXPERIMENTAL = "ComplexHalf support is experimental and many operators don't support it yet."


def _whole_numbers(pairs):
    return lax.complex(pairs[..., 0].astype(jnp.float32), pairs[..., 1].astype(jnp.float32))


def _parts(numbers, conj=False, neg=False):
    """The parts of complex numbers, of which a window in memory shows the conjugates or the negatives."""
    numbers = jnp.conj(numbers) if conj else numbers
    numbers = -numbers if neg else numbers
    return jnp.stack([numbers.real, numbers.imag], axis=-1).astype(jnp.float16)


_join, _split = Op(_whole_numbers, None), Op(_parts, None)


def _without_history(op: Op, operand: Tensor) -> Tensor:
    before = thread.grad
    try:
        thread.grad = False
        result: Tensor = call(op, (operand,), {})
        return result
    finally:
        thread.grad = before


def widened(tensor: Tensor) -> Tensor:
    """A copy in complex64 of all the memory that a complex32 tensor is on, seen through its window, with the tensor's history."""
    storage = tensor._storage
    count = storage.dtype.itemsize * math.prod(storage.shape) // complex32.itemsize
    memory = tensor._alias(Window((count,), (1,), 0, complex32))
    wide = _without_history(_join, pairs_of(memory))
    window = tensor._view_window()._replace(dtype=None)
    wide._window = None if window == whole((count,)) else window
    wide._tracked = tensor._tracked
    if tensor.requires_grad:
        wide._grad_fn, wide._output = tensor._edge()
    return wide


def narrowed(wide: Tensor) -> Tensor:
    """A complex64 tensor, with its history, as complex32 numbers in memory of their own; the order of its dimensions in memory stays."""
    say(_EXPERIMENTAL, once=True)
    every = wide if wide._window is None else wide._alias(None)
    tensor = Tensor._wrap(_without_history(_split, every)._operand())
    tensor._window = wide._view_window()._replace(dtype=complex32)
    tensor._grad_fn, tensor._output = wide._edge() if wide.requires_grad else (None, 0)
    return tensor


def _store(tensor: Tensor, wide: Tensor) -> None:
    """Write what a function made of the widened form of a tensor into the tensor."""
    before = thread.grad
    try:
        thread.grad = False
        pairs = pairs_of(tensor)
        pairs._tracked = tensor._tracked
        window = tensor._view_window()
        pairs._write(call(_split, (wide, window.conj, window.neg), {})._operand())
    finally:
        thread.grad = before
    if thread.grad and wide.requires_grad:
        if tensor._base is not None:
            raise NoArrays(
                "writing with gradients into a view of complex32 numbers is not supported; write into a clone() in complex64", complex32
            )
        tensor._set_history(*wide._edge())


class _Rerun:
    """A call in complex64: which tensors stand for which."""

    def __init__(self) -> None:
        self.wide: dict[int, tuple[Tensor, Tensor]] = {}  # by the identity of the narrow one

    def widen(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            kind = value.dtype
            if kind is complex32:
                return self.wide.setdefault(id(value), (value, widened(value)))[1]
            return value
        if value is complex32:
            return complex64
        if type(value) in (tuple, list):
            return type(value)([self.widen(item) for item in value])
        if isinstance(value, dict):
            return {name: self.widen(item) for name, item in value.items()}
        return value

    def narrow(self, value: Any, complexes: bool, reals: bool) -> Any:
        if isinstance(value, Tensor):
            if not complexes or value.dtype is not complex64:
                return value.half() if reals and value.dtype is float32 else value
            for tensor, wide in self.wide.values():
                if value is wide:
                    return tensor
                if value._storage is wide._storage:
                    return _as_view(tensor, value)
            return narrowed(value)
        if isinstance(value, (tuple, list)):
            parts = [self.narrow(item, complexes, reals) for item in value]
            return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
        return value


def _as_view(tensor: Tensor, wide: Tensor) -> Tensor:
    """The view of ``tensor`` that ``wide`` is of its widened form."""
    view = tensor._alias(wide._view_window()._replace(dtype=complex32))
    if wide.requires_grad:
        view._grad_fn, view._output = wide._edge()
    return view


def _leaves(value: Any) -> Iterator[Any]:
    if type(value) in (tuple, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _common(values: Iterator[Any]) -> _dtype.dtype | None:
    """The type that PyTorch promotes the operands of a call to."""
    ranked = []
    for value in values:
        if isinstance(value, Tensor):
            ranked.append((int(not value._shape()), value.dtype))
        elif type(value) is complex:
            ranked.append((2, _dtype.default_complex()))
    found: _dtype.dtype | None = _dtype.promote_ranked(ranked)
    return found


#: Functions that draw numbers, by what fills the parts, and with which parameters.
_DRAWS: dict[str, tuple[str, tuple[float, ...]]] = {
    **dict.fromkeys(("rand", "rand_like"), ("uniform_", ())),
    **dict.fromkeys(("randn", "randn_like"), ("normal_", (0.0, math.sqrt(0.5)))),
}


def _drawn(function: Callable, args: tuple, kwargs: dict[str, Any]) -> Tensor:
    """Random numbers, whose parts are drawn as halves."""
    rerun = _Rerun()
    options = rerun.widen({name: value for name, value in kwargs.items() if name not in ("generator", "requires_grad")})
    outline = function(*rerun.widen(args), **options | {"device": _device.META})
    if _device.wants_outline(kwargs.get("device")):
        return narrowed(outline)
    shape = outline._shape()
    pairs = Tensor._wrap(filled((*shape, 2), 0, float16.numpy))
    method, parameters = _DRAWS[function.__name__]
    getattr(pairs, method)(*parameters, generator=kwargs.get("generator"))
    say(_EXPERIMENTAL, once=True)
    made = pairs._alias(whole(shape)._replace(dtype=complex32))
    return made._set_requires_grad(kwargs.get("requires_grad", False))


def _normal(self: Tensor, mean: float = 0, std: float = 1, **options: Any) -> Tensor:
    return _draw_parts(self, "normal_", mean, std / math.sqrt(2), **options)


def _uniform(self: Tensor, *bounds: float, **options: Any) -> Tensor:
    return _draw_parts(self, "uniform_", *bounds, **options)


def _draw_parts(self: Tensor, method: str, *parameters: float, **options: Any) -> Tensor:
    """Fill the parts of a tensor; of a window that shows conjugates or negatives, what it shows is what was drawn."""
    pairs, window = pairs_of(self), self._view_window()
    getattr(pairs, method)(*parameters, **options)
    with no_grad():
        if window.neg:
            pairs.neg_()
        if window.conj:
            pairs.select(-1, 1).neg_()
    return self


_DRAWN_IN_PLACE = {"normal_": _normal, "uniform_": _uniform}


def answer_in_halves(function: Callable, args: tuple, kwargs: dict[str, Any], error: NoArrays) -> Any:
    """The result of a call of ``function``, which failed with ``error``, of complex numbers of two halves.

    Raises:
      NotImplementedError: PyTorch does not have it for such numbers, or something else has no arrays.
    """
    values = list(_leaves((args, tuple(kwargs.values()))))
    named = [value for value in values if isinstance(value, _dtype.dtype)]
    if error.kind is not complex32:
        raise error
    name = function.__name__
    writes = name.endswith("_") and not name.endswith("__")
    common = _common(iter(values))
    if common is float16:  # the result alone is complex
        common = complex32
    if name in _DRAWN_IN_PLACE and isinstance(args[0], Tensor) and args[0].dtype is complex32:
        check_writable(args[0], name)
        return _DRAWN_IN_PLACE[name](*args, **kwargs)
    if (name.removesuffix("_") if writes else name) not in _COMPUTED:
        raise NotImplementedError(
            f"\"{name}\" not implemented for 'ComplexHalf'; convert with .cfloat(), compute, and convert back with .chalf()"
        )
    if name in _DRAWS:
        return _drawn(function, args, kwargs)
    rerun = _Rerun()
    own, out = rerun.widen(args), kwargs.get("out")
    options = rerun.widen(kwargs)
    written = args[0] if (writes or name == "__setitem__") and args else out
    if not rerun.wide and not named:  # halves and a complex number
        if not any(isinstance(value, Tensor) and value.dtype is float16 for value in values):
            raise error
        own, options = _to_float(own), _to_float(options)
    if isinstance(written, Tensor) and written.dtype is complex32:
        check_writable(written, name if writes else None)
        function(*own, **options)
        _store(written, rerun.wide[id(written)][1])
        return None if name == "__setitem__" else written
    if named:
        complexes = named[-1] is complex32
        reals = False
    elif name in ("to", "type_as"):
        complexes, reals = any(item.dtype is complex32 for item in values[1:] if isinstance(item, Tensor)), False
    else:
        complexes = reals = common is complex32 and name not in _CONVERSIONS
    return rerun.narrow(function(*own, **options), complexes, reals)


def _to_float(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.float() if value.dtype is float16 else value
    if type(value) in (tuple, list):
        return type(value)([_to_float(item) for item in value])
    return {name: _to_float(item) for name, item in value.items()} if isinstance(value, dict) else value
