# Made by .ci/stubs.py from the live objects; write to the sources, and run it again.

from funnn.torch.nn.modules._layer_classes import Upsample as Upsample
from funnn.torch.nn.modules._layer_classes import UpsamplingBilinear2d as UpsamplingBilinear2d
from funnn.torch.nn.modules._layer_classes import UpsamplingNearest2d as UpsamplingNearest2d


