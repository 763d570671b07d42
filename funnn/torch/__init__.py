"""PyTorch's interface on JAX: ``import funnn.torch as torch``."""

from math import e as e
from math import inf as inf
from math import nan as nan
from math import pi as pi

from funnn.torch import _dtype, _factories, _tensor
from funnn.torch._dtype import Size as Size
from funnn.torch._dtype import device as device
from funnn.torch._dtype import dtype as dtype
from funnn.torch._dtype import get_default_dtype as get_default_dtype
from funnn.torch._dtype import set_default_dtype as set_default_dtype
from funnn.torch._ops import functional as _functional
from funnn.torch._ops import indexing as _indexing
from funnn.torch._ops import linalg as _linalg
from funnn.torch._ops import memory as _memory
from funnn.torch._ops import pointwise as _pointwise
from funnn.torch._ops import reductions as _reductions
from funnn.torch._ops import shape as _shape
from funnn.torch._ops import views as _views
from funnn.torch._ops.table import FUNCTIONS as _FUNCTIONS
from funnn.torch._random import Generator as Generator
from funnn.torch._random import default_generator as default_generator
from funnn.torch._random import get_rng_state as get_rng_state
from funnn.torch._random import initial_seed as initial_seed
from funnn.torch._random import manual_seed as manual_seed
from funnn.torch._random import seed as seed
from funnn.torch._random import set_rng_state as set_rng_state
from funnn.torch._tensor import Tensor as Tensor
from funnn.torch import autograd as autograd
from funnn.torch import cuda as cuda
from funnn.torch import nn as nn
from funnn.torch import optim as optim
from funnn.torch import utils as utils
from funnn.torch._bridge import from_functional as from_functional
from funnn.torch._bridge import to_functional as to_functional
from funnn.torch._compile import compile as compile
from funnn.torch.autograd import enable_grad as enable_grad
from funnn.torch.autograd import inference_mode as inference_mode
from funnn.torch.autograd import is_grad_enabled as is_grad_enabled
from funnn.torch.autograd import no_grad as no_grad
from funnn.torch.autograd import set_grad_enabled as set_grad_enabled

globals().update(_FUNCTIONS)
globals().update(_dtype.ALIASES)
globals().update({f"{kind.legacy}Tensor": _factories.legacy_type(kind) for kind in _dtype.ALL})

strided = "torch.strided"
newaxis = None
__version__ = "2.13.0+funnn"


def set_printoptions(precision=None, threshold=None, edgeitems=None, linewidth=None, profile=None, sci_mode=None) -> None:
    """How tensors print; the arguments are torch's."""
    _tensor.print_options = _tensor._printing.resolve_options(
        _tensor.print_options, precision, threshold, edgeitems, linewidth, profile, sci_mode
    )
