"""PyTorch's interface on JAX: ``import funnn.torch as torch``."""

import sys as _sys

from funnn._import_torch import install as install
from funnn._import_torch import uninstall as uninstall
from funnn.engine.tensor import questions as _questions
from funnn.torch import _C as _C
from funnn.torch import __config__ as __config__
from funnn.torch import __future__ as __future__
from funnn.torch import _dynamo as _dynamo
from funnn.torch import _former_modules, _signatures, _unsupported
from funnn.torch import _inductor as _inductor
from funnn.torch import _jit_internal as _jit_internal
from funnn.torch import _logging as _logging
from funnn.torch import _utils as _utils
from funnn.torch import accelerator as accelerator
from funnn.torch import amp as amp
from funnn.torch import ao as ao
from funnn.torch import autograd as autograd
from funnn.torch import backends as backends
from funnn.torch import compiler as compiler
from funnn.torch import cpu as cpu
from funnn.torch import cuda as cuda
from funnn.torch import distributed as distributed
from funnn.torch import distributions as distributions
from funnn.torch import func as func
from funnn.torch import functional as functional
from funnn.torch import futures as futures
from funnn.torch import fx as fx
from funnn.torch import hub as hub
from funnn.torch import jit as jit
from funnn.torch import library as library
from funnn.torch import masked as masked
from funnn.torch import multiprocessing as multiprocessing
from funnn.torch import nn as nn
from funnn.torch import onnx as onnx
from funnn.torch import optim as optim
from funnn.torch import overrides as overrides
from funnn.torch import profiler as profiler
from funnn.torch import quantization as quantization
from funnn.torch import quasirandom as quasirandom
from funnn.torch import random as random
from funnn.torch import return_types as return_types
from funnn.torch import serialization as serialization
from funnn.torch import signal as signal
from funnn.torch import storage as storage
from funnn.torch import testing as testing
from funnn.torch import types as types
from funnn.torch import utils as utils
from funnn.torch import version as version
from funnn.torch._absent_device import device_module as _device_module
from funnn.torch._bridge import from_functional as from_functional
from funnn.torch._bridge import to_functional as to_functional
from funnn.torch._checks import _assert_async as _assert_async
from funnn.torch._checks import _check as _check
from funnn.torch._checks import _check_index as _check_index
from funnn.torch._checks import _check_is_size as _check_is_size
from funnn.torch._checks import _check_not_implemented as _check_not_implemented
from funnn.torch._checks import _check_tensor_all as _check_tensor_all
from funnn.torch._checks import _check_type as _check_type
from funnn.torch._checks import _check_value as _check_value
from funnn.torch._checks import _shape_as_tensor as _shape_as_tensor
from funnn.torch._compile import compile as compile
from funnn.torch._namespace import *  # noqa: F403
from funnn.torch._namespace import Tensor as Tensor
from funnn.torch._namespace import device as _device
from funnn.torch.amp import GradScaler as GradScaler
from funnn.torch.amp import autocast as autocast
from funnn.torch.autograd import profiler as _profiler  # noqa: F401 (torch.autograd.profiler)
from funnn.torch.autograd.anomaly_mode import is_anomaly_check_nan_enabled as is_anomaly_check_nan_enabled
from funnn.torch.autograd.anomaly_mode import is_anomaly_enabled as is_anomaly_enabled
from funnn.torch.cuda import AcceleratorError as AcceleratorError
from funnn.torch.cuda import OutOfMemoryError as OutOfMemoryError
from funnn.torch.library import ops as ops
from funnn.torch.overrides import _assert as _assert
from funnn.torch.random import thread_safe_generator as thread_safe_generator
from funnn.torch.serialization import load as load
from funnn.torch.serialization import save as save
from funnn.torch.storage import TypedStorage as TypedStorage
from funnn.torch.storage import UntypedStorage as UntypedStorage
from funnn.torch.storage import from_file as from_file
from funnn.torch.storage import is_storage as is_storage
from funnn.torch.utils.dlpack import to_dlpack as to_dlpack

_former_modules.register()
_questions.prepare()
__version__ = version.__version__
torch = _sys.modules[__name__]  # which torch has as well
has_lapack = has_openmp = has_spectral = True
has_mkl = False


mps, mtia, xpu = map(_device_module, ("mps", "mtia", "xpu"))
_sys.modules.update({module.__name__: module for module in (mps, mtia, xpu)})


def get_device_module(device=None):
    """torch.cuda or torch.cpu, by the device or its name; by default that of the accelerator if there is one."""
    kind = _device(device).type if device is not None else "cuda" if cuda.is_available() else "cpu"
    return {"cpu": cpu, "cuda": cuda}[kind]


def __getattr__(name):
    """For what is not there: the reason, where torch has it."""
    return _unsupported.missing(torch, "torch", name)


_signatures.lend(_sys.modules[__name__], _signatures.Functions)
_signatures.lend(Tensor, _signatures.Methods)
_signatures.lend_in_place(Tensor)
_signatures.lend_options(vars(signal.windows)[name] for name in signal.windows.__all__)
Tensor.__getattr__ = _unsupported.missing_of_tensor
_unsupported.watch(_dynamo, _inductor, compiler, nn, nn.attention, nn.parallel, nn.utils, onnx, sparse)  # noqa: F405
_unsupported.watch(
    accelerator,
    ao,
    ao.nn,
    ao.nn.quantized,
    ao.nn.quantized.dynamic,
    ao.nn.quantized.modules,
    ao.quantization,
    autograd,
    autograd.graph,
    autograd.profiler,
    backends,
    backends.cuda,
    cuda,
    distributed,
    func,
    fx,
    fx.experimental,
    fx.passes,
    jit,
    library,
    masked,
    nn.functional,
    overrides,
    quantization,
    serialization,
    utils,
    utils.data,
)
