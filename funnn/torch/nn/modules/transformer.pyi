# Made by .ci/stubs.py from the live objects; write to the sources, and run it again.

from funnn.torch.nn.modules._layer_classes import Transformer as Transformer
from funnn.torch.nn.modules._layer_classes import TransformerDecoder as TransformerDecoder
from funnn.torch.nn.modules._layer_classes import TransformerDecoderLayer as TransformerDecoderLayer
from funnn.torch.nn.modules._layer_classes import TransformerEncoder as TransformerEncoder
from funnn.torch.nn.modules._layer_classes import TransformerEncoderLayer as TransformerEncoderLayer
from funnn.torch.nn.modules._layer_classes import _Transformer as _Transformer
from funnn.torch.nn.modules._layer_classes import _get_activation_fn as _get_activation_fn
from funnn.torch.nn.modules._layer_classes import _get_clones as _get_clones


