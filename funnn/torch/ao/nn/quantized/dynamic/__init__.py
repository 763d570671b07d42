"""torch.ao.nn.quantized.dynamic: modules whose weights are of 8 bits and whose inputs are rounded at each call."""

from funnn.torch.ao.nn.quantized.dynamic.modules import GRU as GRU
from funnn.torch.ao.nn.quantized.dynamic.modules import LSTM as LSTM
from funnn.torch.ao.nn.quantized.dynamic.modules import GRUCell as GRUCell
from funnn.torch.ao.nn.quantized.dynamic.modules import Linear as Linear
from funnn.torch.ao.nn.quantized.dynamic.modules import LSTMCell as LSTMCell
from funnn.torch.ao.nn.quantized.dynamic.modules import RNNCell as RNNCell

__all__ = ["GRU", "LSTM", "GRUCell", "LSTMCell", "Linear", "RNNCell"]
