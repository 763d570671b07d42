# Made by .ci/stubs.py from the live objects; write to the sources, and run it again.

from funnn.torch.nn.modules._layer_classes import Fold as Fold
from funnn.torch.nn.modules._layer_classes import Unfold as Unfold


