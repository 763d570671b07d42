"""Expressions whose values torchvision and funnn.torchvision share; ``record.py`` writes what torchvision's are."""

from __future__ import annotations

import random
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from tests.vision.summaries import summary


def image(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Bytes (H, W, C): waves and noise."""
    y, x, c = np.mgrid[:height, :width, :channels]
    waves = 128 + 90 * np.sin(x / 7.0 + c) * np.cos(y / 5.0 - c)
    return np.clip(waves + np.random.RandomState(0).randint(-30, 30, waves.shape), 0, 255).astype(np.uint8)


def namespace(torch: ModuleType, vision: ModuleType) -> dict[str, Any]:
    """The names that expressions use."""
    bytes_ = image(24, 32)
    u8 = torch.from_numpy(bytes_.transpose(2, 0, 1).copy())
    pil = Image.fromarray(bytes_)
    return {
        **{"torch": torch, "vision": vision, "T": vision.transforms, "F": vision.transforms.functional, "np": np, "Image": Image},
        **{"M": vision.transforms.InterpolationMode, "P": vision.transforms.AutoAugmentPolicy, "bytes_": bytes_, "run": run},
        **{"u8": u8, "f": u8.float() / 255, "g": u8[:1], "batch": torch.stack([u8, 255 - u8]), "pil": pil, "grey": pil.convert("L")},
        **{"v2": vision.transforms.v2, "ops": vision.ops, "utils": vision.utils},
        "D": vision.datasets,
    }


def run(transform: Any, *inputs: Any) -> list[Any]:
    """What a transform gives at five calls."""
    return [transform(*inputs) for _ in range(5)]


def result(expression: str, names: dict[str, Any]) -> Any:
    """The summary of an expression's value, or the class of its error."""
    names["torch"].manual_seed(0)
    random.seed(0)
    try:
        return summary(eval(expression, dict(names)))
    except Exception as error:
        return f"{type(error).__name__}: {error}" if type(error) in (ValueError, TypeError, RuntimeError) else type(error).__name__


def each(template: str, **choices: str) -> list[str]:
    """The template with each of the choices, which are separated by spaces, in the places of their names."""
    found = [template]
    for name, values in choices.items():
        found = [text.replace(f"<{name}>", value) for text in found for value in values.split()]
    return found


FUNCTIONS = [
    *each(
        "F.to_tensor(<x>)",
        x="pil grey bytes_ u8 bytes_.astype(np.float32) bytes_[:,:,0] pil.convert('1') pil.convert('I') pil.convert('F')",
    ),
    *each("F.pil_to_tensor(<x>)", x="pil grey pil.convert('1') pil.convert('RGBA') u8"),
    *each("F.to_pil_image(<x>)", x="u8 f g f[0] bytes_ bytes_[:,:,:1] bytes_[:,:,:2] batch"),
    *each("F.to_pil_image(<x>)", x="torch.arange(12,dtype=torch.int16).reshape(3,4) torch.arange(12,dtype=torch.int32).reshape(3,4)"),
    *each("F.to_pil_image(u8,<m>)", m="'HSV' 'L' 'RGB'"),
    *each("F.convert_image_dtype(u8,torch.<d>)", d="float32 float64 int16 int32 uint8 int64"),
    *each("F.convert_image_dtype(f,torch.<d>)", d="float64 uint8 int16 int32 bool"),
    *each("F.normalize(<x>,[.4,.5,.6],[.1,.2,.3])", x="f u8 pil f[0]"),
    "F.normalize(f,[.5],[0.])",
    *each("F.get_dimensions(<x>)+F.get_image_size(<x>)", x="pil u8 grey batch"),
    *each("F.resize(<x>,<s>)", x="pil u8 f batch", s="12 [10,40] [48] 24 [24,32]"),
    *each("F.resize(<x>,[10,17],M.<m>)", x="pil u8 f", m="NEAREST NEAREST_EXACT BILINEAR BICUBIC BOX HAMMING"),
    *each("F.resize(<x>,[10,17],antialias=False)", x="u8 f"),
    *each("F.resize(<x>,20,max_size=<n>)", x="pil u8", n="25 20 30"),
    *each("F.pad(<x>,<p>,<f>)", x="pil u8 f", p="2 [1,2] [1,2,3,4] [1,2,3] 'a'", f="0 7"),
    *each("F.pad(<x>,[1,2,3,4],padding_mode='<m>')", x="pil u8 f", m="edge reflect symmetric wrap"),
    *each("F.pad(<x>,[-1,2,3,-4],padding_mode='<m>')", x="pil u8 f", m="constant edge symmetric"),
    "F.pad(pil,2,(1,2,3))",
    "F.resize(pil,[10,17],M.LANCZOS)",
    *each("F.crop(<x>,<a>,<b>,9,11)", x="pil u8", a="3 -4 20", b="5 -6 28"),
    *each("F.center_crop(<x>,<s>)", x="pil u8", s="10 [7,9] [30,20] [40] [24,32]"),
    *each("F.<n>(<x>)", n="hflip vflip invert autocontrast equalize rgb_to_grayscale", x="pil u8 grey g f"),
    *each("F.rgb_to_grayscale(<x>,3)", x="pil u8 grey"),
    *each("F.to_grayscale(<x>,3)", x="pil u8 grey"),
    *each("F.five_crop(<x>,<s>)", x="pil u8", s="10 [7,9] 99"),
    *each("F.ten_crop(<x>,<s>,<v>)", x="u8", s="10 [7,9]", v="True False"),
    *each("F.adjust_<n>(<x>,<v>)", n="brightness contrast saturation sharpness gamma", x="pil u8 f g", v="0.4 1.0 1.7 -1.0"),
    *each("F.adjust_hue(<x>,<v>)", x="pil u8 f g", v="0.2 -0.45 0.6"),
    *each("F.posterize(<x>,<v>)", x="pil u8 f", v="3 8 9"),
    *each("F.solarize(<x>,<v>)", x="pil u8", v="100 256"),
    *each("F.gaussian_blur(<x>,<k>,<s>)", x="pil u8 f batch", k="3 [5,3]", s="None 0.7 [1.5,0.5]"),
    "F.gaussian_blur(u8,4)",
    "F.erase(u8,2,3,4,5,torch.tensor([[[1]],[[2]],[[3]]]))",
    *each("F.rotate(<x>,<a>,M.<m>,<e>)", x="pil u8 f", a="30 -77.5", m="NEAREST BILINEAR", e="False True"),
    *each("F.rotate(<x>,30,center=[3,4],fill=<f>)", x="pil u8 f", f="9 [1,2,3]"),
    *each("F.affine(<x>,15,[3,-2],1.2,<s>,M.<m>,<f>)", x="pil u8 f", s="[5,-8] 7", m="NEAREST BILINEAR", f="None 3"),
    *each("F.affine(<x>,15,[3,-2],1.2,[5,-8],center=[2,3])", x="pil u8"),
    *each("F.perspective(<x>,[[0,0],[31,0],[31,23],[0,23]],[[3,2],[28,1],[30,20],[2,22]],M.<m>)", x="pil u8 f", m="NEAREST BILINEAR"),
    *each("F.elastic_transform(<x>,torch.rand(1,24,32,2)*.2-.1,M.<m>)", x="pil u8 f", m="NEAREST BILINEAR BICUBIC"),
]

RANDOM = [
    *each("RandomCrop(<s>,padding=<p>,padding_mode='<m>')", s="12 (24,32)", p="None 4 (1,2)", m="constant reflect"),
    *["RandomCrop(40,pad_if_needed=True)", "RandomCrop(40)", "RandomResizedCrop(16)", "RandomResizedCrop((9,20),(.9,1.),(3.,4.))"],
    *["RandomHorizontalFlip()", "RandomVerticalFlip(.3)", "RandomApply([T.CenterCrop(5)],.4)", "RandomGrayscale(.5)", "RandomInvert()"],
    *["RandomPosterize(3)", "RandomSolarize(100)", "RandomAdjustSharpness(2)", "RandomAutocontrast()", "RandomEqualize()"],
    *["ColorJitter(.4,.3,.2,.1)", "ColorJitter(brightness=(.5,.6))", "ColorJitter(hue=.6)", "GaussianBlur(3)", "GaussianBlur((5,3),.4)"],
    *["RandomRotation(20)", "RandomRotation((10,70),M.BILINEAR,True)", "RandomRotation(20,center=(1,2),fill=5)", "RandomRotation(-1)"],
    *["RandomAffine(10)", "RandomAffine(10,(.1,.2),(.8,1.2),5)", "RandomAffine((0,90),None,None,(1,2,3,4),M.BILINEAR,7,(4,5))"],
    *["RandomPerspective()", "RandomPerspective(.2,1.,M.NEAREST,3)", "ElasticTransform()", "ElasticTransform(20.,(2.,3.))"],
    *["RandAugment()", "RandAugment(3,15)", "TrivialAugmentWide()", "AutoAugment()", "AutoAugment(P.CIFAR10)", "AutoAugment(P.SVHN)"],
    *["AugMix()", "AugMix(2,1,1,all_ops=False)", "RandomChoice([T.CenterCrop(5),T.CenterCrop(7)])"],
    *["RandomOrder([T.CenterCrop(5),T.Pad(2)])", "Compose([T.RandomCrop(20,4),T.RandomHorizontalFlip()])"],
]
REFUSED = ("RandomCrop(40)", "RandomSolarize(100)", "ColorJitter(hue=.6)")  # v2 has other texts
ERASING = ["RandomErasing()", "RandomErasing(1.,value='random')", "RandomErasing(.9,(.3,.6),(.5,.7),(1,2,3))", "RandomErasing(2.)"]
PLAIN = [
    *["ToTensor()", "PILToTensor()", "ToPILImage()", "ToPILImage('RGB')", "ConvertImageDtype(torch.float32)", "Normalize([.5],[.5])"],
    *["Resize(16)", "Resize((3,4))", "Resize([5],M.NEAREST)", "CenterCrop(10)", "Pad(2)", "Pad((1,2),padding_mode='edge')"],
    *["FiveCrop(3)", "TenCrop(3)", "LinearTransformation(torch.eye(3),torch.zeros(3))", "Grayscale()", "ColorJitter()", "Lambda(print)"],
    *["Resize('a')", "Lambda(3)", "GaussianBlur(4)", "RandomAffine(1,(2,2))", "Pad((1,2,3))", "RandomCrop((1,2,3))"],
]
TRANSFORMS = [
    *(f"run(T.{text},{x})" for text in RANDOM for x in ("pil", "u8", "f")),
    *(f"run(T.{text},{x})" for text in ERASING for x in ("f", "u8")),
    *(f"repr(T.{text})" for text in (*PLAIN, *RANDOM, *ERASING)),
    "T.LinearTransformation(torch.arange(12.*12).reshape(12,12),torch.ones(12))(f[:,:2,:2])",
    "T.RandomCrop.get_params(u8,(3,4))",
    "T.RandomResizedCrop.get_params(u8,(.1,.2),(.5,.7))",
    "T.ColorJitter.get_params((.5,1.),None,(.1,.2),None)",
    "T.RandomAffine.get_params((1,2),(.5,.5),None,None,[10,20])",
    "T.RandomPerspective.get_params(30,20,.5)",
    "T.RandomErasing.get_params(f,(.1,.2),(.5,.7),[0.])",
    "T.RandomRotation.get_params([1.,2.])",
    "T.GaussianBlur.get_params(1.,2.)",
]
BOXES = "torch.tensor([[0,0,10,10],[1,1,11,10.5],[20,3,28,15],[2,2,9,9],[19,4,29,14.]])"
OTHERS = "torch.tensor([[1,0,10,11],[21,3,28,17],[5,5,6,6.]])"
REGIONS = "torch.tensor([[0,1.3,2.1,20.7,17.2],[1,-3,5,9,30],[0,4,4,5,5],[1,0,0,31,23.]])"
OPS = [
    *each(f"ops.nms({BOXES},torch.tensor([.9,.8,.7,.95,.1]),<t>)", t=".3 .5 .8"),
    *each(f"ops.batched_nms({BOXES},torch.tensor([.9,.8,.7,.95,.1]),torch.tensor([0,0,1,1,1]),<t>)", t=".3 .5"),
    *each(f"ops.<n>({BOXES},{OTHERS})", n="box_iou generalized_box_iou distance_box_iou complete_box_iou"),
    *each(
        f"ops.<n>({BOXES}[:3],{OTHERS},'<r>')", n="generalized_box_iou_loss distance_box_iou_loss complete_box_iou_loss", r="none mean sum"
    ),
    *each(f"ops.box_convert({BOXES},'<a>','<b>')", a="xyxy xywh cxcywh", b="xyxy xywh cxcywh abc"),
    *each(f"ops.box_area({BOXES}.to(torch.<d>))", d="float32 float16 int32 int64 uint8"),
    *each(f"ops.box_iou({BOXES},{OTHERS},fmt='<f>')", f="xywh cxcywh"),
    f"ops.clip_boxes_to_image({BOXES},(8,12))",
    f"ops.remove_small_boxes({BOXES},9)",
    "ops.masks_to_boxes(u8>200)",
    *each(f"ops.roi_align(batch.float(),{REGIONS},<o>,<s>,<r>,<a>)", o="3 (2,5)", s="1.0 0.5", r="-1 2", a="True False"),
    *each("ops.roi_align(batch.float(),[torch.tensor([[1,1,9,9.]]),torch.tensor([[2,2,5,7.],[0,0,3,3]])],<o>)", o="2 (3,1)"),
    *each(f"ops.roi_pool(batch.float(),{REGIONS},<o>,<s>)", o="3 (2,5)", s="1.0 0.5"),
    *each("ops.sigmoid_focal_loss(f[0]*4-2,f[1].round(),reduction='<r>')", r="none mean sum abc"),
    "ops.sigmoid_focal_loss(f[0]*4-2,f[1].round(),-1,3)",
    *each("ops.stochastic_depth(torch.ones(4,2),.4,'<m>',<t>)", m="row batch abc", t="True False"),
    *each(
        "repr(ops.<n>)", n="StochasticDepth(.2,'row') RoIAlign(2,1.0,-1) RoIPool((2,3),.5) FrozenBatchNorm2d(3) MLP(3,[4,5]) Permute([0])"
    ),
    *each("repr(ops.Conv2dNormActivation(<a>))", a="3,4 3,4,5,2,groups=1,dilation=2 3,4,(3,1),norm_layer=None 3,4,activation_layer=None"),
    *["repr(ops.SqueezeExcitation(8,2))", "ops.SqueezeExcitation(3,2)(batch/255)", "ops.MLP(32,[4,5],torch.nn.LayerNorm,dropout=.1)(f)"],
    *["ops.Conv2dNormActivation(3,4)(batch/255)", "ops.FrozenBatchNorm2d(3)(batch/255)", "list(ops.FrozenBatchNorm2d(3).state_dict())"],
]
DRAWN = "torch.tensor([[2,3,20,15],[5,5,30,22]])"
UTILS = [
    *each("utils.make_grid(<x>)", x="batch f u8[0] g batch.float() batch[:,:1] [f,f*.5,f] 3 [3]"),
    *each(
        "utils.make_grid(torch.cat([batch]*5).float(),<a>)",
        a="4 nrow=3,padding=0 normalize=True scale_each=True,normalize=True pad_value=9.0",
    ),
    "utils.make_grid(batch.float(),normalize=True,value_range=(10,100))",
    *each(
        f"utils.draw_bounding_boxes(<x>,{DRAWN},<a>)", x="u8 f g", a="colors='red' width=3 fill=True,colors=['blue',(1,2,3)] colors=['red']"
    ),
    *[
        f"utils.draw_bounding_boxes(pil,{DRAWN})",
        f"utils.draw_bounding_boxes(batch,{DRAWN})",
        f"utils.draw_bounding_boxes(u8,{DRAWN}.flip(-1))",
    ],
    *each("utils.draw_segmentation_masks(<x>,u8>150,<a>)", x="u8 f", a="alpha=.5 colors='red' colors=['red','blue',(1,2,3)]"),
    *["utils.draw_segmentation_masks(u8,u8[0]>99)", "utils.draw_segmentation_masks(u8,u8)", "utils.draw_segmentation_masks(g,u8>9)"],
    *each(
        "utils.draw_keypoints(<x>,torch.tensor([[[3,4],[20,10],[9,22]]]),<a>)",
        x="u8 f",
        a="colors='red' connectivity=[(0,1)],colors='blue'",
    ),
]
V2 = [
    *(
        f"run(v2.{text.replace('T.', 'v2.')},{x})"
        for text in RANDOM
        if "AugMix" not in text and text not in REFUSED
        for x in ("pil", "u8", "f")
    ),
    *(f"run(v2.{text},f)" for text in ERASING[:3]),
    *(f"repr(v2.{text.replace('T.', 'v2.')})" for text in (*PLAIN[:16], *RANDOM[:-6], *ERASING[:3]) if text not in REFUSED),
    *each("v2.<n>(u8)", n="ToImage() ToPureTensor() ToPILImage() ToDtype(torch.float32,scale=True) ToDtype(torch.float32) Grayscale()"),
    *each(
        "type(v2.<n>(v2.ToImage()(pil))).__name__",
        n="Resize(9) ToPureTensor() CenterCrop(5) ToDtype(torch.float32) RandomInvert(1.) ToPILImage()",
    ),
    *["v2.RandomCrop(9)((pil,3,{'a':v2.ToImage()(pil)}))", "v2.RandomCrop(9)(u8,3,f,None)", "v2.ToDtype(torch.float32,scale=True)(u8,u8)"],
    "v2.RandomRotation(40)(u8,vision.tv_tensors.Mask(u8[0]>99),vision.tv_tensors.Image(u8))[1:]",
    "v2.Resize((9,12))({'image':vision.tv_tensors.Image(u8),'mask':vision.tv_tensors.Mask(u8[0]>99),'label':3})",
    *each("run(v2.<n>(num_classes=3),batch.float(),torch.tensor([0,2]))", n="MixUp CutMix"),
    *["v2.GaussianNoise()(f)", "v2.Compose([v2.ToImage(),v2.ToDtype(torch.float32,scale=True),v2.Normalize([.5],[.2])])(pil)"],
    *["repr(v2.Compose([v2.ToImage(),v2.CutMix(num_classes=2)]))"],
    *each(
        "v2.functional.<n>",
        n="to_image(pil) to_dtype(u8,torch.float32,True) horizontal_flip(u8) get_size(pil) resize(u8,[9,9]) to_image(bytes_)",
    ),
]
CIFAR = """type('Small',(D.CIFAR10,),dict(base_folder='<b>',train_list=[['one',None],['two',None]],test_list=[['test',None]],
meta=dict(filename='names',key='names',md5=None)))""".replace("\n", "")
CELEBA = "type('CelebA',(D.CelebA,),dict(file_list=[(a,None,c) for a,b,c in D.CelebA.file_list]))"
DATASETS = [
    *each("D.<n>('.',train=<t>)<w>", n="MNIST FashionMNIST", t="True False", w="[1] [-1] .data .targets .class_to_idx"),
    *each("len(D.MNIST('.'))+D.EMNIST('.','letters')[2][1]"),
    *each(
        "repr(D.<n>)",
        n="MNIST('.') MNIST('.',False,T.ToTensor(),len) EMNIST('.','letters') ImageFolder('images',T.Compose([T.ToTensor(),T.Pad(1)]))",
    ),
    *each("D.<n>", n="CIFAR10('nowhere') EMNIST('.','abc') SVHN('.','abc') VOCDetection('.','1999') VOCSegmentation('.',image_set='b')"),
    *each(
        CIFAR + "('.',train=<t>)<w>",
        b="cifar-10-batches-py cifar-100-python",
        t="True False",
        w="[2] .data .targets .classes .class_to_idx",
    ),
    *each("D.ImageFolder('images')<w>", w="[0] [3] .classes .class_to_idx .samples .targets .imgs"),
    *["D.ImageFolder('empty')", "D.ImageFolder('celeba/img_align_celeba')", "D.ImageFolder('empty',allow_empty=True).samples"],
    *[
        "D.DatasetFolder('images',str,('.txt',))[1]",
        "D.ImageFolder('images',is_valid_file=lambda p:p.endswith('1.png')or'dog'in p,loader=str).samples",
    ],
    *["D.FakeData(5,(3,4,5))[3]", "D.FakeData(5)[5]", "repr(D.FakeData(5))", "D.FakeData(9,(1,4,5),3,T.ToTensor(),random_offset=2)[8]"],
    *each("D.<n>[0]", n="VOCSegmentation('.',transforms=lambda*a:a) VOCDetection('.') CocoDetection('images/cat','coco.json')"),
    *each("D.<n>[1]", n="CocoCaptions('images/cat','coco.json',target_transform=len) CocoCaptions('images/cat','coco.json')"),
    *each(CELEBA + "('.','<s>',<t>)[0]", s="train valid all", t="'attr' ['identity','bbox'] 'landmarks' []"),
    *each(CELEBA + "('.').<w>", w="attr_names filename"),
    *[f"repr({CELEBA}('.','valid'))", "repr(D.VOCDetection('.'))", "repr(D.CocoCaptions('images/cat','coco.json'))"],
]
TABLES = {"functions": FUNCTIONS, "transforms": TRANSFORMS, "v2": V2, "ops": OPS, "utils": UTILS, "datasets": DATASETS}
