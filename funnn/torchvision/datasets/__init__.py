"""torchvision.datasets: images in files, in their original forms."""

from typing import NoReturn

from funnn.torchvision._missing import missing as _missing
from funnn.torchvision.datasets import utils as utils
from funnn.torchvision.datasets.celeba import CelebA as CelebA
from funnn.torchvision.datasets.cifar import CIFAR10 as CIFAR10
from funnn.torchvision.datasets.cifar import CIFAR100 as CIFAR100
from funnn.torchvision.datasets.coco import CocoCaptions as CocoCaptions
from funnn.torchvision.datasets.coco import CocoDetection as CocoDetection
from funnn.torchvision.datasets.fakedata import FakeData as FakeData
from funnn.torchvision.datasets.folder import DatasetFolder as DatasetFolder
from funnn.torchvision.datasets.folder import ImageFolder as ImageFolder
from funnn.torchvision.datasets.mnist import EMNIST as EMNIST
from funnn.torchvision.datasets.mnist import KMNIST as KMNIST
from funnn.torchvision.datasets.mnist import MNIST as MNIST
from funnn.torchvision.datasets.mnist import FashionMNIST as FashionMNIST
from funnn.torchvision.datasets.svhn import SVHN as SVHN
from funnn.torchvision.datasets.vision import VisionDataset as VisionDataset
from funnn.torchvision.datasets.voc import VOCDetection as VOCDetection
from funnn.torchvision.datasets.voc import VOCSegmentation as VOCSegmentation

_FILES = "unpack its files into folders for ImageFolder, or read them in a torch.utils.data.Dataset"
_NAMES = "Caltech101 Caltech256 Cityscapes Country211 DTD EuroSAT FER2013 FGVCAircraft Flickr8k Flickr30k Flowers102 Food101 GTSRB"
_MORE = (
    "HMDB51 ImageNet Imagenette INaturalist Kinetics LFWPairs LFWPeople LSUN MovingMNIST Omniglot OxfordIIITPet PCAM PhotoTour Places365"
)
_REST = "QMNIST RenderedSST2 SBDataset SBU SEMEION StanfordCars STL10 SUN397 UCF101 USPS WIDERFace"
_REASONS = dict.fromkeys(f"{_NAMES} {_MORE} {_REST}".split(), _FILES)


def __getattr__(name: str) -> NoReturn:
    """For what is not there: the reason, where torchvision has it."""
    _missing("torchvision.datasets", name, _REASONS)
