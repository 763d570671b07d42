"""torch.distributed: the processes of a program, on JAX.

JAX's coordination service joins them, and a collective operation is a program of XLA over a mesh with one device of each process. What is pending in
this process's graph runs before, for the operation needs the numbers.

group.py has the groups, collectives.py the operations on tensors, objects.py those on Python objects, p2p.py messages from one process to another.
"""

from __future__ import annotations

import os

from funnn.torch.distributed.buckets import GradBucket as GradBucket
from funnn.torch.distributed.collectives import all_gather as all_gather
from funnn.torch.distributed.collectives import all_gather_into_tensor as all_gather_into_tensor
from funnn.torch.distributed.collectives import all_reduce as all_reduce
from funnn.torch.distributed.collectives import all_reduce_coalesced as all_reduce_coalesced
from funnn.torch.distributed.collectives import all_to_all as all_to_all
from funnn.torch.distributed.collectives import all_to_all_single as all_to_all_single
from funnn.torch.distributed.collectives import barrier as barrier
from funnn.torch.distributed.collectives import broadcast as broadcast
from funnn.torch.distributed.collectives import gather as gather
from funnn.torch.distributed.collectives import reduce as reduce
from funnn.torch.distributed.collectives import reduce_scatter as reduce_scatter
from funnn.torch.distributed.collectives import reduce_scatter_tensor as reduce_scatter_tensor
from funnn.torch.distributed.collectives import scatter as scatter
from funnn.torch.distributed.device_mesh import DeviceMesh as DeviceMesh
from funnn.torch.distributed.device_mesh import init_device_mesh as init_device_mesh
from funnn.torch.distributed.errors import DistBackendError as DistBackendError
from funnn.torch.distributed.errors import DistError as DistError
from funnn.torch.distributed.errors import DistNetworkError as DistNetworkError
from funnn.torch.distributed.errors import DistStoreError as DistStoreError
from funnn.torch.distributed.errors import QueueEmptyError as QueueEmptyError
from funnn.torch.distributed.group import Backend as Backend
from funnn.torch.distributed.group import GroupMember as GroupMember
from funnn.torch.distributed.group import destroy_process_group as destroy_process_group
from funnn.torch.distributed.group import get_backend as get_backend
from funnn.torch.distributed.group import get_default_backend_for_device as get_default_backend_for_device
from funnn.torch.distributed.group import get_global_rank as get_global_rank
from funnn.torch.distributed.group import get_group_rank as get_group_rank
from funnn.torch.distributed.group import get_node_local_rank as get_node_local_rank
from funnn.torch.distributed.group import get_process_group_ranks as get_process_group_ranks
from funnn.torch.distributed.group import get_rank as get_rank
from funnn.torch.distributed.group import get_world_size as get_world_size
from funnn.torch.distributed.group import group as group
from funnn.torch.distributed.group import init_process_group as init_process_group
from funnn.torch.distributed.group import is_backend_available as is_backend_available
from funnn.torch.distributed.group import is_initialized as is_initialized
from funnn.torch.distributed.group import is_outside as _rank_not_in_group  # noqa: F401
from funnn.torch.distributed.group import new_group as new_group
from funnn.torch.distributed.group import new_subgroups as new_subgroups
from funnn.torch.distributed.group import new_subgroups_by_enumeration as new_subgroups_by_enumeration
from funnn.torch.distributed.group import of_group as of_group
from funnn.torch.distributed.objects import all_gather_object as all_gather_object
from funnn.torch.distributed.objects import broadcast_object_list as broadcast_object_list
from funnn.torch.distributed.objects import gather_object as gather_object
from funnn.torch.distributed.objects import scatter_object_list as scatter_object_list
from funnn.torch.distributed.p2p import P2POp as P2POp
from funnn.torch.distributed.p2p import batch_isend_irecv as batch_isend_irecv
from funnn.torch.distributed.p2p import irecv as irecv
from funnn.torch.distributed.p2p import isend as isend
from funnn.torch.distributed.p2p import monitored_barrier as monitored_barrier
from funnn.torch.distributed.p2p import recv as recv
from funnn.torch.distributed.p2p import recv_object_list as recv_object_list
from funnn.torch.distributed.p2p import send as send
from funnn.torch.distributed.p2p import send_object_list as send_object_list
from funnn.torch.distributed.process_group import ProcessGroup as ProcessGroup
from funnn.torch.distributed.reduce_op import ReduceOp as ReduceOp
from funnn.torch.distributed.reduce_op import _make_nccl_premul_sum as _make_nccl_premul_sum
from funnn.torch.distributed.store import FileStore as FileStore
from funnn.torch.distributed.store import HashStore as HashStore
from funnn.torch.distributed.store import PrefixStore as PrefixStore
from funnn.torch.distributed.store import Store as Store
from funnn.torch.distributed.store import TCPStore as TCPStore
from funnn.torch.distributed.work import Work as Work

all_gather_single, reduce_scatter_single = all_gather_into_tensor, reduce_scatter_tensor  # as torch calls them from 2.13 on


def is_available() -> bool:
    """Whether this namespace is there."""
    return True


def is_nccl_available() -> bool:
    """False, as for MPI and UCC: collective operations are XLA's, over Gloo."""
    return False


is_mpi_available = is_ucc_available = is_xccl_available = is_nccl_available


def is_gloo_available() -> bool:
    """True: XLA's collective operations run over Gloo."""
    return True


def is_torchelastic_launched() -> bool:
    """Whether a launcher started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def supports_complex(op: ReduceOp) -> bool:
    """Whether a reduction is one for complex numbers too."""
    return op in (ReduceOp.SUM, ReduceOp.AVG, ReduceOp.PREMUL_SUM)
