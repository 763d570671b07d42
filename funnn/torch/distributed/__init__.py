"""torch.distributed for a group of one process: every collective operation is the identity, or a copy.

More processes are refused. To use several devices from one program, shard the arrays of a compiled step (funnn.sharding); for several hosts,
call jax.distributed.initialize() before that.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable
from typing import Any, ClassVar

from funnn.engine.tape.grad_mode import no_grad
from funnn.engine.tensor.tensor import Tensor

UNINITIALIZED = "Default process group has not been initialized, please make sure to call init_process_group."


class ReduceOp(enum.Enum):
    """How values of several processes become one; of one process, they stay as they are."""

    SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR, BXOR = range(8)


ReduceOp.RedOpType = ReduceOp  # type: ignore[attr-defined] (its values' class, which torch has within it)


class Backend(str):
    """The name of a backend, in small letters."""

    UNDEFINED, GLOO, NCCL, UCC, MPI, XCCL, FAKE = "undefined", "gloo", "nccl", "ucc", "mpi", "xccl", "fake"
    backend_list: ClassVar[list[str]] = [UNDEFINED, GLOO, NCCL, XCCL, UCC, MPI, FAKE]
    default_device_backend_map: ClassVar[dict[str, str]] = {"cpu": GLOO, "cuda": NCCL, "xpu": XCCL, "mps": GLOO}

    def __new__(cls, name: str) -> Backend:
        """The name as a backend."""
        if not isinstance(name, str):
            raise ValueError("Backend constructor parameter must be string-ish")
        return super().__new__(cls, name.lower())


class ProcessGroup:
    """The group of the one process."""

    def __init__(self, backend: str):
        self.backend = backend

    def rank(self) -> int:
        """0, the number of the one process."""
        return 0

    def size(self) -> int:
        """1, the number of processes."""
        return 1

    def name(self) -> str:
        """The name of the backend."""
        return self.backend


class Work:
    """What an operation with ``async_op=True`` returns; it is done already."""

    def wait(self, timeout: Any = None) -> bool:
        """True, at once."""
        return True

    def is_completed(self) -> bool:
        """True: the work was done before this object was made."""
        return True

    is_success = is_completed


class _Group(type):
    @property
    def WORLD(cls) -> ProcessGroup | None:
        return _world.get("group")


class group(metaclass=_Group):
    """``group.WORLD``: the default group, None before init_process_group."""

    NON_GROUP_MEMBER = -100  # what a process gets that is not in a new group


GroupMember = group
_world: dict[str, ProcessGroup] = {}


def is_available() -> bool:
    """Whether this namespace is there."""
    return True


def is_initialized() -> bool:
    """Whether init_process_group was called."""
    return "group" in _world


def is_nccl_available() -> bool:
    """False, as for the next ones: there is nobody to communicate with."""
    return False


is_gloo_available = is_mpi_available = is_ucc_available = is_nccl_available


def is_torchelastic_launched() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def init_process_group(
    backend: str | None = None,
    init_method: str | None = None,
    timeout: Any = None,
    world_size: int = -1,
    rank: int = -1,
    store: Any = None,
    group_name: str = "",
    pg_options: Any = None,
    device_id: Any = None,
) -> None:
    """Begin a group of one process. Rank and world size are given, or come from the environment's RANK and WORLD_SIZE.

    Raises:
      NotImplementedError: more than one process.
      ValueError: a second call, no world size or rank, or a rank that is not below it.
    """
    if is_initialized():
        raise ValueError("trying to initialize the default process group twice!")
    from_environment = store is None and (init_method or "env://").startswith("env://")
    size, own = (_number(name, given, from_environment) for name, given in (("WORLD_SIZE", world_size), ("RANK", rank)))
    if size > 1:
        raise NotImplementedError(
            f"torch.distributed with world_size {size} is not supported, only a group of one process; one program can use all devices when the "
            "arrays of a compiled step are sharded (funnn.sharding), on several hosts after jax.distributed.initialize()"
        )
    if size < 1 or own != 0:
        raise ValueError(f"init_process_group needs a world_size of 1 and rank 0, got world_size {size} and rank {own}")
    _world["group"] = ProcessGroup(backend or "gloo")


def _number(name: str, given: int, from_environment: bool) -> int:
    if given != -1:
        return given
    if not from_environment:
        raise ValueError(f"Error initializing torch.distributed: {name.lower()} parameter missing")
    if name not in os.environ:
        raise ValueError(f"Error initializing torch.distributed using env:// rendezvous: environment variable {name} expected, but not set")
    return int(os.environ[name])


def destroy_process_group(group: ProcessGroup | None = None) -> None:
    """End the group."""
    if not is_initialized():
        raise AssertionError("Process group cannot be None: init_process_group was not called")
    if group is None or group is _world["group"]:
        del _world["group"]


def of_group(group: ProcessGroup | None) -> ProcessGroup:
    """The group, or the default one."""
    if not is_initialized():
        raise ValueError(UNINITIALIZED)
    return group or _world["group"]


def new_group(ranks: Any = None, timeout: Any = None, backend: str | None = None, **options: Any) -> ProcessGroup:
    """A group of the same one process."""
    default = of_group(None)
    if any(rank != 0 for rank in ranks or ()):
        raise ValueError(f"the new group's rank should be within the world_size set by init_process_group: {list(ranks)}")
    return ProcessGroup(backend or default.backend)


def get_rank(group: ProcessGroup | None = None) -> int:
    """0, the number of the one process."""
    return of_group(group).rank()


def get_world_size(group: ProcessGroup | None = None) -> int:
    """1, the number of processes."""
    return of_group(group).size()


def get_process_group_ranks(group: ProcessGroup | None = None) -> list[int]:
    """[0], the numbers of the group's processes."""
    return list(range(of_group(group).size()))


def get_global_rank(group: ProcessGroup, group_rank: int) -> int:
    """The number of a process that has the number ``group_rank`` in a group; the same here."""
    if group_rank not in get_process_group_ranks(group):
        raise ValueError(f"Group rank {group_rank} is not part of group {group}")
    return group_rank


def get_group_rank(group: ProcessGroup, global_rank: int) -> int:
    """The number in a group of the process ``global_rank``; the same here."""
    return get_global_rank(group, global_rank)


def get_node_local_rank(fallback_rank: int | None = None) -> int:
    """LOCAL_RANK of the environment, or ``fallback_rank``."""
    if "LOCAL_RANK" in os.environ:
        return int(os.environ["LOCAL_RANK"])
    if fallback_rank is None:
        raise RuntimeError("LOCAL_RANK is not in the environment. Consider passing fallback_rank to allow `get_node_local_rank` to work.")
    return fallback_rank


def _rank_not_in_group(group: Any) -> bool:
    return group is GroupMember.NON_GROUP_MEMBER


def get_backend(group: ProcessGroup | None = None) -> str:
    """The name that init_process_group was given."""
    return of_group(group).backend


def _done(async_op: bool) -> Work | None:
    return Work() if async_op else None


def _take(target: Any, source: Any) -> None:
    """Write what a process has into what it gets."""
    if isinstance(target, list):
        if len(target) != 1:
            raise ValueError(f"a list for the values of a group of one process has one entry, got {len(target)}")
        _take(target[0], source)
    elif isinstance(source, (list, tuple)):
        _take(target, source[0])
    else:
        with no_grad():
            target.copy_(source.reshape(target.shape))


def barrier(group: ProcessGroup | None = None, async_op: bool = False, device_ids: Any = None) -> Work | None:
    """Nothing: all processes are here."""
    of_group(group)
    return _done(async_op)


def all_reduce(tensor: Tensor, op: ReduceOp = ReduceOp.SUM, group: ProcessGroup | None = None, async_op: bool = False) -> Work | None:
    """Leaves the tensor as it is."""
    of_group(group)
    return _done(async_op)


def reduce(tensor: Tensor, dst: int | None = None, op: ReduceOp = ReduceOp.SUM, group: Any = None, async_op: bool = False) -> Work | None:
    """Leaves the tensor as it is."""
    of_group(group)
    return _done(async_op)


def broadcast(tensor: Tensor, src: int | None = None, group: ProcessGroup | None = None, async_op: bool = False) -> Work | None:
    """Leaves the tensor as it is."""
    of_group(group)
    return _done(async_op)


def broadcast_object_list(object_list: list, src: int | None = None, group: ProcessGroup | None = None, device: Any = None) -> None:
    """Leaves the list as it is."""
    of_group(group)


def gather(
    tensor: Tensor, gather_list: list | None = None, dst: int | None = None, group: Any = None, async_op: bool = False
) -> Work | None:
    """Copies the tensor into the list's one."""
    of_group(group)
    _take(gather_list, tensor)
    return _done(async_op)


def all_gather_object(object_list: list, obj: Any, group: ProcessGroup | None = None) -> None:
    """Puts the object into the list."""
    of_group(group)
    object_list[0] = obj


def scatter_object_list(
    scatter_object_output_list: list,
    scatter_object_input_list: list | None = None,
    src: int | None = None,
    group: Any = None,
    **ignored: Any,
) -> None:
    """Put the one process's object into the output list."""
    of_group(group)
    scatter_object_output_list[0] = (scatter_object_input_list or [None])[0]


def monitored_barrier(group: ProcessGroup | None = None, timeout: Any = None, wait_all_ranks: bool = False) -> None:
    """Nothing: all processes are here."""
    of_group(group)


def gather_object(obj: Any, object_gather_list: list | None = None, dst: int | None = None, group: Any = None) -> None:
    """Puts the object into the list."""
    all_gather_object(object_gather_list, obj, group)


def _copying(name: str) -> Callable:
    def copy(
        output: Any, input: Any = None, *args: Any, group: ProcessGroup | None = None, async_op: bool = False, **kwargs: Any
    ) -> Work | None:
        of_group(group)
        _take(output, input)
        return _done(async_op)

    copy.__name__ = copy.__qualname__ = name
    copy.__doc__ = "Copies the input (or the one in a list) into the output (or the one in a list)."
    return copy


all_gather, all_gather_into_tensor = _copying("all_gather"), _copying("all_gather_into_tensor")
reduce_scatter, reduce_scatter_tensor = _copying("reduce_scatter"), _copying("reduce_scatter_tensor")
all_to_all, all_to_all_single, scatter = _copying("all_to_all"), _copying("all_to_all_single"), _copying("scatter")


def send(tensor: Tensor, dst: int | None = None, group: ProcessGroup | None = None, tag: int = 0) -> None:
    """Refused: there is nobody else."""
    of_group(group)
    raise ValueError("Invalid destination rank: destination rank should not be the same as the rank of the current process.")


def recv(tensor: Tensor, src: int | None = None, group: ProcessGroup | None = None, tag: int = 0) -> int:
    """Refused: there is nobody else."""
    of_group(group)
    raise ValueError("Invalid source rank: source rank should not be the same as the rank of the current process.")


isend, irecv = send, recv
