# Made by .ci/stubs.py from the live objects; write to the sources, and run it again.

from funnn.torch.nn.modules._layer_classes import Conv1d as Conv1d
from funnn.torch.nn.modules._layer_classes import Conv2d as Conv2d
from funnn.torch.nn.modules._layer_classes import Conv3d as Conv3d
from funnn.torch.nn.modules._layer_classes import ConvTranspose1d as ConvTranspose1d
from funnn.torch.nn.modules._layer_classes import ConvTranspose2d as ConvTranspose2d
from funnn.torch.nn.modules._layer_classes import ConvTranspose3d as ConvTranspose3d
from funnn.torch.nn.modules._layer_classes import LazyConv1d as LazyConv1d
from funnn.torch.nn.modules._layer_classes import LazyConv2d as LazyConv2d
from funnn.torch.nn.modules._layer_classes import LazyConv3d as LazyConv3d
from funnn.torch.nn.modules._layer_classes import LazyConvTranspose1d as LazyConvTranspose1d
from funnn.torch.nn.modules._layer_classes import LazyConvTranspose2d as LazyConvTranspose2d
from funnn.torch.nn.modules._layer_classes import LazyConvTranspose3d as LazyConvTranspose3d
from funnn.torch.nn.modules.convolutions import _ConvNd as _ConvNd
from funnn.torch.nn.modules.convolutions import _ConvTransposeNd as _ConvTransposeNd


