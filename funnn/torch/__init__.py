"""PyTorch's interface on JAX: ``import funnn.torch as torch``."""

import sys as _sys
from math import e as e
from math import inf as inf
from math import nan as nan
from math import pi as pi

from funnn.torch import _autocast, _dtype, _factories, _sampling, _tensor, _unsupported
from funnn.torch._autocast import autocast_decrement_nesting as autocast_decrement_nesting
from funnn.torch._autocast import autocast_increment_nesting as autocast_increment_nesting
from funnn.torch._autocast import clear_autocast_cache as clear_autocast_cache
from funnn.torch._autocast import get_autocast_dtype as get_autocast_dtype
from funnn.torch._autocast import is_autocast_cache_enabled as is_autocast_cache_enabled
from funnn.torch._autocast import is_autocast_enabled as is_autocast_enabled
from funnn.torch._autocast import set_autocast_cache_enabled as set_autocast_cache_enabled
from funnn.torch._autocast import set_autocast_dtype as set_autocast_dtype
from funnn.torch._autocast import set_autocast_enabled as set_autocast_enabled
from funnn.torch._dtype import Size as Size
from funnn.torch._dtype import device as device
from funnn.torch._dtype import dtype as dtype
from funnn.torch._dtype import get_default_dtype as get_default_dtype
from funnn.torch._dtype import set_default_dtype as set_default_dtype
from funnn.torch._layout import channels_last as channels_last
from funnn.torch._layout import channels_last_3d as channels_last_3d
from funnn.torch._layout import contiguous_format as contiguous_format
from funnn.torch._layout import contiguous_format as legacy_contiguous_format
from funnn.torch._layout import layout as layout
from funnn.torch._layout import memory_format as memory_format
from funnn.torch._layout import preserve_format as preserve_format
from funnn.torch._layout import strided as strided
from funnn.torch._ops import bags as _bags
from funnn.torch._ops import bessel as _bessel
from funnn.torch._ops import complex_numbers as _complex_numbers
from funnn.torch._ops import complex_views as _complex_views
from funnn.torch._ops import counting as _counting
from funnn.torch._ops import decompositions as _decompositions
from funnn.torch._ops import diagonals as _diagonals
from funnn.torch._ops import differences as _differences
from funnn.torch._ops import distances as _distances
from funnn.torch._ops import fourier as _fourier
from funnn.torch._ops import functional as _functional
from funnn.torch._ops import functional_in_torch as _functional_in_torch
from funnn.torch._ops import indexing as _indexing
from funnn.torch._ops import joining as _joining
from funnn.torch._ops import layouts as _layouts
from funnn.torch._ops import ldl as _ldl
from funnn.torch._ops import low_rank as _low_rank
from funnn.torch._ops import masked_reductions as _masked_reductions
from funnn.torch._ops import matrix_functions as _matrix_functions
from funnn.torch._ops import memory as _memory
from funnn.torch._ops import natives as _natives
from funnn.torch._ops import normal_distribution as _normal_distribution
from funnn.torch._ops import norms as _norms
from funnn.torch._ops import operators as _operators
from funnn.torch._ops import pointwise as _pointwise
from funnn.torch._ops import polynomials as _polynomials
from funnn.torch._ops import products as _products
from funnn.torch._ops import reductions as _reductions
from funnn.torch._ops import scans as _scans
from funnn.torch._ops import scatter as _scatter
from funnn.torch._ops import segments as _segments
from funnn.torch._ops import selecting as _selecting
from funnn.torch._ops import shape as _shape
from funnn.torch._ops import short_time as _short_time
from funnn.torch._ops import signal_windows as _signal_windows
from funnn.torch._ops import softmax as _softmax
from funnn.torch._ops import solvers as _solvers
from funnn.torch._ops import sorting as _sorting
from funnn.torch._ops import special_functions as _special_functions
from funnn.torch._ops import spectra as _spectra
from funnn.torch._ops import splits as _splits
from funnn.torch._ops import statistics as _statistics
from funnn.torch._ops import value_checks as _value_checks
from funnn.torch._ops import views as _views
from funnn.torch._ops import facts as _facts
from funnn.torch._ops import weight_norm as _weight_norm_ops
from funnn.torch._ops.table import namespace as _namespace
from funnn.torch._limits import finfo as finfo
from funnn.torch._limits import iinfo as iinfo
from funnn.torch._overrides import DisableTorchFunction as DisableTorchFunction
from funnn.torch._overrides import DisableTorchFunctionSubclass as DisableTorchFunctionSubclass
from funnn.torch._random import Generator as Generator
from funnn.torch._random import default_generator as default_generator
from funnn.torch._random import get_rng_state as get_rng_state
from funnn.torch._random import initial_seed as initial_seed
from funnn.torch._random import manual_seed as manual_seed
from funnn.torch._random import seed as seed
from funnn.torch._random import set_rng_state as set_rng_state
from funnn.torch._settings import are_deterministic_algorithms_enabled as are_deterministic_algorithms_enabled
from funnn.torch._settings import get_default_device as get_default_device
from funnn.torch._settings import get_deterministic_debug_mode as get_deterministic_debug_mode
from funnn.torch._settings import get_float32_matmul_precision as get_float32_matmul_precision
from funnn.torch._settings import get_num_interop_threads as get_num_interop_threads
from funnn.torch._settings import get_num_threads as get_num_threads
from funnn.torch._settings import is_deterministic_algorithms_warn_only_enabled as is_deterministic_algorithms_warn_only_enabled
from funnn.torch._settings import is_warn_always_enabled as is_warn_always_enabled
from funnn.torch._settings import set_default_device as set_default_device
from funnn.torch._settings import set_default_tensor_type as set_default_tensor_type
from funnn.torch._settings import set_deterministic_debug_mode as set_deterministic_debug_mode
from funnn.torch._settings import set_float32_matmul_precision as set_float32_matmul_precision
from funnn.torch._settings import set_flush_denormal as set_flush_denormal
from funnn.torch._settings import set_num_interop_threads as set_num_interop_threads
from funnn.torch._settings import set_num_threads as set_num_threads
from funnn.torch._settings import set_warn_always as set_warn_always
from funnn.torch._settings import use_deterministic_algorithms as use_deterministic_algorithms
from funnn.torch._tensor import Tensor as Tensor
from funnn.torch import _exchange, _foreach, _pickling
from funnn.torch import __future__ as __future__
from funnn.torch import accelerator as accelerator
from funnn.torch import _utils as _utils
from funnn.torch import amp as amp
from funnn.torch import autograd as autograd
from funnn.torch import backends as backends
from funnn.torch import cpu as cpu
from funnn.torch import cuda as cuda
from funnn.torch import jit as jit
from funnn.torch import distributed as distributed
from funnn.torch import fft as fft
from funnn.torch import func as func
from funnn.torch import functional as functional
from funnn.torch import linalg as linalg
from funnn.torch import masked as masked
from funnn.torch import multiprocessing as multiprocessing
from funnn.torch import nn as nn
from funnn.torch import optim as optim
from funnn.torch import overrides as overrides
from funnn.torch import random as random
from funnn.torch import return_types as return_types
from funnn.torch import serialization as serialization
from funnn.torch import signal as signal
from funnn.torch import special as special
from funnn.torch import storage as storage
from funnn.torch import testing as testing
from funnn.torch import types as types
from funnn.torch import utils as utils
from funnn.torch import version as version
from funnn.torch import distributions as distributions
from funnn.torch.amp import GradScaler as GradScaler
from funnn.torch.amp import autocast as autocast
from funnn.torch._bridge import from_functional as from_functional
from funnn.torch._bridge import to_functional as to_functional
from funnn.torch._compile import compile as compile
from funnn.torch._from_jax import from_jax as from_jax
from funnn.torch import _summary as _summary
from funnn.torch.autograd.anomaly_mode import is_anomaly_check_nan_enabled as is_anomaly_check_nan_enabled
from funnn.torch.autograd.anomaly_mode import is_anomaly_enabled as is_anomaly_enabled
from funnn.torch.autograd.grad_mode import is_inference_mode_enabled as is_inference_mode_enabled
from funnn.torch.autograd import enable_grad as enable_grad
from funnn.torch.autograd import inference_mode as inference_mode
from funnn.torch.autograd import is_grad_enabled as is_grad_enabled
from funnn.torch.autograd import no_grad as no_grad
from funnn.torch.autograd import set_grad_enabled as set_grad_enabled
from funnn.torch.cuda import AcceleratorError as AcceleratorError
from funnn.torch.cuda import OutOfMemoryError as OutOfMemoryError
from funnn.torch.func import vmap as vmap
from funnn.torch.random import thread_safe_generator as thread_safe_generator
from funnn.torch.serialization import load as load
from funnn.torch.serialization import save as save
from funnn.torch.storage import TypedStorage as TypedStorage
from funnn.torch.storage import UntypedStorage as UntypedStorage
from funnn.torch.storage import is_storage as is_storage
from funnn.torch.utils.dlpack import to_dlpack as to_dlpack

globals().update(_namespace(""))
globals().update(_foreach.FOREACH)
globals().update(_dtype.ALIASES)
globals().update(_factories.legacy_types())
globals().update(_autocast.OLDER)

newaxis = None
__version__ = version.__version__
has_lapack = has_openmp = has_spectral = True
has_mkl = False


def get_device_module(device=None):
    """torch.cuda or torch.cpu, by the device or its name; by default that of the accelerator if there is one."""
    kind = _dtype.device(device).type if device is not None else "cuda" if cuda.is_available() else "cpu"
    return {"cpu": cpu, "cuda": cuda}[kind]


def set_printoptions(precision=None, threshold=None, edgeitems=None, linewidth=None, profile=None, sci_mode=None) -> None:
    """How tensors print; the arguments are torch's."""
    _tensor.print_options = _tensor._printing.resolve_options(
        _tensor.print_options, precision, threshold, edgeitems, linewidth, profile, sci_mode
    )


def __getattr__(name):
    """For what is not there: the reason, where torch has it."""
    _unsupported.missing(_sys.modules[__name__], "torch", name)


Tensor.__getattr__ = _unsupported.missing_of_tensor
_unsupported.watch(nn, nn.attention, nn.parallel, nn.utils)
_unsupported.watch(
    accelerator, autograd, autograd.graph, backends, backends.cuda, cuda, func, jit, masked, nn.functional, overrides, utils, utils.data
)
