"""torchvision.models: networks, by their functions and by name."""

from typing import NoReturn

from funnn.torchvision._missing import missing as _missing
from funnn.torchvision.models import feature_extraction as feature_extraction
from funnn.torchvision.models import segmentation as segmentation
from funnn.torchvision.models._api import Weights as Weights
from funnn.torchvision.models._api import WeightsEnum as WeightsEnum
from funnn.torchvision.models._api import get_model as get_model
from funnn.torchvision.models._api import get_model_builder as get_model_builder
from funnn.torchvision.models._api import get_model_weights as get_model_weights
from funnn.torchvision.models._api import get_weight as get_weight
from funnn.torchvision.models._api import list_models as list_models
from funnn.torchvision.models.alexnet import AlexNet as AlexNet
from funnn.torchvision.models.alexnet import AlexNet_Weights as AlexNet_Weights
from funnn.torchvision.models.alexnet import alexnet as alexnet
from funnn.torchvision.models.convnext import ConvNeXt as ConvNeXt
from funnn.torchvision.models.convnext import ConvNeXt_Base_Weights as ConvNeXt_Base_Weights
from funnn.torchvision.models.convnext import ConvNeXt_Large_Weights as ConvNeXt_Large_Weights
from funnn.torchvision.models.convnext import ConvNeXt_Small_Weights as ConvNeXt_Small_Weights
from funnn.torchvision.models.convnext import ConvNeXt_Tiny_Weights as ConvNeXt_Tiny_Weights
from funnn.torchvision.models.convnext import convnext_base as convnext_base
from funnn.torchvision.models.convnext import convnext_large as convnext_large
from funnn.torchvision.models.convnext import convnext_small as convnext_small
from funnn.torchvision.models.convnext import convnext_tiny as convnext_tiny
from funnn.torchvision.models.densenet import DenseNet as DenseNet
from funnn.torchvision.models.densenet import DenseNet121_Weights as DenseNet121_Weights
from funnn.torchvision.models.densenet import DenseNet161_Weights as DenseNet161_Weights
from funnn.torchvision.models.densenet import DenseNet169_Weights as DenseNet169_Weights
from funnn.torchvision.models.densenet import DenseNet201_Weights as DenseNet201_Weights
from funnn.torchvision.models.densenet import densenet121 as densenet121
from funnn.torchvision.models.densenet import densenet161 as densenet161
from funnn.torchvision.models.densenet import densenet169 as densenet169
from funnn.torchvision.models.densenet import densenet201 as densenet201
from funnn.torchvision.models.efficientnet import EfficientNet as EfficientNet
from funnn.torchvision.models.efficientnet import EfficientNet_B0_Weights as EfficientNet_B0_Weights
from funnn.torchvision.models.efficientnet import EfficientNet_B1_Weights as EfficientNet_B1_Weights
from funnn.torchvision.models.efficientnet import EfficientNet_B2_Weights as EfficientNet_B2_Weights
from funnn.torchvision.models.efficientnet import EfficientNet_B3_Weights as EfficientNet_B3_Weights
from funnn.torchvision.models.efficientnet import EfficientNet_B4_Weights as EfficientNet_B4_Weights
from funnn.torchvision.models.efficientnet import EfficientNet_B5_Weights as EfficientNet_B5_Weights
from funnn.torchvision.models.efficientnet import EfficientNet_B6_Weights as EfficientNet_B6_Weights
from funnn.torchvision.models.efficientnet import EfficientNet_B7_Weights as EfficientNet_B7_Weights
from funnn.torchvision.models.efficientnet import EfficientNet_V2_L_Weights as EfficientNet_V2_L_Weights
from funnn.torchvision.models.efficientnet import EfficientNet_V2_M_Weights as EfficientNet_V2_M_Weights
from funnn.torchvision.models.efficientnet import EfficientNet_V2_S_Weights as EfficientNet_V2_S_Weights
from funnn.torchvision.models.efficientnet import efficientnet_b0 as efficientnet_b0
from funnn.torchvision.models.efficientnet import efficientnet_b1 as efficientnet_b1
from funnn.torchvision.models.efficientnet import efficientnet_b2 as efficientnet_b2
from funnn.torchvision.models.efficientnet import efficientnet_b3 as efficientnet_b3
from funnn.torchvision.models.efficientnet import efficientnet_b4 as efficientnet_b4
from funnn.torchvision.models.efficientnet import efficientnet_b5 as efficientnet_b5
from funnn.torchvision.models.efficientnet import efficientnet_b6 as efficientnet_b6
from funnn.torchvision.models.efficientnet import efficientnet_b7 as efficientnet_b7
from funnn.torchvision.models.efficientnet import efficientnet_v2_l as efficientnet_v2_l
from funnn.torchvision.models.efficientnet import efficientnet_v2_m as efficientnet_v2_m
from funnn.torchvision.models.efficientnet import efficientnet_v2_s as efficientnet_v2_s
from funnn.torchvision.models.googlenet import GoogLeNet as GoogLeNet
from funnn.torchvision.models.googlenet import GoogLeNet_Weights as GoogLeNet_Weights
from funnn.torchvision.models.googlenet import GoogLeNetOutputs as GoogLeNetOutputs
from funnn.torchvision.models.googlenet import googlenet as googlenet
from funnn.torchvision.models.inception import Inception3 as Inception3
from funnn.torchvision.models.inception import Inception_V3_Weights as Inception_V3_Weights
from funnn.torchvision.models.inception import InceptionOutputs as InceptionOutputs
from funnn.torchvision.models.inception import inception_v3 as inception_v3
from funnn.torchvision.models.mobilenetv2 import MobileNet_V2_Weights as MobileNet_V2_Weights
from funnn.torchvision.models.mobilenetv2 import MobileNetV2 as MobileNetV2
from funnn.torchvision.models.mobilenetv2 import mobilenet_v2 as mobilenet_v2
from funnn.torchvision.models.mobilenetv3 import MobileNet_V3_Large_Weights as MobileNet_V3_Large_Weights
from funnn.torchvision.models.mobilenetv3 import MobileNet_V3_Small_Weights as MobileNet_V3_Small_Weights
from funnn.torchvision.models.mobilenetv3 import MobileNetV3 as MobileNetV3
from funnn.torchvision.models.mobilenetv3 import mobilenet_v3_large as mobilenet_v3_large
from funnn.torchvision.models.mobilenetv3 import mobilenet_v3_small as mobilenet_v3_small
from funnn.torchvision.models.resnet import ResNet as ResNet
from funnn.torchvision.models.resnet import ResNet18_Weights as ResNet18_Weights
from funnn.torchvision.models.resnet import ResNet34_Weights as ResNet34_Weights
from funnn.torchvision.models.resnet import ResNet50_Weights as ResNet50_Weights
from funnn.torchvision.models.resnet import ResNet101_Weights as ResNet101_Weights
from funnn.torchvision.models.resnet import ResNet152_Weights as ResNet152_Weights
from funnn.torchvision.models.resnet import ResNeXt50_32X4D_Weights as ResNeXt50_32X4D_Weights
from funnn.torchvision.models.resnet import ResNeXt101_32X8D_Weights as ResNeXt101_32X8D_Weights
from funnn.torchvision.models.resnet import ResNeXt101_64X4D_Weights as ResNeXt101_64X4D_Weights
from funnn.torchvision.models.resnet import Wide_ResNet50_2_Weights as Wide_ResNet50_2_Weights
from funnn.torchvision.models.resnet import Wide_ResNet101_2_Weights as Wide_ResNet101_2_Weights
from funnn.torchvision.models.resnet import resnet18 as resnet18
from funnn.torchvision.models.resnet import resnet34 as resnet34
from funnn.torchvision.models.resnet import resnet50 as resnet50
from funnn.torchvision.models.resnet import resnet101 as resnet101
from funnn.torchvision.models.resnet import resnet152 as resnet152
from funnn.torchvision.models.resnet import resnext50_32x4d as resnext50_32x4d
from funnn.torchvision.models.resnet import resnext101_32x8d as resnext101_32x8d
from funnn.torchvision.models.resnet import resnext101_64x4d as resnext101_64x4d
from funnn.torchvision.models.resnet import wide_resnet50_2 as wide_resnet50_2
from funnn.torchvision.models.resnet import wide_resnet101_2 as wide_resnet101_2
from funnn.torchvision.models.squeezenet import SqueezeNet as SqueezeNet
from funnn.torchvision.models.squeezenet import SqueezeNet1_0_Weights as SqueezeNet1_0_Weights
from funnn.torchvision.models.squeezenet import SqueezeNet1_1_Weights as SqueezeNet1_1_Weights
from funnn.torchvision.models.squeezenet import squeezenet1_0 as squeezenet1_0
from funnn.torchvision.models.squeezenet import squeezenet1_1 as squeezenet1_1
from funnn.torchvision.models.swin_transformer import Swin_B_Weights as Swin_B_Weights
from funnn.torchvision.models.swin_transformer import Swin_S_Weights as Swin_S_Weights
from funnn.torchvision.models.swin_transformer import Swin_T_Weights as Swin_T_Weights
from funnn.torchvision.models.swin_transformer import Swin_V2_B_Weights as Swin_V2_B_Weights
from funnn.torchvision.models.swin_transformer import Swin_V2_S_Weights as Swin_V2_S_Weights
from funnn.torchvision.models.swin_transformer import Swin_V2_T_Weights as Swin_V2_T_Weights
from funnn.torchvision.models.swin_transformer import SwinTransformer as SwinTransformer
from funnn.torchvision.models.swin_transformer import swin_b as swin_b
from funnn.torchvision.models.swin_transformer import swin_s as swin_s
from funnn.torchvision.models.swin_transformer import swin_t as swin_t
from funnn.torchvision.models.swin_transformer import swin_v2_b as swin_v2_b
from funnn.torchvision.models.swin_transformer import swin_v2_s as swin_v2_s
from funnn.torchvision.models.swin_transformer import swin_v2_t as swin_v2_t
from funnn.torchvision.models.vgg import VGG as VGG
from funnn.torchvision.models.vgg import VGG11_BN_Weights as VGG11_BN_Weights
from funnn.torchvision.models.vgg import VGG11_Weights as VGG11_Weights
from funnn.torchvision.models.vgg import VGG13_BN_Weights as VGG13_BN_Weights
from funnn.torchvision.models.vgg import VGG13_Weights as VGG13_Weights
from funnn.torchvision.models.vgg import VGG16_BN_Weights as VGG16_BN_Weights
from funnn.torchvision.models.vgg import VGG16_Weights as VGG16_Weights
from funnn.torchvision.models.vgg import VGG19_BN_Weights as VGG19_BN_Weights
from funnn.torchvision.models.vgg import VGG19_Weights as VGG19_Weights
from funnn.torchvision.models.vgg import vgg11 as vgg11
from funnn.torchvision.models.vgg import vgg11_bn as vgg11_bn
from funnn.torchvision.models.vgg import vgg13 as vgg13
from funnn.torchvision.models.vgg import vgg13_bn as vgg13_bn
from funnn.torchvision.models.vgg import vgg16 as vgg16
from funnn.torchvision.models.vgg import vgg16_bn as vgg16_bn
from funnn.torchvision.models.vgg import vgg19 as vgg19
from funnn.torchvision.models.vgg import vgg19_bn as vgg19_bn
from funnn.torchvision.models.vision_transformer import VisionTransformer as VisionTransformer
from funnn.torchvision.models.vision_transformer import ViT_B_16_Weights as ViT_B_16_Weights
from funnn.torchvision.models.vision_transformer import ViT_B_32_Weights as ViT_B_32_Weights
from funnn.torchvision.models.vision_transformer import ViT_H_14_Weights as ViT_H_14_Weights
from funnn.torchvision.models.vision_transformer import ViT_L_16_Weights as ViT_L_16_Weights
from funnn.torchvision.models.vision_transformer import ViT_L_32_Weights as ViT_L_32_Weights
from funnn.torchvision.models.vision_transformer import vit_b_16 as vit_b_16
from funnn.torchvision.models.vision_transformer import vit_b_32 as vit_b_32
from funnn.torchvision.models.vision_transformer import vit_h_14 as vit_h_14
from funnn.torchvision.models.vision_transformer import vit_l_16 as vit_l_16
from funnn.torchvision.models.vision_transformer import vit_l_32 as vit_l_32

_FAMILIES = "it is not among the families of funnn.torchvision; its state dict loads into a module with the same names"
_REASONS = {
    **dict.fromkeys(("detection", "video", "optical_flow", "quantization", "RegNet", "MNASNet", "MaxVit"), _FAMILIES),
    **dict.fromkeys(("ShuffleNetV2", "mnasnet0_5", "mnasnet1_0", "maxvit_t", "regnet_y_400mf", "shufflenet_v2_x1_0"), _FAMILIES),
}


def __getattr__(name: str) -> NoReturn:
    """For what is not there: the reason, where torchvision has it."""
    _missing("torchvision.models", name, _REASONS)
