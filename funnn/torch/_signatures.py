"""The arguments of functions whose definition takes ``*args`` or ``**kwargs``, written out for ``help()``, editors and the stubs.

They are definitions without a body, of which only the signature counts: :func:`lend` gives it to the function of the same name.
"""
# mypy: ignore-errors
# (for it, a function in a class needs a ``self``, and one that gives a Tensor a body)

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from funnn.engine.tensor.generator import Generator
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.device import device
from funnn.engine.types.dtype import dtype
from funnn.engine.types.layout import layout, memory_format

Device = device | str | int | None
Sizes = int | Sequence[int]


class Functions:
    """Those of the namespace ``torch``."""

    # -- new tensors

    def empty_permuted(
        size: Sequence[int],
        physical_layout: Sequence[int],
        *,
        dtype: dtype | None = None,
        layout: layout | None = None,
        device: Device = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
    ) -> Tensor: ...

    # -- at random

    def normal(
        mean: Any,
        std: Any = 1.0,
        size: Sequence[int] | None = None,
        *,
        generator: Generator | None = None,
        out: Tensor | None = None,
        dtype: dtype | None = None,
        layout: layout | None = None,
        device: Device = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
    ) -> Tensor: ...

    # -- windows and indices

    def bartlett_window(
        window_length: int,
        periodic: bool = True,
        *,
        dtype: dtype | None = None,
        layout: layout | None = None,
        device: Device = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
    ) -> Tensor: ...

    blackman_window = hann_window = bartlett_window

    def hamming_window(
        window_length: int,
        periodic: bool = True,
        alpha: float = 0.54,
        beta: float = 0.46,
        *,
        dtype: dtype | None = None,
        layout: layout | None = None,
        device: Device = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
    ) -> Tensor: ...

    def kaiser_window(
        window_length: int,
        periodic: bool = True,
        beta: float = 12.0,
        *,
        dtype: dtype | None = None,
        layout: layout | None = None,
        device: Device = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
    ) -> Tensor: ...

    def tril_indices(
        row: int,
        col: int,
        offset: int = 0,
        *,
        dtype: dtype | None = None,
        layout: layout | None = None,
        device: Device = None,
        pin_memory: bool = False,
    ) -> Tensor: ...

    triu_indices = tril_indices

    # -- views and pieces

    def hsplit(input: Tensor, indices_or_sections: Any = None, *, indices: Any = None, sections: Any = None) -> tuple[Tensor, ...]: ...

    vsplit = dsplit = hsplit

    def split_copy(input: Tensor, split_size: int, dim: int = 0, *, out: Any = None) -> tuple[Tensor, ...]: ...

    def split_with_sizes_copy(input: Tensor, split_sizes: Sequence[int], dim: int = 0, *, out: Any = None) -> tuple[Tensor, ...]: ...

    def unbind_copy(input: Tensor, dim: int = 0, *, out: Any = None) -> tuple[Tensor, ...]: ...

    def unsafe_split(input: Tensor, split_size: int, dim: int = 0) -> tuple[Tensor, ...]: ...

    def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]: ...

    def unsafe_split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]: ...

    def diagonal_scatter(
        input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1, *, out: Tensor | None = None
    ) -> Tensor: ...

    def select_scatter(input: Tensor, src: Tensor, dim: int, index: int, *, out: Tensor | None = None) -> Tensor: ...

    def slice_scatter(
        input: Tensor,
        src: Tensor,
        dim: int = 0,
        start: int | None = None,
        end: int | None = None,
        step: int = 1,
        *,
        out: Tensor | None = None,
    ) -> Tensor: ...

    def as_strided_scatter(
        input: Tensor,
        src: Tensor,
        size: Sequence[int],
        stride: Sequence[int],
        storage_offset: int | None = None,
        *,
        out: Tensor | None = None,
    ) -> Tensor: ...

    # -- functions of neural networks, which take their arguments in another order here than in torch.nn.functional

    def batch_norm(
        input: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        training: bool,
        momentum: float,
        eps: float,
        cudnn_enabled: bool = True,
    ) -> Tensor: ...

    def instance_norm(
        input: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        use_input_stats: bool,
        momentum: float,
        eps: float,
        cudnn_enabled: bool = True,
    ) -> Tensor: ...

    def layer_norm(
        input: Tensor,
        normalized_shape: Sequence[int],
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float = 1e-05,
        cudnn_enable: bool = True,
    ) -> Tensor: ...

    def group_norm(
        input: Tensor,
        num_groups: int,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float = 1e-05,
        cudnn_enabled: bool = True,
    ) -> Tensor: ...

    def embedding(
        weight: Tensor, indices: Tensor, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
    ) -> Tensor: ...

    def dropout(input: Tensor, p: float, train: bool) -> Tensor: ...

    alpha_dropout = feature_alpha_dropout = dropout_ = alpha_dropout_ = feature_alpha_dropout_ = dropout

    def rrelu(input: Tensor, lower: float = 0.125, upper: float = 0.3333333333333333, training: bool = False) -> Tensor: ...

    rrelu_ = rrelu

    def celu_(input: Tensor, alpha: float = 1.0) -> Tensor: ...

    def selu_(input: Tensor) -> Tensor: ...

    def threshold_(input: Tensor, threshold: float, value: float) -> Tensor: ...

    def binary_cross_entropy_with_logits(
        input: Tensor, target: Tensor, weight: Tensor | None = None, pos_weight: Tensor | None = None, reduction: int | str = 0
    ) -> Tensor: ...

    def cosine_embedding_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int | str = 0) -> Tensor: ...

    def ctc_loss(
        log_probs: Tensor,
        targets: Tensor,
        input_lengths: Any,
        target_lengths: Any,
        blank: int = 0,
        reduction: int | str = 0,
        zero_infinity: bool = False,
    ) -> Tensor: ...

    def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, reduction: int | str = 0) -> Tensor: ...

    def kl_div(input: Tensor, target: Tensor, reduction: int | str = 0, log_target: bool = False) -> Tensor: ...

    def margin_ranking_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int | str = 0) -> Tensor: ...

    def poisson_nll_loss(
        input: Tensor, target: Tensor, log_input: bool = True, full: bool = False, eps: float = 1e-08, reduction: int | str = 0
    ) -> Tensor: ...

    def triplet_margin_loss(
        anchor: Tensor,
        positive: Tensor,
        negative: Tensor,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-06,
        swap: bool = False,
        reduction: int | str = 0,
    ) -> Tensor: ...

    # -- older names of autocast's settings

    def is_autocast_cpu_enabled() -> bool: ...

    def set_autocast_cpu_enabled(enabled: bool) -> None: ...

    def get_autocast_cpu_dtype() -> dtype: ...

    get_autocast_gpu_dtype = get_autocast_cpu_dtype

    def set_autocast_cpu_dtype(dtype: dtype) -> None: ...

    set_autocast_gpu_dtype = set_autocast_cpu_dtype


class Methods:
    """Those of Tensor."""

    def new_empty_strided(
        self: Tensor,
        size: Sequence[int],
        stride: Sequence[int],
        *,
        dtype: dtype | None = None,
        layout: layout | None = None,
        device: Device = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
    ) -> Tensor: ...

    def to(
        self: Tensor,
        *target: Any,
        dtype: dtype | None = None,
        device: Device = None,
        tensor: Tensor | None = None,
        non_blocking: bool = False,
        copy: bool = False,
        memory_format: memory_format | None = None,
    ) -> Tensor: ...

    def uniform_(self: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None) -> Tensor: ...

    def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor: ...

    def random_(self: Tensor, from_: int | None = None, to: int | None = None, *, generator: Generator | None = None) -> Tensor: ...

    def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor: ...

    def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor: ...

    def cauchy_(self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None) -> Tensor: ...

    def log_normal_(self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None) -> Tensor: ...

    def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor: ...

    def apply_(self: Tensor, callable: Callable[[Any], Any]) -> Tensor: ...

    def map_(self: Tensor, tensor: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor: ...

    def map2_(self: Tensor, x: Tensor, y: Tensor, callable: Callable[[Any, Any, Any], Any]) -> Tensor: ...


def _window_options(
    *, dtype: dtype | None = None, layout: layout | None = None, device: Device = None, requires_grad: bool = False
) -> None:
    """What stands behind the arguments of every function of ``torch.signal.windows``."""


def lend(owner: Any, definitions: type) -> None:
    """Give the functions of ``owner``, a module or a class, the signatures of the definitions of their names."""
    for name, definition in vars(definitions).items():
        if name[:2] != "__":
            vars(owner)[name].__signature__ = inspect.signature(definition)


def lend_in_place(tensor: type) -> None:
    """Give methods such as ``transpose_`` the signature of ``transpose``, where they have none of their own."""
    for name, method in vars(tensor).items():
        plain = vars(tensor).get(name.removesuffix("_"))
        if name[-1] == "_" != name[0] and callable(plain) and list(inspect.signature(method).parameters)[1:] == ["args", "kwargs"]:
            method.__signature__ = inspect.signature(plain)


def lend_options(windows: Iterable[Callable]) -> None:
    """Write out the options of a new tensor in the signatures of ``torch.signal.windows``."""
    options = inspect.signature(_window_options).parameters.values()
    for window in windows:
        signature = inspect.signature(window)
        own = [item for item in signature.parameters.values() if item.kind is not item.VAR_KEYWORD]
        window.__signature__ = signature.replace(parameters=[*own, *options])
