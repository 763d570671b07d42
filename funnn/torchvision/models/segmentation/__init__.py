"""torchvision.models.segmentation: a class for each pixel."""

from funnn.torchvision.models.segmentation._builders import DeepLabV3_MobileNet_V3_Large_Weights as DeepLabV3_MobileNet_V3_Large_Weights
from funnn.torchvision.models.segmentation._builders import DeepLabV3_ResNet50_Weights as DeepLabV3_ResNet50_Weights
from funnn.torchvision.models.segmentation._builders import DeepLabV3_ResNet101_Weights as DeepLabV3_ResNet101_Weights
from funnn.torchvision.models.segmentation._builders import FCN_ResNet50_Weights as FCN_ResNet50_Weights
from funnn.torchvision.models.segmentation._builders import FCN_ResNet101_Weights as FCN_ResNet101_Weights
from funnn.torchvision.models.segmentation._builders import LRASPP_MobileNet_V3_Large_Weights as LRASPP_MobileNet_V3_Large_Weights
from funnn.torchvision.models.segmentation._builders import deeplabv3_mobilenet_v3_large as deeplabv3_mobilenet_v3_large
from funnn.torchvision.models.segmentation._builders import deeplabv3_resnet50 as deeplabv3_resnet50
from funnn.torchvision.models.segmentation._builders import deeplabv3_resnet101 as deeplabv3_resnet101
from funnn.torchvision.models.segmentation._builders import fcn_resnet50 as fcn_resnet50
from funnn.torchvision.models.segmentation._builders import fcn_resnet101 as fcn_resnet101
from funnn.torchvision.models.segmentation._builders import lraspp_mobilenet_v3_large as lraspp_mobilenet_v3_large
from funnn.torchvision.models.segmentation._heads import FCN as FCN
from funnn.torchvision.models.segmentation._heads import LRASPP as LRASPP
from funnn.torchvision.models.segmentation._heads import DeepLabV3 as DeepLabV3
