# Made by .ci/stubs.py from the live objects; write to the sources, and run it again.

from funnn.torch.nn.modules._layer_classes import Bilinear as Bilinear
from funnn.torch.nn.modules._layer_classes import Identity as Identity
from funnn.torch.nn.modules._layer_classes import LazyLinear as LazyLinear
from funnn.torch.nn.modules._layer_classes import Linear as Linear
from funnn.torch.nn.modules._layer_classes import NonDynamicallyQuantizableLinear as NonDynamicallyQuantizableLinear
from funnn.torch.nn.modules._layer_classes import _Linear as _Linear


