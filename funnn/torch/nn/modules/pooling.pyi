# Made by .ci/stubs.py from the live objects; write to the sources, and run it again.

from funnn.torch.nn.modules._layer_classes import AdaptiveAvgPool1d as AdaptiveAvgPool1d
from funnn.torch.nn.modules._layer_classes import AdaptiveAvgPool2d as AdaptiveAvgPool2d
from funnn.torch.nn.modules._layer_classes import AdaptiveAvgPool3d as AdaptiveAvgPool3d
from funnn.torch.nn.modules._layer_classes import AdaptiveMaxPool1d as AdaptiveMaxPool1d
from funnn.torch.nn.modules._layer_classes import AdaptiveMaxPool2d as AdaptiveMaxPool2d
from funnn.torch.nn.modules._layer_classes import AdaptiveMaxPool3d as AdaptiveMaxPool3d
from funnn.torch.nn.modules._layer_classes import AvgPool1d as AvgPool1d
from funnn.torch.nn.modules._layer_classes import AvgPool2d as AvgPool2d
from funnn.torch.nn.modules._layer_classes import AvgPool3d as AvgPool3d
from funnn.torch.nn.modules._layer_classes import FractionalMaxPool2d as FractionalMaxPool2d
from funnn.torch.nn.modules._layer_classes import FractionalMaxPool3d as FractionalMaxPool3d
from funnn.torch.nn.modules._layer_classes import LPPool1d as LPPool1d
from funnn.torch.nn.modules._layer_classes import LPPool2d as LPPool2d
from funnn.torch.nn.modules._layer_classes import LPPool3d as LPPool3d
from funnn.torch.nn.modules._layer_classes import MaxPool1d as MaxPool1d
from funnn.torch.nn.modules._layer_classes import MaxPool2d as MaxPool2d
from funnn.torch.nn.modules._layer_classes import MaxPool3d as MaxPool3d
from funnn.torch.nn.modules._layer_classes import MaxUnpool1d as MaxUnpool1d
from funnn.torch.nn.modules._layer_classes import MaxUnpool2d as MaxUnpool2d
from funnn.torch.nn.modules._layer_classes import MaxUnpool3d as MaxUnpool3d
from funnn.torch.nn.modules._layer_classes import _AdaptiveAvgPoolNd as _AdaptiveAvgPoolNd
from funnn.torch.nn.modules._layer_classes import _AdaptiveMaxPoolNd as _AdaptiveMaxPoolNd
from funnn.torch.nn.modules._layer_classes import _AvgPoolNd as _AvgPoolNd
from funnn.torch.nn.modules._layer_classes import _LPPoolNd as _LPPoolNd
from funnn.torch.nn.modules._layer_classes import _MaxPoolNd as _MaxPoolNd
from funnn.torch.nn.modules._layer_classes import _MaxUnpoolNd as _MaxUnpoolNd
from funnn.torch.nn.modules._layer_classes import _Pool as _Pool


