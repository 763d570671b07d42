"""torchvision.models.segmentation.deeplabv3."""

from funnn.torchvision.models.segmentation._builders import DeepLabV3_MobileNet_V3_Large_Weights as DeepLabV3_MobileNet_V3_Large_Weights
from funnn.torchvision.models.segmentation._builders import DeepLabV3_ResNet50_Weights as DeepLabV3_ResNet50_Weights
from funnn.torchvision.models.segmentation._builders import DeepLabV3_ResNet101_Weights as DeepLabV3_ResNet101_Weights
from funnn.torchvision.models.segmentation._builders import deeplabv3_mobilenet_v3_large as deeplabv3_mobilenet_v3_large
from funnn.torchvision.models.segmentation._builders import deeplabv3_resnet50 as deeplabv3_resnet50
from funnn.torchvision.models.segmentation._builders import deeplabv3_resnet101 as deeplabv3_resnet101
from funnn.torchvision.models.segmentation._heads import ASPP as ASPP
from funnn.torchvision.models.segmentation._heads import DeepLabHead as DeepLabHead
from funnn.torchvision.models.segmentation._heads import DeepLabV3 as DeepLabV3
