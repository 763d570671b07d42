"""What torch's namespace holds beside its modules: functions, types, constants, contexts. Modules of funnn.torch compute with it."""

from __future__ import annotations

from math import e as e
from math import inf as inf
from math import nan as nan
from math import pi as pi

from funnn.engine.dispatch import autocast as _autocast
from funnn.engine.dispatch.autocast import autocast_decrement_nesting as autocast_decrement_nesting
from funnn.engine.dispatch.autocast import autocast_increment_nesting as autocast_increment_nesting
from funnn.engine.dispatch.autocast import clear_autocast_cache as clear_autocast_cache
from funnn.engine.dispatch.autocast import get_autocast_dtype as get_autocast_dtype
from funnn.engine.dispatch.autocast import is_autocast_cache_enabled as is_autocast_cache_enabled
from funnn.engine.dispatch.autocast import is_autocast_enabled as is_autocast_enabled
from funnn.engine.dispatch.autocast import set_autocast_cache_enabled as set_autocast_cache_enabled
from funnn.engine.dispatch.autocast import set_autocast_dtype as set_autocast_dtype
from funnn.engine.dispatch.autocast import set_autocast_enabled as set_autocast_enabled
from funnn.engine.dispatch.from_jax import from_jax as from_jax
from funnn.engine.ops.kit.table import namespace as _namespace
from funnn.engine.ops.make import factories as _factories
from funnn.engine.ops.make import foreach as _foreach
from funnn.engine.tape.grad_mode import enable_grad as enable_grad
from funnn.engine.tape.grad_mode import inference_mode as inference_mode
from funnn.engine.tape.grad_mode import is_grad_enabled as is_grad_enabled
from funnn.engine.tape.grad_mode import is_inference_mode_enabled as is_inference_mode_enabled
from funnn.engine.tape.grad_mode import no_grad as no_grad
from funnn.engine.tape.grad_mode import set_grad_enabled as set_grad_enabled
from funnn.engine.tensor.generator import Generator as Generator
from funnn.engine.tensor.generator import default_generator as default_generator
from funnn.engine.tensor.generator import get_rng_state as get_rng_state
from funnn.engine.tensor.generator import initial_seed as initial_seed
from funnn.engine.tensor.generator import manual_seed as manual_seed
from funnn.engine.tensor.generator import seed as seed
from funnn.engine.tensor.generator import set_rng_state as set_rng_state
from funnn.engine.tensor.overrides import DisableTorchFunction as DisableTorchFunction
from funnn.engine.tensor.overrides import DisableTorchFunctionSubclass as DisableTorchFunctionSubclass
from funnn.engine.tensor.sparse import SparseTensor as _SparseTensor
from funnn.engine.tensor.tensor import Tensor as Tensor
from funnn.engine.transform.vmap import vmap as vmap
from funnn.engine.types import dtype as _dtype
from funnn.engine.types.device import device as device
from funnn.engine.types.dtype import Size as Size
from funnn.engine.types.dtype import dtype as dtype
from funnn.engine.types.dtype import get_default_dtype as get_default_dtype
from funnn.engine.types.dtype import set_default_dtype as set_default_dtype
from funnn.engine.types.layout import channels_last as channels_last
from funnn.engine.types.layout import channels_last_3d as channels_last_3d
from funnn.engine.types.layout import contiguous_format as contiguous_format
from funnn.engine.types.layout import layout as layout
from funnn.engine.types.layout import memory_format as memory_format
from funnn.engine.types.layout import preserve_format as preserve_format
from funnn.engine.types.layout import sparse_bsc as sparse_bsc
from funnn.engine.types.layout import sparse_bsr as sparse_bsr
from funnn.engine.types.layout import sparse_coo as sparse_coo
from funnn.engine.types.layout import sparse_csc as sparse_csc
from funnn.engine.types.layout import sparse_csr as sparse_csr
from funnn.engine.types.layout import strided as strided
from funnn.engine.types.limits import finfo as finfo
from funnn.engine.types.limits import iinfo as iinfo
from funnn.engine.types.printing import set_printoptions as set_printoptions
from funnn.engine.types.settings import are_deterministic_algorithms_enabled as are_deterministic_algorithms_enabled
from funnn.engine.types.settings import get_default_device as get_default_device
from funnn.engine.types.settings import get_deterministic_debug_mode as get_deterministic_debug_mode
from funnn.engine.types.settings import get_float32_matmul_precision as get_float32_matmul_precision
from funnn.engine.types.settings import get_num_interop_threads as get_num_interop_threads
from funnn.engine.types.settings import get_num_threads as get_num_threads
from funnn.engine.types.settings import is_deterministic_algorithms_warn_only_enabled as is_deterministic_algorithms_warn_only_enabled
from funnn.engine.types.settings import is_warn_always_enabled as is_warn_always_enabled
from funnn.engine.types.settings import set_default_device as set_default_device
from funnn.engine.types.settings import set_default_tensor_type as set_default_tensor_type
from funnn.engine.types.settings import set_deterministic_debug_mode as set_deterministic_debug_mode
from funnn.engine.types.settings import set_float32_matmul_precision as set_float32_matmul_precision
from funnn.engine.types.settings import set_flush_denormal as set_flush_denormal
from funnn.engine.types.settings import set_num_interop_threads as set_num_interop_threads
from funnn.engine.types.settings import set_num_threads as set_num_threads
from funnn.engine.types.settings import set_warn_always as set_warn_always
from funnn.engine.types.settings import use_deterministic_algorithms as use_deterministic_algorithms
from funnn.torch import fft as fft
from funnn.torch import linalg as linalg
from funnn.torch import sparse as sparse
from funnn.torch import special as special

globals().update(_namespace(""))
globals().update(_foreach.FOREACH)
globals().update(_dtype.ALIASES)
globals().update(_factories.legacy_types())
globals().update(_autocast.OLDER)
newaxis = None
legacy_contiguous_format = contiguous_format

for _class in (Generator, Size, Tensor, device, dtype, finfo, iinfo, layout, memory_format):
    _class.__module__ = "funnn.torch"  # the name that is printed, and that pickles keep

_SparseTensor.__module__, _SparseTensor.__name__, _SparseTensor.__qualname__ = (
    "funnn.torch",
    "Tensor",
    "Tensor",
)  # torch has one class for both

_OWN = {"annotations", "_SparseTensor", "_autocast", "_class", "_dtype", "_factories", "_foreach", "_namespace", "_OWN"}
__all__ = [name for name in globals() if not name.startswith("__") and name not in _OWN]
