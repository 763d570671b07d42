"""torchvision.models.segmentation.lraspp."""

from funnn.torchvision.models.segmentation._builders import LRASPP_MobileNet_V3_Large_Weights as LRASPP_MobileNet_V3_Large_Weights
from funnn.torchvision.models.segmentation._builders import lraspp_mobilenet_v3_large as lraspp_mobilenet_v3_large
from funnn.torchvision.models.segmentation._heads import LRASPP as LRASPP
from funnn.torchvision.models.segmentation._heads import LRASPPHead as LRASPPHead
