"""The mean over processes as a hook of DistributedDataParallel, in the gradients' own type or in half of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from funnn.engine.types import dtype as _dtype
from funnn.torch import distributed as dist
from funnn.torch.distributed.buckets import GradBucket

__all__ = ["allreduce_hook", "bf16_compress_hook", "bf16_compress_wrapper", "fp16_compress_hook", "fp16_compress_wrapper"]

Hook = Callable[[Any, GradBucket], Any]


def allreduce_hook(process_group: Any, bucket: GradBucket) -> Any:
    """The mean over processes, as without a hook."""
    group = dist.of_group(process_group)
    mean = bucket.buffer().div_(group.size())
    return dist.all_reduce(mean, group=group, async_op=True).get_future().then(lambda future: future.value()[0])


def _compressed(process_group: Any, bucket: GradBucket, dtype: Any) -> Any:
    group, whole = dist.of_group(process_group), bucket.buffer()
    half = whole.to(dtype).div_(group.size())
    return dist.all_reduce(half, group=group, async_op=True).get_future().then(lambda future: whole.copy_(future.value()[0]))


def fp16_compress_hook(process_group: Any, bucket: GradBucket) -> Any:
    """The mean over processes in float16."""
    return _compressed(process_group, bucket, _dtype.float16)


def bf16_compress_hook(process_group: Any, bucket: GradBucket) -> Any:
    """The mean over processes in bfloat16."""
    return _compressed(process_group, bucket, _dtype.bfloat16)


def _wrapper(hook: Hook, dtype: Any) -> Hook:
    def wrapped(state: Any, bucket: GradBucket) -> Any:
        whole = bucket.buffer()
        bucket.set_buffer(whole.to(dtype))
        return hook(state, bucket).then(lambda future: whole.copy_(future.value()))

    return wrapped


def fp16_compress_wrapper(hook: Hook) -> Hook:
    """Another hook, on gradients in float16."""
    return _wrapper(hook, _dtype.float16)


def bf16_compress_wrapper(hook: Hook) -> Hook:
    """Another hook, on gradients in bfloat16."""
    return _wrapper(hook, _dtype.bfloat16)
