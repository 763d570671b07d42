"""torch.nn.parallel: several processes train one module (DistributedDataParallel), or several devices of one process (DataParallel)."""

from funnn.torch.nn.parallel import data_parallel as _data_parallel
from funnn.torch.nn.parallel import distributed as distributed
from funnn.torch.nn.parallel import scatter_gather as scatter_gather
from funnn.torch.nn.parallel.distributed import DistributedDataParallel as DistributedDataParallel
from funnn.torch.nn.parallel.parallel_apply import parallel_apply as parallel_apply
from funnn.torch.nn.parallel.replicate import replicate as replicate
from funnn.torch.nn.parallel.scatter_gather import gather as gather
from funnn.torch.nn.parallel.scatter_gather import scatter as scatter

DataParallel = _data_parallel.DataParallel
data_parallel = _data_parallel.data_parallel
