"""torchvision.transforms.v2: transforms of whole samples; images, videos and masks in nested containers are transformed alike."""

from typing import NoReturn

from funnn.torchvision._missing import missing as _missing
from funnn.torchvision.transforms.autoaugment import AutoAugmentPolicy as AutoAugmentPolicy
from funnn.torchvision.transforms.functional import InterpolationMode as InterpolationMode
from funnn.torchvision.transforms.v2 import functional as functional
from funnn.torchvision.transforms.v2._classes import AutoAugment as AutoAugment
from funnn.torchvision.transforms.v2._classes import CenterCrop as CenterCrop
from funnn.torchvision.transforms.v2._classes import ColorJitter as ColorJitter
from funnn.torchvision.transforms.v2._classes import ConvertImageDtype as ConvertImageDtype
from funnn.torchvision.transforms.v2._classes import ElasticTransform as ElasticTransform
from funnn.torchvision.transforms.v2._classes import FiveCrop as FiveCrop
from funnn.torchvision.transforms.v2._classes import GaussianBlur as GaussianBlur
from funnn.torchvision.transforms.v2._classes import Grayscale as Grayscale
from funnn.torchvision.transforms.v2._classes import LinearTransformation as LinearTransformation
from funnn.torchvision.transforms.v2._classes import Normalize as Normalize
from funnn.torchvision.transforms.v2._classes import Pad as Pad
from funnn.torchvision.transforms.v2._classes import RandAugment as RandAugment
from funnn.torchvision.transforms.v2._classes import RandomAdjustSharpness as RandomAdjustSharpness
from funnn.torchvision.transforms.v2._classes import RandomAffine as RandomAffine
from funnn.torchvision.transforms.v2._classes import RandomAutocontrast as RandomAutocontrast
from funnn.torchvision.transforms.v2._classes import RandomCrop as RandomCrop
from funnn.torchvision.transforms.v2._classes import RandomEqualize as RandomEqualize
from funnn.torchvision.transforms.v2._classes import RandomErasing as RandomErasing
from funnn.torchvision.transforms.v2._classes import RandomGrayscale as RandomGrayscale
from funnn.torchvision.transforms.v2._classes import RandomHorizontalFlip as RandomHorizontalFlip
from funnn.torchvision.transforms.v2._classes import RandomInvert as RandomInvert
from funnn.torchvision.transforms.v2._classes import RandomPerspective as RandomPerspective
from funnn.torchvision.transforms.v2._classes import RandomPosterize as RandomPosterize
from funnn.torchvision.transforms.v2._classes import RandomResizedCrop as RandomResizedCrop
from funnn.torchvision.transforms.v2._classes import RandomRotation as RandomRotation
from funnn.torchvision.transforms.v2._classes import RandomSolarize as RandomSolarize
from funnn.torchvision.transforms.v2._classes import RandomVerticalFlip as RandomVerticalFlip
from funnn.torchvision.transforms.v2._classes import Resize as Resize
from funnn.torchvision.transforms.v2._classes import TenCrop as TenCrop
from funnn.torchvision.transforms.v2._classes import TrivialAugmentWide as TrivialAugmentWide
from funnn.torchvision.transforms.v2._own import RGB as RGB
from funnn.torchvision.transforms.v2._own import Compose as Compose
from funnn.torchvision.transforms.v2._own import CutMix as CutMix
from funnn.torchvision.transforms.v2._own import GaussianNoise as GaussianNoise
from funnn.torchvision.transforms.v2._own import Identity as Identity
from funnn.torchvision.transforms.v2._own import Lambda as Lambda
from funnn.torchvision.transforms.v2._own import MixUp as MixUp
from funnn.torchvision.transforms.v2._own import PILToTensor as PILToTensor
from funnn.torchvision.transforms.v2._own import RandomApply as RandomApply
from funnn.torchvision.transforms.v2._own import RandomChoice as RandomChoice
from funnn.torchvision.transforms.v2._own import RandomOrder as RandomOrder
from funnn.torchvision.transforms.v2._own import ToDtype as ToDtype
from funnn.torchvision.transforms.v2._own import ToImage as ToImage
from funnn.torchvision.transforms.v2._own import ToPILImage as ToPILImage
from funnn.torchvision.transforms.v2._own import ToPureTensor as ToPureTensor
from funnn.torchvision.transforms.v2._own import ToTensor as ToTensor
from funnn.torchvision.transforms.v2._samples import Transform as Transform

_BOXES = "transforms of boxes and points are not supported; transform images and masks, and boxes by torchvision.ops"
_BOX_NAMES = (
    "ClampBoundingBoxes ClampKeyPoints ConvertBoundingBoxFormat RandomIoUCrop SanitizeBoundingBoxes SanitizeKeyPoints SetClampingMode"
)
_SIZES = "draw a size with torch.randint, and call v2.functional.resize"
_REASONS = {
    **dict.fromkeys(_BOX_NAMES.split(), _BOXES),
    **dict.fromkeys(("RandomResize", "RandomShortestSize", "ScaleJitter"), _SIZES),
    "RandomZoomOut": "call v2.functional.pad with drawn sizes",
    "RandomPhotometricDistort": "use v2.ColorJitter in v2.RandomApply",
    "RandomChannelPermutation": "index the channels with torch.randperm",
    "AugMix": "use the AugMix of transforms, whose draws are its own",
    "JPEG": "write and read the image with torchvision.io.encode_jpeg and decode_jpeg",
    "UniformTemporalSubsample": "index the frames",
}


def __getattr__(name: str) -> NoReturn:
    """For what is not there: the reason, where torchvision has it."""
    _missing("torchvision.transforms.v2", name, _REASONS)
