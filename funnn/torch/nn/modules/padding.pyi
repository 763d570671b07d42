# Made by .ci/stubs.py from the live objects; write to the sources, and run it again.

from funnn.torch.nn.modules._layer_classes import CircularPad1d as CircularPad1d
from funnn.torch.nn.modules._layer_classes import CircularPad2d as CircularPad2d
from funnn.torch.nn.modules._layer_classes import CircularPad3d as CircularPad3d
from funnn.torch.nn.modules._layer_classes import ConstantPad1d as ConstantPad1d
from funnn.torch.nn.modules._layer_classes import ConstantPad2d as ConstantPad2d
from funnn.torch.nn.modules._layer_classes import ConstantPad3d as ConstantPad3d
from funnn.torch.nn.modules._layer_classes import ReflectionPad1d as ReflectionPad1d
from funnn.torch.nn.modules._layer_classes import ReflectionPad2d as ReflectionPad2d
from funnn.torch.nn.modules._layer_classes import ReflectionPad3d as ReflectionPad3d
from funnn.torch.nn.modules._layer_classes import ReplicationPad1d as ReplicationPad1d
from funnn.torch.nn.modules._layer_classes import ReplicationPad2d as ReplicationPad2d
from funnn.torch.nn.modules._layer_classes import ReplicationPad3d as ReplicationPad3d
from funnn.torch.nn.modules._layer_classes import ZeroPad1d as ZeroPad1d
from funnn.torch.nn.modules._layer_classes import ZeroPad2d as ZeroPad2d
from funnn.torch.nn.modules._layer_classes import ZeroPad3d as ZeroPad3d
from funnn.torch.nn.modules._layer_classes import _CircularPadNd as _CircularPadNd
from funnn.torch.nn.modules._layer_classes import _ConstantPadNd as _ConstantPadNd
from funnn.torch.nn.modules._layer_classes import _Padding as _Padding
from funnn.torch.nn.modules._layer_classes import _ReflectionPadNd as _ReflectionPadNd
from funnn.torch.nn.modules._layer_classes import _ReplicationPadNd as _ReplicationPadNd


