"""The casts of mixed precision: which operations take operands of 16 bits and which float32, under ``torch.autocast``.

``thread.autocast`` is None, or the Casting in force on this thread; ``call`` asks it for the operands. A cast is an operation of the tape
(ToCopyBackward0), so gradients come back in the type of what was cast. The lists are torch's, in the names of the functions that compute here.
"""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable
from typing import Any

from funnn.engine.state import thread
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype

LOWER, FLOAT32, WIDEST, REFUSED = "lower", "float32", "widest", "refused"


def _pad(args: tuple, kwargs: dict) -> str | None:
    """On a CPU torch reflects in float32 along one or two dimensions, and replicates along any."""
    pad, how = args[1] if len(args) > 1 else kwargs["pad"], args[2] if len(args) > 2 else kwargs.get("mode", "constant")
    return FLOAT32 if how == "replicate" or (how == "reflect" and len(pad) <= 4) else None


def _inner(args: tuple, kwargs: dict) -> str | None:
    """Of vectors it is ``dot``, with a number ``mul``; else a product of matrices."""
    ranks = sorted(value.ndim for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
    return None if ranks[0] == 0 or ranks == [1, 1] else LOWER


def _einsum(args: tuple, kwargs: dict) -> str | None:
    """A product of matrices where operands share an index that is summed; else a product of elements."""
    left, _, output = args[0].replace(" ", "").partition("->")
    if "->" not in args[0]:
        output = "".join(letter for letter in left if left.count(letter) == 1)
    shared = (letter for letter in set(left) - set(output) - set(".,") if sum(letter in term for term in left.split(",")) > 1)
    return LOWER if any(shared) else None


_CONVOLUTIONS = "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d"
_PRODUCTS = f"addbmm addmm baddbmm bmm linear matmul mm prelu scaled_dot_product_attention _multi_dot vecdot {_CONVOLUTIONS}"
_RECURRENT = "lstm rnn_tanh rnn_relu rnn_tanh_cell rnn_relu_cell"
_LOSSES = (
    "binary_cross_entropy_with_logits cosine_embedding_loss cross_entropy hinge_embedding_loss kl_div l1_loss linear_cross_entropy "
    "margin_ranking_loss mse_loss multi_margin_loss multilabel_margin_loss nll_loss poisson_nll_loss smooth_l1_loss soft_margin_loss "
    "triplet_margin_loss"
)
_FOURIER = "fft ifft fft2 ifft2 fftn ifftn rfft irfft rfft2 irfft2 rfftn irfftn hfft ihfft hfft2 ihfft2 hfftn ihfftn _stft _istft"
_MATRICES = (
    "_cholesky cholesky_ex cholesky_inverse cholesky_solve _cond linalg_eig eigvals linalg_eigh eigvalsh geqrf householder_product inv_ex "
    "_least_squares lu_factor_ex _older_lu_solve matrix_rank ormqr qr linalg_qr solve_ex _svd_with_v linalg_svd svdvals triangular_solve"
)
_POOLS = (
    "adaptive_avg_pool3d adaptive_max_pool3d avg_pool3d fractional_max_pool2d fractional_max_pool3d lp_pool3d max_pool3d max_unpool1d "
    "max_unpool2d max_unpool3d"
)
_GPU_POWERS = (
    "acos asin cosh cosine_similarity cumprod cumsum dist erfinv exp expm1 group_norm layer_norm log log10 log1p log2 log_softmax norm "
    "normalize pow reciprocal renorm rsqrt sinh softmax softmin softplus sum tan _small_power _power"
)


def _policies(**names: str) -> dict[str, str]:
    return {name: policy for policy, listed in names.items() for name in listed.split()}


#: The kind of device -> name of a pure function -> its policy, or a function of the call's arguments that gives it.
_POLICIES: dict[str, dict[str, Any]] = {
    "cpu": {
        **_policies(
            lower=f"{_PRODUCTS} {_RECURRENT} _tensordot",
            float32=f"{_LOSSES} {_FOURIER} {_MATRICES} {_POOLS} adaptive_log_softmax huber_loss binary_cross_entropy cdist ctc_loss grid_sample polar prod "
            "_quantile trace",
            widest="cat stack _index_copy",
        ),
        **{"pad": _pad, "inner": _inner, "_einsum": _einsum},
    },
    "cuda": {
        **_policies(
            lower=f"{_PRODUCTS} {_RECURRENT} addmv addr mv gru gru_cell lstm_cell",
            float32=f"{_LOSSES} {_GPU_POWERS} cdist pdist prod ctc_loss",
            widest="addcdiv addcmul atan2 bilinear cat _cross dot grid_sample index_put _scatter stack _tensordot",
            refused="binary_cross_entropy",
        ),
        **{"inner": _inner, "_einsum": _einsum},
    },
}


class Settings(threading.local):
    """What ``torch.set_autocast_…`` has set on this thread, and the casts of parameters that the outermost region keeps."""

    def __init__(self):
        self.enabled = {"cpu": False, "cuda": False}
        self.dtypes = {"cpu": _dtype.bfloat16, "cuda": _dtype.float16}
        self.cache_enabled = True
        self.nesting = 0
        self.cache: dict[tuple, tuple] = {}
        self.tracing: Any = None  # in which transformation the outermost region was entered; the cache is of that one

    def refresh(self) -> None:
        """Put the Casting of the tensors' device into force, or none."""
        here = "cuda" if _dtype.accelerated() else "cpu"
        thread.autocast = casting(here, self.dtypes[here]) if self.enabled[here] else None

    def enter(self) -> int:
        """Count one more region; how many there are."""
        if self.nesting == 0:
            self.tracing = thread.tracing
        self.nesting += 1
        return self.nesting

    def leave(self) -> int:
        """Count one region less; after the outermost the cache is empty."""
        self.nesting -= 1
        if self.nesting == 0:
            self.cache.clear()
        return self.nesting


settings = Settings()


class Casting:
    """The casts on one kind of device to one type of 16 bits."""

    def __init__(self, device: str, dtype: _dtype.dtype):
        self.dtype, self._policies = dtype, _POLICIES[device]
        self._known: dict[Any, Any] = {}

    def operands(self, op: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        """The arguments of a call with the Tensors among them cast as the operation's list says."""
        try:
            policy = self._known[op]
        except KeyError:
            policy = self._known[op] = self._policies.get(op.name) if op.pure.__module__.startswith("funnn.") else None
        if policy is None:
            return args, kwargs
        if callable(policy):
            policy = policy(args, kwargs)
        kind = {LOWER: self.dtype, FLOAT32: _dtype.float32}.get(policy)
        if policy == REFUSED:
            raise RuntimeError(
                f"{op.name} is unsafe to autocast: its gradient does not fit float16. Use {op.name}_with_logits on what went into the sigmoid, or "
                "compute it under torch.autocast('cuda', enabled=False)"
            )
        if policy == WIDEST:
            kind = self._widest((*args, *kwargs.values()))
        return (
            (args, kwargs) if kind is None else (self._cast(args, kind), {name: self._cast(value, kind) for name, value in kwargs.items()})
        )

    def _cast(self, value: Any, kind: _dtype.dtype) -> Any:
        if isinstance(value, Tensor):
            dtype = value.dtype
            if dtype is kind or not dtype.is_floating_point or dtype is _dtype.float64:
                return value
            keep = settings.cache_enabled and kind is self.dtype and dtype is _dtype.float32
            return (
                _kept_cast(value, kind)
                if keep and value.requires_grad and value._grad_fn is None and value._base is None
                else value.to(kind)
            )
        return type(value)([self._cast(item, kind) for item in value]) if type(value) in (tuple, list) else value

    def _widest(self, values: Any) -> _dtype.dtype | None:
        """float32 if an operand is; else all are of the region's type, and stay. Where there is float64, promotion is as without autocast."""
        kinds = [value.dtype for value in _tensors(values) if value.is_floating_point()]
        if _dtype.float64 in kinds or set(kinds) <= {self.dtype}:
            return None
        before = kinds[: kinds.index(_dtype.float32)] if _dtype.float32 in kinds else kinds  # behind a float32, torch takes any type
        unexpected = next((kind for kind in before if kind is not self.dtype), None)
        if unexpected is not None:
            raise RuntimeError(
                f"Unexpected floating ScalarType {unexpected} under autocast to {self.dtype}; convert the operand with .to({self.dtype})"
            )
        return _dtype.float32


def _tensors(values: Any) -> Any:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _tensors(value)


def _kept_cast(leaf: Tensor, kind: _dtype.dtype) -> Tensor:
    """The cast of a leaf, made once in a region: uses of one parameter share it, until the parameter changes."""
    if settings.nesting == 0 or settings.tracing is not thread.tracing:
        return leaf.to(kind)
    key, written = (id(leaf), kind, thread.grad), (leaf._storage.version, leaf._storage.writes)
    kept = settings.cache.get(key)
    if kept is None or kept[0] is not leaf or kept[1] is not leaf._storage or kept[2] != written:
        kept = settings.cache[key] = leaf, leaf._storage, written, leaf.to(kind)
    return kept[3]


@functools.cache
def casting(device: str, dtype: _dtype.dtype) -> Casting:
    """One for each type, so that a program may be known by it."""
    return Casting(device, dtype)


def uncast(function: Callable, *args: Any, **kwargs: Any) -> Any:
    """The function's result without casts: what is written into given memory is computed in the operands' own types, as in torch."""
    before, thread.autocast = thread.autocast, None
    try:
        return function(*args, **kwargs)
    finally:
        thread.autocast = before


# -- torch's functions


def _device(device_type: Any) -> str:
    """'cpu' or 'cuda'."""
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`; give 'cpu' or 'cuda'")
    kind = _dtype.device(device_type).type
    if kind not in settings.enabled:
        raise RuntimeError(f"unsupported autocast device_type {device_type!r}; funnn knows 'cpu' and 'cuda'")
    return kind


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether autocast is on for a kind of device, on this thread."""
    return settings.enabled[_device(device_type)]


def set_autocast_enabled(device_type: Any, enabled: bool | None = None) -> None:
    """Switch autocast of a kind of device on or off, on this thread; with one argument, that of 'cuda'."""
    device, on = ("cuda", device_type) if enabled is None else (_device(device_type), enabled)
    settings.enabled[device] = bool(on)
    settings.refresh()


def get_autocast_dtype(device_type: str) -> _dtype.dtype:
    """The type that autocast of a kind of device casts to: bfloat16 on 'cpu' and float16 on 'cuda', unless set."""
    return settings.dtypes[_device(device_type)]


def set_autocast_dtype(device_type: str, dtype: _dtype.dtype) -> None:
    """Set the type that autocast of a kind of device casts to, on this thread."""
    settings.dtypes[_device(device_type)] = dtype
    settings.refresh()


def is_autocast_cache_enabled() -> bool:
    """Whether the casts of parameters are kept within a region."""
    return settings.cache_enabled


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Keep the casts of parameters within a region, or make them at every use."""
    settings.cache_enabled = bool(enabled)


def clear_autocast_cache() -> None:
    """Forget the casts of parameters."""
    settings.cache.clear()


def _older(name: str, function: Callable, device: str) -> Callable:
    """A function that torch deprecates for one that takes the kind of device."""

    def run(*args: Any) -> Any:
        warnings.warn(
            f"torch.{name}() is deprecated. Please use torch.{function.__name__}('{device}') instead.", DeprecationWarning, stacklevel=2
        )
        return function(device, *args)

    run.__name__ = run.__qualname__ = name
    run.__doc__ = f"Deprecated: see torch.{function.__name__}({device!r})."
    return run


#: torch's deprecated names.
OLDER = {
    name: _older(name, function, device)
    for name, function, device in (
        ("is_autocast_cpu_enabled", is_autocast_enabled, "cpu"),
        ("set_autocast_cpu_enabled", set_autocast_enabled, "cpu"),
        ("get_autocast_cpu_dtype", get_autocast_dtype, "cpu"),
        ("set_autocast_cpu_dtype", set_autocast_dtype, "cpu"),
        ("get_autocast_gpu_dtype", get_autocast_dtype, "cuda"),
        ("set_autocast_gpu_dtype", set_autocast_dtype, "cuda"),
    )
}


def autocast_increment_nesting() -> int:
    """Count one more region; how many there are."""
    return settings.enter()


def autocast_decrement_nesting() -> int:
    """Count one region less; how many are left."""
    return settings.leave()
