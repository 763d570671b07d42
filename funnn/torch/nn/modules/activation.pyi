# Made by .ci/stubs.py from the live objects; write to the sources, and run it again.

from funnn.torch.nn.modules._layer_classes import CELU as CELU
from funnn.torch.nn.modules._layer_classes import ELU as ELU
from funnn.torch.nn.modules._layer_classes import GELU as GELU
from funnn.torch.nn.modules._layer_classes import GLU as GLU
from funnn.torch.nn.modules._layer_classes import Hardshrink as Hardshrink
from funnn.torch.nn.modules._layer_classes import Hardsigmoid as Hardsigmoid
from funnn.torch.nn.modules._layer_classes import Hardswish as Hardswish
from funnn.torch.nn.modules._layer_classes import Hardtanh as Hardtanh
from funnn.torch.nn.modules._layer_classes import LeakyReLU as LeakyReLU
from funnn.torch.nn.modules._layer_classes import LogSigmoid as LogSigmoid
from funnn.torch.nn.modules._layer_classes import LogSoftmax as LogSoftmax
from funnn.torch.nn.modules._layer_classes import Mish as Mish
from funnn.torch.nn.modules._layer_classes import MultiheadAttention as MultiheadAttention
from funnn.torch.nn.modules._layer_classes import PReLU as PReLU
from funnn.torch.nn.modules._layer_classes import RReLU as RReLU
from funnn.torch.nn.modules._layer_classes import ReLU as ReLU
from funnn.torch.nn.modules._layer_classes import ReLU6 as ReLU6
from funnn.torch.nn.modules._layer_classes import SELU as SELU
from funnn.torch.nn.modules._layer_classes import SiLU as SiLU
from funnn.torch.nn.modules._layer_classes import Sigmoid as Sigmoid
from funnn.torch.nn.modules._layer_classes import Softmax as Softmax
from funnn.torch.nn.modules._layer_classes import Softmax2d as Softmax2d
from funnn.torch.nn.modules._layer_classes import Softmin as Softmin
from funnn.torch.nn.modules._layer_classes import Softplus as Softplus
from funnn.torch.nn.modules._layer_classes import Softshrink as Softshrink
from funnn.torch.nn.modules._layer_classes import Softsign as Softsign
from funnn.torch.nn.modules._layer_classes import Tanh as Tanh
from funnn.torch.nn.modules._layer_classes import Tanhshrink as Tanhshrink
from funnn.torch.nn.modules._layer_classes import Threshold as Threshold
from funnn.torch.nn.modules._layer_classes import _Activation as _Activation


