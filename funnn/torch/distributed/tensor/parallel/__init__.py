"""Modules whose parameters are split over processes, by styles."""

import sys

from funnn.torch._unsupported import watch
from funnn.torch.distributed.tensor.parallel.api import parallelize_module as parallelize_module
from funnn.torch.distributed.tensor.parallel.style import ColwiseParallel as ColwiseParallel
from funnn.torch.distributed.tensor.parallel.style import ParallelStyle as ParallelStyle
from funnn.torch.distributed.tensor.parallel.style import PrepareModuleInput as PrepareModuleInput
from funnn.torch.distributed.tensor.parallel.style import PrepareModuleInputOutput as PrepareModuleInputOutput
from funnn.torch.distributed.tensor.parallel.style import PrepareModuleOutput as PrepareModuleOutput
from funnn.torch.distributed.tensor.parallel.style import RowwiseParallel as RowwiseParallel
from funnn.torch.distributed.tensor.parallel.style import SequenceParallel as SequenceParallel

watch(sys.modules[__name__])
