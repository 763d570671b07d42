# Made by .ci/stubs.py from the live objects; write to the sources, and run it again.

from funnn.torch.nn.modules._layer_classes import GroupNorm as GroupNorm
from funnn.torch.nn.modules._layer_classes import LayerNorm as LayerNorm
from funnn.torch.nn.modules._layer_classes import LocalResponseNorm as LocalResponseNorm
from funnn.torch.nn.modules._layer_classes import RMSNorm as RMSNorm
from funnn.torch.nn.modules._layer_classes import _Normalization as _Normalization
from funnn.torch.nn.modules._normalizations import CrossMapLRN2d as CrossMapLRN2d


