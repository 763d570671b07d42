"""Models of which torchvision and funnn.torchvision give the same: parameters by the seed, outputs, and gradients."""

from __future__ import annotations

import hashlib
import warnings
from types import ModuleType
from typing import Any

from tests.vision.summaries import summary

#: Name, arguments, size of the images, and whether a step in training mode is compared too.
MODELS: list[tuple[str, dict[str, Any], int, bool]] = [
    ("alexnet", {"num_classes": 5}, 64, True),
    ("vgg11", {}, 32, False),
    ("vgg11_bn", {"num_classes": 3}, 32, False),
    ("resnet18", {"num_classes": 10}, 64, True),
    ("resnet34", {"zero_init_residual": True}, 64, False),
    ("resnet50", {"replace_stride_with_dilation": [False, True, True]}, 64, False),
    ("resnext50_32x4d", {}, 64, False),
    ("wide_resnet50_2", {}, 64, False),
    ("densenet121", {"drop_rate": 0.1}, 64, True),
    ("densenet161", {}, 64, False),
    ("squeezenet1_0", {}, 64, False),
    ("squeezenet1_1", {"num_classes": 7}, 64, True),
    ("googlenet", {"init_weights": True, "num_classes": 9}, 64, True),
    ("googlenet", {"aux_logits": False, "init_weights": False, "transform_input": True}, 64, False),
    ("inception_v3", {"init_weights": True, "num_classes": 4}, 139, False),
    ("mobilenet_v2", {"num_classes": 6}, 64, True),
    ("mobilenet_v2", {"width_mult": 0.35}, 64, False),
    ("mobilenet_v3_large", {}, 64, False),
    ("mobilenet_v3_small", {"num_classes": 4, "reduced_tail": True, "dilated": True}, 64, True),
    ("efficientnet_b0", {"num_classes": 3}, 64, True),
    ("efficientnet_b1", {}, 64, False),
    ("efficientnet_b5", {"num_classes": 2}, 64, False),
    ("efficientnet_v2_s", {"num_classes": 3}, 64, False),
    ("convnext_tiny", {"num_classes": 3}, 64, False),
    ("vit_b_32", {"image_size": 64, "num_classes": 3, "representation_size": 8}, 64, False),
    ("vit_b_16", {"image_size": 32, "num_classes": 3, "dropout": 0.1}, 32, False),
    ("swin_t", {"num_classes": 3}, 65, False),
    ("swin_v2_t", {"num_classes": 3}, 64, False),
    ("fcn_resnet50", {"weights_backbone": None, "num_classes": 3, "aux_loss": True}, 33, False),
    ("deeplabv3_resnet50", {"weights_backbone": None}, 33, False),
    ("deeplabv3_mobilenet_v3_large", {"weights_backbone": None, "aux_loss": True}, 64, False),
    ("lraspp_mobilenet_v3_large", {"weights_backbone": None, "num_classes": 4}, 64, True),
]


#: Small ones of the same families, with the size of the images and whether a step is compared; ``m`` is torchvision.models.
TINY: dict[str, tuple[int, bool]] = {
    "m.ResNet(m.resnet.Bottleneck,[1,1,1,1],num_classes=3,groups=2,width_per_group=8)": (16, False),
    "m.DenseNet(4,(2,1),8,num_classes=2)": (32, True),
    "m.MobileNetV2(3,inverted_residual_setting=[[1,8,1,1],[6,8,2,2]])": (16, False),
    "m.MobileNetV3([m.mobilenetv3.InvertedResidualConfig(8,3,16,8,True,'HS',1,1,1.)],16,num_classes=3)": (16, True),
    "m.EfficientNet([m.efficientnet.MBConvConfig(4,3,1,8,8,2),m.efficientnet.FusedMBConvConfig(4,3,2,8,16,1)],.1,num_classes=3)": (
        16,
        False,
    ),
    "m.ConvNeXt([m.convnext.CNBlockConfig(8,16,2),m.convnext.CNBlockConfig(16,None,1)],.3,num_classes=3)": (16, False),
    "m.VisionTransformer(16,8,2,2,8,16,dropout=.1,num_classes=3)": (16, True),
    "m.SwinTransformer([2,2],8,[2,2],[1,2],[3,3],num_classes=3)": (17, False),
    "m.SwinTransformer([2,2],8,[2],[2],[3,4],num_classes=3,block=m.swin_transformer.SwinTransformerBlockV2)": (18, False),
    "m.segmentation.FCN(m._utils.IntermediateLayerGetter(m.resnet18(),{'layer2':'out'}),m.segmentation.fcn.FCNHead(128,3))": (17, False),
}


def title(name: str, options: dict[str, Any]) -> str:
    """What a model is called in the table of results."""
    return f"{name}({', '.join(f'{key}={value}' for key, value in options.items())})"


def result(torch: ModuleType, vision: ModuleType, name: str, options: dict[str, Any], size: int, trained: bool) -> dict[str, Any]:
    """What a model of torchvision's gives."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = vision.models.get_model(name, weights=None, **options)
    return _result(torch, net, size, trained)


def tiny_result(torch: ModuleType, vision: ModuleType, expression: str, size: int, trained: bool) -> dict[str, Any]:
    """What a small model gives."""
    torch.manual_seed(0)
    return _result(torch, eval(expression, {"m": vision.models}), size, trained)


def _result(torch: ModuleType, net: Any, size: int, trained: bool) -> dict[str, Any]:
    """The summaries of a model's text, names, parameters, outputs, and of the gradients of one step."""
    state = net.state_dict()
    names = "\n".join(f"{key} {tuple(value.shape)}" for key, value in state.items())
    sums = torch.stack([value.double().sum() for value in state.values()])
    images = torch.rand(2, 3, size, size)
    found: dict[str, Any] = {"names": hashlib.sha256(names.encode()).hexdigest()[:12], "parameters": summary(sums)}
    found["text"] = hashlib.sha256(str(net).encode()).hexdigest()[:12]
    with torch.no_grad():
        found["eval"] = summary(net.eval()(images))
    if trained:
        outputs = net.double().train()(images.double())  # in float32, norms over few numbers enlarge the last digit
        outputs = list(outputs.values()) if isinstance(outputs, dict) else list(outputs) if isinstance(outputs, tuple) else [outputs]
        sum((out**2).mean() for out in outputs).backward()
        found["train"] = summary(outputs)
        found["gradients"] = summary(torch.stack([p.grad.double().abs().sum() for p in net.parameters()]))
    return found
