# Made by .ci/stubs.py from the live objects; write to the sources, and run it again.

from funnn.torch.nn.modules._layer_classes import GRU as GRU
from funnn.torch.nn.modules._layer_classes import GRUCell as GRUCell
from funnn.torch.nn.modules._layer_classes import LSTM as LSTM
from funnn.torch.nn.modules._layer_classes import LSTMCell as LSTMCell
from funnn.torch.nn.modules._layer_classes import RNN as RNN
from funnn.torch.nn.modules._layer_classes import RNNCell as RNNCell
from funnn.torch.nn.modules.recurrent import RNNBase as RNNBase
from funnn.torch.nn.modules.recurrent import RNNCellBase as RNNCellBase
from funnn.torch.nn.modules.recurrent import apply_permutation as apply_permutation


