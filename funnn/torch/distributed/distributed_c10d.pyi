# Made by .ci/stubs.py from the live objects; write to the sources, and run it again.

from __future__ import _Feature as _Feature_
from funnn.engine.tape.grad_mode import no_grad as no_grad
from funnn.engine.tensor.tensor import Tensor as Tensor
from funnn.torch.distributed import Backend as Backend
from funnn.torch.distributed import ProcessGroup as ProcessGroup
from funnn.torch.distributed import ReduceOp as ReduceOp
from funnn.torch.distributed import Work as Work
from funnn.torch.distributed import all_gather_object as all_gather_object
from funnn.torch.distributed import all_reduce as all_reduce
from funnn.torch.distributed import barrier as barrier
from funnn.torch.distributed import broadcast as broadcast
from funnn.torch.distributed import broadcast_object_list as broadcast_object_list
from funnn.torch.distributed import destroy_process_group as destroy_process_group
from funnn.torch.distributed import gather as gather
from funnn.torch.distributed import gather_object as gather_object
from funnn.torch.distributed import get_backend as get_backend
from funnn.torch.distributed import get_global_rank as get_global_rank
from funnn.torch.distributed import get_group_rank as get_group_rank
from funnn.torch.distributed import get_node_local_rank as get_node_local_rank
from funnn.torch.distributed import get_process_group_ranks as get_process_group_ranks
from funnn.torch.distributed import get_rank as get_rank
from funnn.torch.distributed import get_world_size as get_world_size
from funnn.torch.distributed import group as GroupMember
from funnn.torch.distributed import group as group
from funnn.torch.distributed import init_process_group as init_process_group
from funnn.torch.distributed import is_available as is_available
from funnn.torch.distributed import is_initialized as is_initialized
from funnn.torch.distributed import is_nccl_available as is_gloo_available
from funnn.torch.distributed import is_nccl_available as is_mpi_available
from funnn.torch.distributed import is_nccl_available as is_nccl_available
from funnn.torch.distributed import is_nccl_available as is_ucc_available
from funnn.torch.distributed import is_torchelastic_launched as is_torchelastic_launched
from funnn.torch.distributed import monitored_barrier as monitored_barrier
from funnn.torch.distributed import new_group as new_group
from funnn.torch.distributed import of_group as of_group
from funnn.torch.distributed import recv as irecv
from funnn.torch.distributed import recv as recv
from funnn.torch.distributed import reduce as reduce
from funnn.torch.distributed import scatter_object_list as scatter_object_list
from funnn.torch.distributed import send as isend
from funnn.torch.distributed import send as send
from typing import Any

UNINITIALIZED: str
annotations: _Feature_

def all_gather(output: Any, input: Any = None, *args: Any, group: ProcessGroup | None = None, async_op: bool = False, **kwargs: Any) -> Work | None: ...
def all_gather_into_tensor(output: Any, input: Any = None, *args: Any, group: ProcessGroup | None = None, async_op: bool = False, **kwargs: Any) -> Work | None: ...
def all_to_all(output: Any, input: Any = None, *args: Any, group: ProcessGroup | None = None, async_op: bool = False, **kwargs: Any) -> Work | None: ...
def all_to_all_single(output: Any, input: Any = None, *args: Any, group: ProcessGroup | None = None, async_op: bool = False, **kwargs: Any) -> Work | None: ...
def reduce_scatter(output: Any, input: Any = None, *args: Any, group: ProcessGroup | None = None, async_op: bool = False, **kwargs: Any) -> Work | None: ...
def reduce_scatter_tensor(output: Any, input: Any = None, *args: Any, group: ProcessGroup | None = None, async_op: bool = False, **kwargs: Any) -> Work | None: ...
def scatter(output: Any, input: Any = None, *args: Any, group: ProcessGroup | None = None, async_op: bool = False, **kwargs: Any) -> Work | None: ...
