# Made by .ci/stubs.py from the live objects; write to the sources, and run it again.

from funnn.torch.nn.modules._embeddings import _Table as _Table
from funnn.torch.nn.modules._layer_classes import Embedding as Embedding
from funnn.torch.nn.modules._layer_classes import EmbeddingBag as EmbeddingBag


