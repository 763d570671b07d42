# Made by .ci/stubs.py from the live objects; write to the sources, and run it again.

from funnn.torch.nn.modules._layer_classes import AlphaDropout as AlphaDropout
from funnn.torch.nn.modules._layer_classes import Dropout as Dropout
from funnn.torch.nn.modules._layer_classes import Dropout1d as Dropout1d
from funnn.torch.nn.modules._layer_classes import Dropout2d as Dropout2d
from funnn.torch.nn.modules._layer_classes import Dropout3d as Dropout3d
from funnn.torch.nn.modules._layer_classes import FeatureAlphaDropout as FeatureAlphaDropout
from funnn.torch.nn.modules._layer_classes import _DropoutNd as _DropoutNd


