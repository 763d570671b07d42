"""Collective operations through which gradients flow."""

from funnn.torch.distributed.nn import functional as functional
from funnn.torch.distributed.nn.functional import all_gather as all_gather
from funnn.torch.distributed.nn.functional import all_reduce as all_reduce
from funnn.torch.distributed.nn.functional import all_to_all as all_to_all
from funnn.torch.distributed.nn.functional import all_to_all_single as all_to_all_single
from funnn.torch.distributed.nn.functional import broadcast as broadcast
from funnn.torch.distributed.nn.functional import gather as gather
from funnn.torch.distributed.nn.functional import reduce as reduce
from funnn.torch.distributed.nn.functional import reduce_scatter as reduce_scatter
from funnn.torch.distributed.nn.functional import scatter as scatter
