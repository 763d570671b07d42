"""torch.utils.data: datasets, samplers and the loader, with torch's order of samples for the same seed."""

from funnn.torch.utils.data import _utils as _utils
from funnn.torch.utils.data import dataloader as dataloader
from funnn.torch.utils.data import dataset as dataset
from funnn.torch.utils.data import distributed as distributed
from funnn.torch.utils.data import sampler as sampler
from funnn.torch.utils.data._collate import default_collate as default_collate
from funnn.torch.utils.data._collate import default_convert as default_convert
from funnn.torch.utils.data.dataloader import DataLoader as DataLoader
from funnn.torch.utils.data.dataloader import get_worker_info as get_worker_info
from funnn.torch.utils.data.dataset import ChainDataset as ChainDataset
from funnn.torch.utils.data.dataset import ConcatDataset as ConcatDataset
from funnn.torch.utils.data.dataset import Dataset as Dataset
from funnn.torch.utils.data.dataset import IterableDataset as IterableDataset
from funnn.torch.utils.data.dataset import StackDataset as StackDataset
from funnn.torch.utils.data.dataset import Subset as Subset
from funnn.torch.utils.data.dataset import TensorDataset as TensorDataset
from funnn.torch.utils.data.dataset import random_split as random_split
from funnn.torch.utils.data.distributed import DistributedSampler as DistributedSampler
from funnn.torch.utils.data.sampler import BatchSampler as BatchSampler
from funnn.torch.utils.data.sampler import RandomSampler as RandomSampler
from funnn.torch.utils.data.sampler import Sampler as Sampler
from funnn.torch.utils.data.sampler import SequentialSampler as SequentialSampler
from funnn.torch.utils.data.sampler import SubsetRandomSampler as SubsetRandomSampler
from funnn.torch.utils.data.sampler import WeightedRandomSampler as WeightedRandomSampler
