"""Collective operations on Python objects: their pickles are sent as bytes. Take objects from processes that you trust alone: a pickle runs code."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np

from funnn.torch.distributed._operands import check_count
from funnn.torch.distributed.collectives import gathered
from funnn.torch.distributed.group import joined, root_of
from funnn.torch.distributed.process_group import ProcessGroup


def _exchange(group: ProcessGroup, value: Any, name: str, is_sender: bool = True) -> list[Any]:
    """The objects of all processes; None for those that send nothing."""
    sent = np.frombuffer(pickle.dumps(value), np.uint8) if is_sender else np.zeros(0, np.uint8)
    return [pickle.loads(part.tobytes()) if part.size else None for part in gathered(group, sent, name)]


def all_gather_object(object_list: list[Any], obj: Any, group: Any = None) -> None:
    """Put the object of each process into the list, in all processes."""
    if (own := joined(group, "all_gather_object")) is None:
        return
    check_count(object_list, "object_list", "all_gather_object", own.size())
    object_list[:] = _exchange(own, obj, "all_gather_object")


def gather_object(
    obj: Any, object_gather_list: list[Any] | None = None, dst: int | None = None, group: Any = None, group_dst: int | None = None
) -> None:
    """Put the object of each process into the list at the process ``dst``, 0 by default.

    Raises:
      ValueError: there is no list at ``dst``, or one elsewhere.
    """
    if (own := joined(group, "gather_object")) is None:
        return
    is_root = own.rank() == root_of(own, "dst", dst, group_dst, 0)
    if is_root and not object_gather_list:
        raise ValueError("Argument ``gather_list`` must be specified on destination rank.")
    if not is_root and object_gather_list:
        raise ValueError("Argument ``gather_list`` must NOT be specified on non-destination ranks.")
    found = _exchange(own, obj, "gather_object")
    if object_gather_list is not None and is_root:
        check_count(object_gather_list, "object_gather_list", "gather_object", own.size())
        object_gather_list[:] = found


def broadcast_object_list(
    object_list: list[Any], src: int | None = None, group: Any = None, device: Any = None, group_src: int | None = None
) -> None:
    """Replace the objects of the list, in all processes, by those of the process ``src``, 0 by default."""
    if (own := joined(group, "broadcast_object_list")) is None:
        return
    root = root_of(own, "src", src, group_src, 0)
    found = _exchange(own, list(object_list), "broadcast_object_list", own.rank() == root)[root]
    check_count(object_list, "object_list", "broadcast_object_list", len(found))
    if own.rank() != root:
        object_list[:] = found


def scatter_object_list(
    scatter_object_output_list: list[Any],
    scatter_object_input_list: Sequence[Any] | None = None,
    src: int | None = None,
    group: Any = None,
    group_src: int | None = None,
) -> None:
    """Put object i of the input list of the process ``src``, 0 by default, at the front of the output list of process i.

    Raises:
      ValueError: the output list is empty, or there is no input list at ``src``.
    """
    if (own := joined(group, "scatter_object_list")) is None:
        return
    root = root_of(own, "src", src, group_src, 0)
    if not isinstance(scatter_object_output_list, list) or not scatter_object_output_list:
        raise ValueError("Expected argument scatter_object_output_list to be a list of size at least 1.")
    if own.rank() == root:
        if scatter_object_input_list is None:
            raise ValueError("source rank must provide non-None scatter_object_input_list")
        check_count(scatter_object_input_list, "scatter_object_input_list", "scatter_object_list", own.size())
    given = list(scatter_object_input_list or ())
    scatter_object_output_list[0] = _exchange(own, given, "scatter_object_list", own.rank() == root)[root][own.rank()]
