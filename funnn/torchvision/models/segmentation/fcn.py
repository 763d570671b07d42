"""torchvision.models.segmentation.fcn."""

from funnn.torchvision.models.segmentation._builders import FCN_ResNet50_Weights as FCN_ResNet50_Weights
from funnn.torchvision.models.segmentation._builders import FCN_ResNet101_Weights as FCN_ResNet101_Weights
from funnn.torchvision.models.segmentation._builders import fcn_resnet50 as fcn_resnet50
from funnn.torchvision.models.segmentation._builders import fcn_resnet101 as fcn_resnet101
from funnn.torchvision.models.segmentation._heads import FCN as FCN
from funnn.torchvision.models.segmentation._heads import FCNHead as FCNHead
