# Made by .ci/stubs.py from the live objects; write to the sources, and run it again.

from funnn.torch.nn.modules._layer_classes import BatchNorm1d as BatchNorm1d
from funnn.torch.nn.modules._layer_classes import BatchNorm2d as BatchNorm2d
from funnn.torch.nn.modules._layer_classes import BatchNorm3d as BatchNorm3d
from funnn.torch.nn.modules._layer_classes import LazyBatchNorm1d as LazyBatchNorm1d
from funnn.torch.nn.modules._layer_classes import LazyBatchNorm2d as LazyBatchNorm2d
from funnn.torch.nn.modules._layer_classes import LazyBatchNorm3d as LazyBatchNorm3d
from funnn.torch.nn.modules._normalizations import SyncBatchNorm as SyncBatchNorm
from funnn.torch.nn.modules._normalizations import _BatchNorm as _BatchNorm
from funnn.torch.nn.modules._normalizations import _NormBase as _NormBase


