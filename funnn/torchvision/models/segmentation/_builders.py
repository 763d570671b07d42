"""The models of segmentation by name. Where ``weights`` are not named, their backbones have trained weights by default, as in torchvision."""

from __future__ import annotations

from typing import Any

from funnn.torchvision.models._api import model, weights_of
from funnn.torchvision.models._utils import IntermediateLayerGetter
from funnn.torchvision.models.mobilenetv3 import MobileNet_V3_Large_Weights, mobilenet_v3_large
from funnn.torchvision.models.resnet import ResNet50_Weights, ResNet101_Weights, resnet50, resnet101
from funnn.torchvision.models.segmentation._heads import FCN, LRASPP, DeepLabHead, DeepLabV3, FCNHead

FCN_ResNet50_Weights = weights_of("FCN_ResNet50_Weights", __name__)
FCN_ResNet101_Weights = weights_of("FCN_ResNet101_Weights", __name__)
DeepLabV3_ResNet50_Weights = weights_of("DeepLabV3_ResNet50_Weights", __name__)
DeepLabV3_ResNet101_Weights = weights_of("DeepLabV3_ResNet101_Weights", __name__)
DeepLabV3_MobileNet_V3_Large_Weights = weights_of("DeepLabV3_MobileNet_V3_Large_Weights", __name__)
LRASPP_MobileNet_V3_Large_Weights = weights_of("LRASPP_MobileNet_V3_Large_Weights", __name__)


def _on_resnet(kind: Any, head: Any, backbone: Any, num_classes: int | None, aux_loss: bool | None) -> Any:
    layers = {"layer4": "out", **({"layer3": "aux"} if aux_loss else {})}
    features, classes = IntermediateLayerGetter(backbone, layers), num_classes or 21
    aux = FCNHead(1024, classes) if aux_loss else None
    return kind(features, head(2048, classes), aux)


def _stages(features: Any) -> list[int]:
    """The first block, those that halve the size, and the last."""
    inside = [i for i, block in enumerate(features) if getattr(block, "_is_cn", False)]
    return [0, *inside, len(features) - 1]


_DILATED = [False, True, True]


@model(FCN_ResNet50_Weights, weights_backbone=None, aux_loss=True)
def fcn_resnet50(
    *,
    weights: Any = None,
    progress: bool = True,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    weights_backbone: Any = ResNet50_Weights.IMAGENET1K_V1,
    **kwargs: Any,
) -> FCN:
    """FCN on a ResNet-50.

    Args:
      weights: trained weights of all.
      progress: not used.
      num_classes: how many classes there are; by default 21.
      aux_loss: whether there is a second classifier, of features of the stage before the last.
      weights_backbone: trained weights of the ResNet.
      **kwargs: not used.
    """
    return _on_resnet(FCN, FCNHead, resnet50(weights=weights_backbone, replace_stride_with_dilation=_DILATED), num_classes, aux_loss)


@model(FCN_ResNet101_Weights, weights_backbone=None, aux_loss=True)
def fcn_resnet101(
    *,
    weights: Any = None,
    progress: bool = True,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    weights_backbone: Any = ResNet101_Weights.IMAGENET1K_V1,
    **kwargs: Any,
) -> FCN:
    """FCN on a ResNet-101; the arguments are those of :func:`fcn_resnet50`."""
    return _on_resnet(FCN, FCNHead, resnet101(weights=weights_backbone, replace_stride_with_dilation=_DILATED), num_classes, aux_loss)


@model(DeepLabV3_ResNet50_Weights, weights_backbone=None, aux_loss=True)
def deeplabv3_resnet50(
    *,
    weights: Any = None,
    progress: bool = True,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    weights_backbone: Any = ResNet50_Weights.IMAGENET1K_V1,
    **kwargs: Any,
) -> DeepLabV3:
    """DeepLab V3 on a ResNet-50; the arguments are those of :func:`fcn_resnet50`."""
    backbone = resnet50(weights=weights_backbone, replace_stride_with_dilation=_DILATED)
    return _on_resnet(DeepLabV3, DeepLabHead, backbone, num_classes, aux_loss)


@model(DeepLabV3_ResNet101_Weights, weights_backbone=None, aux_loss=True)
def deeplabv3_resnet101(
    *,
    weights: Any = None,
    progress: bool = True,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    weights_backbone: Any = ResNet101_Weights.IMAGENET1K_V1,
    **kwargs: Any,
) -> DeepLabV3:
    """DeepLab V3 on a ResNet-101; the arguments are those of :func:`fcn_resnet50`."""
    backbone = resnet101(weights=weights_backbone, replace_stride_with_dilation=_DILATED)
    return _on_resnet(DeepLabV3, DeepLabHead, backbone, num_classes, aux_loss)


@model(DeepLabV3_MobileNet_V3_Large_Weights, weights_backbone=None, aux_loss=True)
def deeplabv3_mobilenet_v3_large(
    *,
    weights: Any = None,
    progress: bool = True,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    weights_backbone: Any = MobileNet_V3_Large_Weights.IMAGENET1K_V1,
    **kwargs: Any,
) -> DeepLabV3:
    """DeepLab V3 on a large MobileNet V3; the arguments are those of :func:`fcn_resnet50`."""
    features = mobilenet_v3_large(weights=weights_backbone, dilated=True).features
    stages, classes = _stages(features), num_classes or 21
    out, inside = stages[-1], stages[-4]
    wide, narrow = features[out].out_channels, features[inside].out_channels
    backbone = IntermediateLayerGetter(features, {str(out): "out", **({str(inside): "aux"} if aux_loss else {})})
    aux = FCNHead(narrow, classes) if aux_loss else None
    return DeepLabV3(backbone, DeepLabHead(wide, classes), aux)


@model(LRASPP_MobileNet_V3_Large_Weights, weights_backbone=None)
def lraspp_mobilenet_v3_large(
    *,
    weights: Any = None,
    progress: bool = True,
    num_classes: int | None = None,
    weights_backbone: Any = MobileNet_V3_Large_Weights.IMAGENET1K_V1,
    **kwargs: Any,
) -> LRASPP:
    """LR-ASPP on a large MobileNet V3; the arguments are those of :func:`fcn_resnet50`, but for ``aux_loss``."""
    features = mobilenet_v3_large(weights=weights_backbone, dilated=True).features
    stages = _stages(features)
    low, high = stages[-4], stages[-1]
    sizes = features[low].out_channels, features[high].out_channels
    backbone = IntermediateLayerGetter(features, {str(low): "low", str(high): "high"})
    return LRASPP(backbone, *sizes, num_classes or 21)
