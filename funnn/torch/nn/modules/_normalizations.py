"""What torch's batch and instance normalisations have beyond the layers: old state_dicts, running statistics, conversion."""

from __future__ import annotations

from typing import Any

from funnn import functional as F
from funnn.engine.ops.kit.table import FUNCTIONS as ops
from funnn.engine.ops.make.factories import tensor
from funnn.engine.tape.grad_mode import no_grad
from funnn.layers import Buffer, batchnorm
from funnn.torch import distributed as dist
from funnn.torch.distributed.nn.functional import all_reduce
from funnn.torch.nn.modules._torch_files import publish
from funnn.torch.nn.modules.derived import LayerModule
from funnn.torch.nn.modules.module import Module


class _NormBase(LayerModule, file="batchnorm"):
    _version = 2  # of the state_dict, since it has num_batches_tracked

    def reset_running_stats(self) -> None:
        """The running statistics as they were in the beginning."""
        self._reset(Buffer)

    def check_rank(self, input: Any) -> None:
        self._check_input_dim(input)

    def _check_input_dim(self, input: Any) -> None:
        """Refuse an input with the wrong number of axes; a subclass may allow others."""
        if not hasattr(self._layer_type, "ranks") and self._layer_type.check_rank is batchnorm.BatchNormNd.check_rank:
            raise NotImplementedError(f"{type(self).__name__} does not say which inputs it takes: define _check_input_dim(self, input)")
        self._layer_type.check_rank(self, input)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, local_metadata: dict, *rest: Any) -> None:
        key, version = f"{prefix}num_batches_tracked", local_metadata.get("version")
        if (version is None or version < 2) and self.track_running_stats and key not in state_dict:
            state_dict[key] = tensor(0) if self.num_batches_tracked is None else self.num_batches_tracked
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


class _BatchNorm(_NormBase, layer=batchnorm.BatchNormNd):
    pass


class _InstanceNorm(_NormBase, layer=batchnorm.InstanceNormNd, file="instancenorm"):
    def _load_from_state_dict(self, state_dict: dict, prefix: str, local_metadata: dict, *rest: Any) -> None:
        stale = [name for name in ("running_mean", "running_var") if prefix + name in state_dict]
        if local_metadata.get("version") is None and not self.track_running_stats and stale:
            rest[-1].append(
                f"Unexpected running stats buffer(s) {' and '.join(map(repr, stale)).replace(chr(39), chr(34))} for {type(self).__name__} with "
                "track_running_stats=False. If this state_dict is of before version 0.4, delete them from it."
            )
            for name in stale:
                state_dict.pop(prefix + name)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


class SyncBatchNorm(_BatchNorm, layer=batchnorm.SyncBatchNorm):
    def forward(self, input: Any) -> Any:
        group = self._group()
        if group is None:
            return super().forward(input)
        self._check_input_dim(input)
        shape, axes = (1, -1, *[1] * (input.dim() - 2)), (0, *range(2, input.dim()))
        counted = tensor([input.numel() / max(1, input.shape[1])], dtype=input.dtype)
        sums = all_reduce(ops["cat"]([input.sum(axes), counted]), group=group)
        mean, count = sums[:-1] / sums[-1], sums[-1].detach()
        distance = input - mean.reshape(shape)
        variance = all_reduce((distance * distance).sum(axes), group=group) / count
        self._advance(mean.detach(), (variance.detach() * count) / (count - 1).clamp(min=1))
        y = distance * (variance + self.eps).rsqrt().reshape(shape)
        y = y if self.weight is None else y * self.weight.reshape(shape)
        return y if self.bias is None else y + self.bias.reshape(shape)

    def _group(self) -> Any:
        """The group of processes over which the statistics are taken; None where they are those of one process, or of the axis of a mesh."""
        group = self.process_group
        if isinstance(group, (str, tuple)) or not dist.is_initialized() or not (self.training or self.running_mean is None):
            return None
        found = dist.of_group(group)
        return found if found.size() > 1 else None

    def _advance(self, mean: Any, variance: Any) -> None:
        if self.training and self.track_running_stats:
            self.num_batches_tracked.add_(1)
            momentum = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            with no_grad():
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
                self.running_var.lerp_(variance.to(self.running_var.dtype), momentum)

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """The module with every BatchNorm in it (itself included) replaced by a SyncBatchNorm of the same parameters."""
        result = module
        if isinstance(module, _BatchNorm):
            result = cls(module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats, process_group)
            result._parameters.update(module._parameters)
            result._buffers.update(module._buffers)
            result.training = module.training
        for name, child in module.named_children():
            result.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return result


class CrossMapLRN2d(Module):
    """y = x · (k + alpha/size · s)^(−beta) with s the sum of squares over channels less than (size + 1)//2 away and over channel 0.

    The old form of LocalResponseNorm, for (N, C, H, W). That channel 0 always counts is what torch computes; the gradient here is that of this
    formula, where torch's leaves the channel out again. Source: torch.nn.CrossMapLRN2d.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1):
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Any) -> Any:
        if input.dim() != 4:
            raise ValueError(f"CrossMapLRN2d: Expected input to be 4D, got {input.dim()}D instead.")
        channels, reach = range(input.shape[1]), (self.size + 1) // 2
        counted = tensor([[float(other == 0 or abs(c - other) < reach) for other in channels] for c in channels], dtype=input.dtype)
        summed = F.conv2d(input**2, counted[:, :, None, None])
        return input * (self.k + self.alpha / self.size * summed) ** -self.beta

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


publish(CrossMapLRN2d, "normalization")
