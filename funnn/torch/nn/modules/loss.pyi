# Made by .ci/stubs.py from the live objects; write to the sources, and run it again.

from funnn.torch.nn.modules._layer_classes import BCELoss as BCELoss
from funnn.torch.nn.modules._layer_classes import BCEWithLogitsLoss as BCEWithLogitsLoss
from funnn.torch.nn.modules._layer_classes import CTCLoss as CTCLoss
from funnn.torch.nn.modules._layer_classes import CosineEmbeddingLoss as CosineEmbeddingLoss
from funnn.torch.nn.modules._layer_classes import CrossEntropyLoss as CrossEntropyLoss
from funnn.torch.nn.modules._layer_classes import GaussianNLLLoss as GaussianNLLLoss
from funnn.torch.nn.modules._layer_classes import HingeEmbeddingLoss as HingeEmbeddingLoss
from funnn.torch.nn.modules._layer_classes import HuberLoss as HuberLoss
from funnn.torch.nn.modules._layer_classes import KLDivLoss as KLDivLoss
from funnn.torch.nn.modules._layer_classes import L1Loss as L1Loss
from funnn.torch.nn.modules._layer_classes import LinearCrossEntropyLoss as LinearCrossEntropyLoss
from funnn.torch.nn.modules._layer_classes import MSELoss as MSELoss
from funnn.torch.nn.modules._layer_classes import MarginRankingLoss as MarginRankingLoss
from funnn.torch.nn.modules._layer_classes import MultiLabelMarginLoss as MultiLabelMarginLoss
from funnn.torch.nn.modules._layer_classes import MultiLabelSoftMarginLoss as MultiLabelSoftMarginLoss
from funnn.torch.nn.modules._layer_classes import MultiMarginLoss as MultiMarginLoss
from funnn.torch.nn.modules._layer_classes import NLLLoss as NLLLoss
from funnn.torch.nn.modules._layer_classes import NLLLoss2d as NLLLoss2d
from funnn.torch.nn.modules._layer_classes import PoissonNLLLoss as PoissonNLLLoss
from funnn.torch.nn.modules._layer_classes import SmoothL1Loss as SmoothL1Loss
from funnn.torch.nn.modules._layer_classes import SoftMarginLoss as SoftMarginLoss
from funnn.torch.nn.modules._layer_classes import TripletMarginLoss as TripletMarginLoss
from funnn.torch.nn.modules._layer_classes import TripletMarginWithDistanceLoss as TripletMarginWithDistanceLoss
from funnn.torch.nn.modules._layer_classes import _Loss as _Loss
from funnn.torch.nn.modules._layer_classes import _WeightedLoss as _WeightedLoss


