"""torch.ao.nn.quantized.dynamic.modules."""

from funnn.torch.ao.nn.quantized.dynamic.modules.linear import Linear as Linear
from funnn.torch.ao.nn.quantized.dynamic.modules.rnn import GRU as GRU
from funnn.torch.ao.nn.quantized.dynamic.modules.rnn import LSTM as LSTM
from funnn.torch.ao.nn.quantized.dynamic.modules.rnn import GRUCell as GRUCell
from funnn.torch.ao.nn.quantized.dynamic.modules.rnn import LSTMCell as LSTMCell
from funnn.torch.ao.nn.quantized.dynamic.modules.rnn import RNNCell as RNNCell

__all__ = ["GRU", "LSTM", "GRUCell", "LSTMCell", "Linear", "RNNCell"]
