"""Groups of processes: the default one, which init_process_group begins, and those of new_group."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar

from funnn.torch.distributed._cluster import Cluster, timeout_of
from funnn.torch.distributed.constants import default_pg_timeout
from funnn.torch.distributed.process_group import ProcessGroup
from funnn.torch.distributed.rendezvous import meeting_place
from funnn.torch.distributed.store import PrefixStore, Store, seconds_of

UNINITIALIZED = "Default process group has not been initialized, please make sure to call init_process_group."


class Backend(str):
    """The name of a backend, in small letters. Whatever it is, XLA's collective operations run over Gloo."""

    UNDEFINED, GLOO, NCCL, UCC, MPI, XCCL, FAKE = "undefined", "gloo", "nccl", "ucc", "mpi", "xccl", "fake"
    backend_list: ClassVar[list[str]] = [UNDEFINED, GLOO, NCCL, XCCL, UCC, MPI, FAKE]
    default_device_backend_map: ClassVar[dict[str, str]] = {"cpu": GLOO, "cuda": NCCL, "xpu": XCCL, "mps": GLOO}

    def __new__(cls, name: str) -> Backend:
        """The name as a backend."""
        if not isinstance(name, str):
            raise ValueError("Backend constructor parameter must be string-ish")
        return super().__new__(cls, name.lower())


class _World:
    """The groups of this process."""

    def __init__(self) -> None:
        self.default: ProcessGroup | None = None
        self.groups: list[ProcessGroup] = []
        self.count = 0
        self.local: dict[tuple[int, ...], int] = {}  # how many groups of the same processes these have made alone
        self.beginnings = 0  # of default groups, each of which has keys of its own in a store


_world = _World()


class _Group(type):
    @property
    def WORLD(cls) -> ProcessGroup | None:
        return _world.default


class group(metaclass=_Group):
    """``group.WORLD``: the default group, None before init_process_group."""

    NON_GROUP_MEMBER = -100  # what a process gets that is not in a new group


GroupMember = group


def is_initialized() -> bool:
    """Whether init_process_group was called."""
    return _world.default is not None


def init_process_group(
    backend: str | None = None,
    init_method: str | None = None,
    timeout: timedelta | None = None,
    world_size: int = -1,
    rank: int = -1,
    store: Store | None = None,
    group_name: str = "",
    pg_options: Any = None,
    device_id: Any = None,
) -> None:
    """Join the processes of a program. Each calls it, and all go on when all have come.

    Args:
      backend: a name, which get_backend gives; collective operations are XLA's, over Gloo and the host's memory, whatever it is.
      init_method: where the processes meet: ``"env://"`` (the default; MASTER_ADDR and MASTER_PORT, which ``python -m funnn launch`` sets),
        ``"tcp://host:port"`` of the process of rank 0, or ``"file:///path"`` of a file that all can write and that is not there yet.
      timeout: how long an operation waits for the other processes, 30 minutes by default.
      world_size, rank: the number of processes, and of this one; by default the environment's WORLD_SIZE and RANK.
      store: a Store where they meet, instead of ``init_method``.

    Raises:
      ValueError: a second call, no world size or rank, or a rank that is not below it.
      DistNetworkError, DistStoreError: not all processes come in time.
    """
    if is_initialized():
        raise ValueError("trying to initialize the default process group twice!")
    if timeout is not None and not isinstance(timeout, timedelta):
        raise TypeError(f"Expected timeout argument to be of type datetime.timedelta, got {timeout}")
    limit = seconds_of(default_pg_timeout if timeout is None else timeout)
    place, own, size = meeting_place(init_method, store, world_size, rank, limit)
    name = backend.lower() if backend else "gloo"
    _world.beginnings += 1
    place = PrefixStore(f"default_pg/{_world.beginnings}", place)
    cluster = Cluster(place, own, size, limit)
    _world.default = ProcessGroup(cluster, range(size), name, limit, "0", place)
    _world.groups, _world.count, _world.local = [_world.default], 1, {}


def destroy_process_group(group: ProcessGroup | None = None) -> None:
    """End a group, or with the default one all of them."""
    if _world.default is None:
        raise AssertionError("Process group cannot be None: init_process_group was not called")
    if group is None or group is _world.default:
        _world.default.cluster.leave()  # first, so that others know why connections are closed
        for one in _world.groups:
            one.close()
        _world.default, _world.groups = None, []
    elif group in _world.groups:
        group.close()
        _world.groups.remove(group)
    else:
        raise ValueError("Invalid process group specified")


def of_group(group: ProcessGroup | None) -> ProcessGroup:
    """The group, or the default one."""
    if _world.default is None:
        raise ValueError(UNINITIALIZED)
    if group is None:
        return _world.default
    if not isinstance(group, ProcessGroup):
        raise TypeError(f"expected group to be a ProcessGroup of torch.distributed.new_group, got {group!r}")
    return group


def joined(group: ProcessGroup | None, name: str) -> ProcessGroup | None:
    """The group if this process is in it; else None, with torch's warning that operation ``name`` does nothing."""
    if not is_outside(group):
        return of_group(group)
    warnings.warn(
        f"Running {name} on global rank {get_rank()} which does not belong to the given group.",
        stacklevel=3,
    )
    return None


def is_outside(group: Any) -> bool:
    """Whether this process is not in a group."""
    if group is GroupMember.NON_GROUP_MEMBER:
        of_group(None)
        return True
    return of_group(group).rank() < 0


def new_group(
    ranks: Sequence[int] | None = None,
    timeout: timedelta | None = None,
    backend: str | None = None,
    pg_options: Any = None,
    use_local_synchronization: bool = False,
    group_desc: str | None = None,
    device_id: Any = None,
) -> Any:
    """A group of some processes. All processes call it, in the same order, also those that are not in it; these get ``NON_GROUP_MEMBER``.

    Args:
      ranks: of the processes, in any order, which is sorted; all by default.
      timeout, backend: by default those of the default group.

    Raises:
      ValueError: a rank that isn't there, or comes twice.
    """
    default = of_group(None)
    members = sorted(range(default.size()) if ranks is None else ranks)
    for rank in members:
        if not 0 <= rank < default.size():
            raise ValueError(f"Rank {rank} is out of range. Valid ranks are 0 to {default.size() - 1} (world_size={default.size()})")
    if len(set(members)) != len(members):
        raise ValueError(f"new_group: expected ranks that differ, got {list(ranks or ())}")
    if use_local_synchronization:  # the others make none, and count none
        _world.local[tuple(members)] = number = _world.local.get(tuple(members), 0) + 1
        name = f"{number} of {members}"
    else:
        name = str(_world.count)
        _world.count += 1
    made = ProcessGroup(default.cluster, members, backend or default.backend, timeout_of(timeout, default.timeout), name, default.store)
    if group_desc is not None:
        made.group_desc = group_desc
    if made.rank() < 0:
        return GroupMember.NON_GROUP_MEMBER
    _world.groups.append(made)
    return made


def new_subgroups(
    group_size: int | None = None,
    group: Any = None,
    timeout: Any = None,
    backend: str | None = None,
    pg_options: Any = None,
    group_desc: Any = None,
) -> tuple[Any, list[Any]]:
    """Groups of ``group_size`` neighbours each: this process's, and all.

    Raises:
      ValueError: the world can't be split so.
    """
    size = get_world_size()
    if group_size is None:
        raise ValueError("Default device not found: pass group_size")
    if group_size <= 0 or size < group_size or size % group_size:
        raise ValueError(f"The world size must be divisible by group_size={group_size}")
    return new_subgroups_by_enumeration(
        [list(range(first, first + group_size)) for first in range(0, size, group_size)], timeout, backend, pg_options, group_desc
    )


def new_subgroups_by_enumeration(
    ranks_per_subgroup_list: Sequence[Sequence[int]],
    timeout: Any = None,
    backend: str | None = None,
    pg_options: Any = None,
    group_desc: Any = None,
) -> tuple[Any, list[Any]]:
    """Groups of these ranks each: this process's, and all.

    Raises:
      ValueError: a rank is in two of them.
    """
    everybody = [rank for ranks in ranks_per_subgroup_list for rank in ranks]
    if len(set(everybody)) != len(everybody):
        raise ValueError(f"Rank {max(everybody, key=everybody.count)} has appeared in more than one subgroup")
    made = [new_group(ranks, timeout, backend, pg_options, group_desc=group_desc) for ranks in ranks_per_subgroup_list]
    own = [one for one in made if one is not GroupMember.NON_GROUP_MEMBER]
    return (own[0] if own else None), made


def get_rank(group: Any = None) -> int:
    """The number of this process in a group, -1 if it isn't there."""
    return -1 if is_outside(group) else of_group(group).rank()


def get_world_size(group: Any = None) -> int:
    """The number of processes of a group, -1 if this one isn't there."""
    return -1 if is_outside(group) else of_group(group).size()


def get_process_group_ranks(group: ProcessGroup | None = None) -> list[int]:
    """The numbers of a group's processes in the default group."""
    return list(of_group(group).ranks)


def get_global_rank(group: ProcessGroup, group_rank: int) -> int:
    """The number in the default group of the process that has the number ``group_rank`` in a group.

    Raises:
      ValueError: the group has no such one.
    """
    ranks = of_group(group).ranks
    if not 0 <= group_rank < len(ranks):
        raise ValueError(f"Group rank {group_rank} is not part of group {group}")
    return ranks[group_rank]


def get_group_rank(group: ProcessGroup, global_rank: int) -> int:
    """The number in a group of the process that has the number ``global_rank`` in the default group.

    Raises:
      ValueError: it isn't there.
    """
    ranks = of_group(group).ranks
    if global_rank not in ranks:
        raise ValueError(f"Global rank {global_rank} is not part of group {group}")
    return ranks.index(global_rank)


def root_of(group: ProcessGroup, name: str, rank: int | None, group_rank: int | None, default: int | None = None) -> int:
    """The number in a group of a process that is named by its global rank or by that in the group.

    Raises:
      ValueError: both are named, or neither is and there is no default, or the group has no such one.
    """
    if group_rank is not None:
        if rank is not None:
            raise ValueError("Can't specify both group_rank and global_rank")
        get_global_rank(group, group_rank)
        return group_rank
    if rank is None:
        if default is None:
            raise ValueError(f"Must specify {name} or group_{name}")
        return default
    return get_group_rank(group, rank)


def get_node_local_rank(fallback_rank: int | None = None) -> int:
    """LOCAL_RANK of the environment, or ``fallback_rank``."""
    if "LOCAL_RANK" in os.environ:
        return int(os.environ["LOCAL_RANK"])
    if fallback_rank is None:
        raise RuntimeError("LOCAL_RANK is not in the environment. Consider passing fallback_rank to allow `get_node_local_rank` to work.")
    return fallback_rank


def get_backend(group: ProcessGroup | None = None) -> str:
    """The name that init_process_group was given."""
    return of_group(group).backend


def get_default_backend_for_device(device: Any) -> str:
    """The name of the backend that torch takes for a device: gloo for a CPU, nccl for a GPU.

    Raises:
      ValueError: it has none.
    """
    kind = str(device).partition(":")[0]
    if kind not in Backend.default_device_backend_map:
        raise ValueError(f"Default backend not registered for device : {device}")
    return Backend.default_device_backend_map[kind]


def is_backend_available(backend: str) -> bool:
    """Whether a backend is there: gloo is, whose place XLA's collective operations take."""
    return backend.lower() == Backend.GLOO
