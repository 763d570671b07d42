"""Arguments that are no tensors and are compiled in, of a kind that torch's parser refuses: a number for a flag, a float for a dimension.

They are looked at when a form is made, so a call that comes again costs nothing; the error's text is that of the parser (see ``torch_reading``).
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import numpy as np

from funnn.engine.dispatch.arguments import At
from funnn.engine.dispatch.op import Op
from funnn.engine.dispatch.overloads import overloads

_FLAGS_TEXT = (
    "accumulate adjoint align_corners as_tuple assume_unique batch_first bidirectional ceil_mode center check_errors check_invariants "
    "coalesced compute_uv copy count_include_pad cudnn_enable cudnn_enabled density descending dispatch_device dispatch_layout "
    "enable_gqa enabled equal_nan force full full_matrices has_biases hermitian implicit include_last_offset include_self increasing "
    "invert is_causal is_coalesced keepdim largest left log_input log_target masked_grad non_blocking normalized onesided out_int32 "
    "periodic pin_memory pivot replacement require_grad requires_grad return_complex return_counts return_inverse right "
    "scale_grad_by_freq shared some sorted sparse sparse_grad stable swap train training transpose unbiased unitriangular unpack_data "
    "unpack_pivots unsafe use_input_stats with_replacement wrap zero_infinity "
)
_INTEGERS_TEXT = (
    "C HxW M N axis axis0 axis1 blank blocksize chunks col decimals dense_dim destination diagonal dilation dim dim0 dim1 dim2 dimension "
    "dims divisor_override downscale_factor edge_order end_dim group groups hop_length ignore_index ind interpolation_mode k "
    "kernel_size length low m minlength n_fft normalized_shape num_chunks num_classes num_groups num_layers num_samples offset "
    "output_padding output_size pad padding_idx padding_mode physical_layout pow quant_max quant_min r row sections shape shifts size sizes "
    "sparse_dim split_size split_size_or_sections split_sizes start_dim steps storage_offset stride upscale_factor win_length "
    "window_length "
)
#: Names that are flags wherever torch's parser knows them.
FLAGS = frozenset(_FLAGS_TEXT.split())
#: Names that are whole numbers, or sequences of them.
INTEGERS = frozenset(_INTEGERS_TEXT.split())


def check_kinds(op: Op, arguments: dict[str, Any]) -> None:
    """Raise TypeError for an argument of the wrong kind; ``arguments`` by their names, with :class:`At` for tensors."""
    name, others = op.name, _others(op)
    for argument, value in arguments.items():
        if value is None or value is ... or argument in others:
            continue
        if argument in FLAGS or (argument == "upper" and "lower" not in arguments):  # which may be the bounds of random numbers
            if type(value) not in _FLAGS:
                raise TypeError(f"{name}(): argument '{argument}' must be bool, not {type(value).__name__}")
        elif argument in INTEGERS and not (type(value) is bool and "unbiased" in arguments):  # as x.std(False) gives it
            for item in value if type(value) in (tuple, list) else (value,):
                if type(item) in _NO_INTEGERS:
                    raise TypeError(f"{name}(): argument '{argument}' must be int, not {type(item).__name__}")


@functools.lru_cache(maxsize=4096)
def _others(op: Op) -> frozenset[str]:
    """The arguments that are neither flags nor whole numbers, which such a name is elsewhere: floats or texts by default, or what torch does not look at."""
    found = {name for name, item in inspect.signature(op.pure).parameters.items() if type(item.default) in (float, str)}
    items = [item for name in op.names for overload in overloads(name) for item in overload.parameters]
    known = {item.name for item in items if item.kind != "object"}
    return frozenset(found | {item.name for item in items if item.name not in known})


_FLAGS = (bool, np.bool_, At)
_NO_INTEGERS = (bool, float, complex, bytes, dict, object)
