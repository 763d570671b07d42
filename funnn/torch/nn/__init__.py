"""torch.nn: modules, parameters, functions."""

from funnn.layers import LinearCrossEntropyOptions as LinearCrossEntropyOptions
from funnn.torch.nn import attention as attention
from funnn.torch.nn import common_types as common_types
from funnn.torch.nn import functional as functional
from funnn.torch.nn import grad as grad
from funnn.torch.nn import init as init
from funnn.torch.nn import parallel as parallel
from funnn.torch.nn import parameter as parameter
from funnn.torch.nn import utils as utils
from funnn.torch.nn.modules import *  # noqa: F403
from funnn.torch.nn.parallel import DataParallel as DataParallel
from funnn.torch.nn.parameter import Buffer as Buffer
from funnn.torch.nn.parameter import Parameter as Parameter
from funnn.torch.nn.parameter import UninitializedBuffer as UninitializedBuffer
from funnn.torch.nn.parameter import UninitializedParameter as UninitializedParameter


def factory_kwargs(kwargs):
    """The arguments ``device``, ``dtype`` and ``memory_format`` among ``kwargs``, for functions that make tensors.

    They may also stand in ``kwargs["factory_kwargs"]``; then each only once.
    """
    kwargs = dict(kwargs or {})
    given = dict(kwargs.pop("factory_kwargs", {}))
    unknown = kwargs.keys() - {"device", "dtype", "memory_format"}
    if unknown:
        raise TypeError(f"unexpected kwargs {sorted(unknown)}; expected device, dtype, memory_format")
    twice = kwargs.keys() & given.keys()
    if twice:
        raise TypeError(f"{sorted(twice)} are given in factory_kwargs and beside it; give each once")
    return given | kwargs
