# Made by .ci/stubs.py from the live objects; write to the sources, and run it again.

from funnn.torch.nn.modules._layer_classes import Flatten as Flatten
from funnn.torch.nn.modules._layer_classes import Unflatten as Unflatten


