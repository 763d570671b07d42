# Made by .ci/stubs.py from the live objects; write to the sources, and run it again.

from funnn.torch.nn.modules._layer_classes import InstanceNorm1d as InstanceNorm1d
from funnn.torch.nn.modules._layer_classes import InstanceNorm2d as InstanceNorm2d
from funnn.torch.nn.modules._layer_classes import InstanceNorm3d as InstanceNorm3d
from funnn.torch.nn.modules._layer_classes import LazyInstanceNorm1d as LazyInstanceNorm1d
from funnn.torch.nn.modules._layer_classes import LazyInstanceNorm2d as LazyInstanceNorm2d
from funnn.torch.nn.modules._layer_classes import LazyInstanceNorm3d as LazyInstanceNorm3d
from funnn.torch.nn.modules._normalizations import _InstanceNorm as _InstanceNorm


