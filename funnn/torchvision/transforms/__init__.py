"""torchvision.transforms: images made ready and augmented."""

from funnn.torchvision.transforms import functional as functional
from funnn.torchvision.transforms.autoaugment import AugMix as AugMix
from funnn.torchvision.transforms.autoaugment import AutoAugment as AutoAugment
from funnn.torchvision.transforms.autoaugment import AutoAugmentPolicy as AutoAugmentPolicy
from funnn.torchvision.transforms.autoaugment import RandAugment as RandAugment
from funnn.torchvision.transforms.autoaugment import TrivialAugmentWide as TrivialAugmentWide
from funnn.torchvision.transforms.transforms import *  # noqa: F403
