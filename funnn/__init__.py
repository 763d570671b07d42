"""funnn: neural networks on JAX, as pure init/apply pairs and, in ``funnn.torch``, as PyTorch programs know them."""

from funnn import functional as functional
from funnn import init as init
from funnn import layers as layers
from funnn import optim as optim
from funnn._compilation_cache import cache_compilations as cache_compilations
from funnn._export import Exported as Exported
from funnn._export import export as export
from funnn._export import load_exported as load_exported
from funnn._import_torch import install as install
from funnn._import_torch import load_ipython_extension as load_ipython_extension
from funnn._import_torch import uninstall as uninstall
from funnn._import_torch import unload_ipython_extension as unload_ipython_extension
from funnn._nans import find_nans as find_nans
from funnn._summary import summary as summary
from funnn.functional import public as public
from funnn.layers import Layer as Layer
from funnn.layers import Policy as Policy
from funnn.train import LossScale as LossScale
from funnn.train import MeanMetrics as MeanMetrics
from funnn.train import TrainState as TrainState
from funnn.train import train_step as train_step

__version__ = "0.1.0"
