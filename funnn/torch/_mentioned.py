"""Names of torch that libraries mention when they are imported and seldom use: in annotations, base classes, isinstance and tables.

Such a name is there, and what it stands for raises when it is called. Every other name that is missing raises when it is looked up, so that ``hasattr``
and ``getattr`` with a default say the truth; the table is therefore chosen by what libraries do, and no longer than that.
"""

from __future__ import annotations

import enum
import importlib
import importlib.abc
import importlib.machinery
from collections.abc import Callable
from types import ModuleType
from typing import Any

#: Of each module the names: of classes, which may be asked about and derived from, but not made; of functions (in small letters), which raise when they
#: are called; "Name=A,B": of enumerations; "name=": of classes in small letters. Modules that are nothing but these names are made.
_TABLE = """
torch: SymInt SymFloat SymBool Stream ScriptModule PyTorchFileReader
torch._C: ScriptDict ScriptList ScriptModule ScriptObject ScriptFunction Graph Node Value JITException _TensorMeta _jit_set_profiling_mode _NodeBase
    _jit_set_profiling_executor _jit_set_texpr_fuser_enabled _jit_override_can_fuse_on_cpu _jit_override_can_fuse_on_gpu _jit_set_nvfuser_enabled
torch._C._distributed_c10d: Reducer ProcessGroup
torch._C._functorch: _add_batch_dim _remove_batch_dim get_unwrapped is_batchedtensor is_legacy_batchedtensor _vmap_increment_nesting _vmap_decrement_nesting
torch._functorch:
torch._functorch.vmap: _add_batch_dim _broadcast_to_and_flatten _get_name _maybe_remove_batch_dim
torch._guards: active_fake_mode
torch._ops: HigherOrderOperator OpOverload OpOverloadPacket
torch._subclasses: FakeTensor FakeTensorMode
torch._subclasses.fake_tensor: FakeTensor FakeTensorMode is_fake
torch._subclasses.functional_tensor: FunctionalTensor mb_unwrap_functional_tensor
torch._tensor_str: _tensor_str _add_suffixes _str_intern _str
torch.autograd.profiler: EventList
torch.autograd.profiler_legacy: profile=
torch.cuda: Stream StreamContext Event CUDAGraph ExternalStream graph=
torch.distributed._functional_collectives: AsyncCollectiveTensor all_gather_tensor all_to_all_single all_to_all_single_autograd all_reduce
    permute_tensor wait_tensor
torch.distributed._shard:
torch.distributed._shard.sharded_tensor: ShardedTensor
torch.distributed._tensor.experimental: implicit_replication
torch.distributed.algorithms._checkpoint:
torch.distributed.algorithms._checkpoint.checkpoint_wrapper: CheckpointImpl=REENTRANT,NO_REENTRANT CheckpointWrapper apply_activation_checkpointing
    checkpoint_wrapper offload_wrapper
torch.distributed.algorithms.ddp_comm_hooks.post_localSGD_hook: PostLocalSGDState post_localSGD_hook
torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook: PowerSGDState powerSGD_hook batched_powerSGD_hook
torch.distributed.algorithms.model_averaging:
torch.distributed.algorithms.model_averaging.averagers: ModelAverager PeriodicModelAverager
torch.distributed.checkpoint: load_state_dict save_state_dict
torch.distributed.checkpoint._consolidate_hf_safetensors: consolidate_safetensors_files
torch.distributed.checkpoint.default_planner: DefaultLoadPlanner DefaultSavePlanner
torch.distributed.checkpoint.format_utils: _EmptyStateDictLoadPlanner _load_state_dict dcp_to_torch_save
torch.distributed.checkpoint.hf_storage: HuggingFaceStorageReader HuggingFaceStorageWriter
torch.distributed.checkpoint.optimizer: load_sharded_optimizer_state_dict
torch.distributed.checkpoint.state_dict_loader: _load_state_dict
torch.distributed.optim: DistributedOptimizer PostLocalSGDOptimizer ZeroRedundancyOptimizer
torch.distributed.rpc: TensorPipeRpcBackendOptions init_rpc rpc_async rpc_sync shutdown RRef
torch.distributed.tensor.experimental: context_parallel implicit_replication
torch.distributed.tensor.parallel: loss_parallel
torch.distributed.tensor._utils: compute_local_shape_and_global_offset
torch.distributed.tensor._dtensor_spec: DTensorSpec TensorMeta
torch.export: Dim ExportedProgram export save load
torch.jit: ScriptModule ScriptFunction RecursiveScriptModule TracerWarning ScriptWarning Error Future
torch.onnx: ONNXProgram OperatorExportTypes=ONNX,ONNX_ATEN,ONNX_ATEN_FALLBACK,ONNX_FALLTHROUGH TrainingMode=EVAL,PRESERVE,TRAINING export
torch.utils.cpp_extension: load load_inline BuildExtension
torch.utils.data: IterDataPipe MapDataPipe
torch.utils.data._utils.worker: _generate_state
torch.utils._python_dispatch: TorchDispatchMode BaseTorchDispatchMode
torch.utils.flop_counter: FlopCounterMode
"""


def _read() -> dict[str, dict[str, tuple[str, str]]]:
    table: dict[str, dict[str, tuple[str, str]]] = {}
    for line in _TABLE.strip().splitlines():
        if line[0] != " ":
            module, _, line = line.partition(":")
        table.setdefault(module, {}).update((word.partition("=")[0], word.partition("=")[1:]) for word in line.split())
    return table


_NAMES = _read()
_ROOT = "funnn."


class _Refused(type):
    """The class of classes that cannot be made."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(getattr(cls, "__unsupported__", ""))


def find(module: str, name: str, reason: str) -> Any:
    """What a name stands for that is only mentioned, or None for another name; ``reason`` is what calling it says."""
    names = _NAMES.get(module, {})
    if f"{module}.{name}" in _NAMES:
        return importlib.import_module(f"{_ROOT}{module}.{name}")
    if name not in names:
        return None
    mark, members = names[name]
    facts = {"__module__": module, "__unsupported__": reason, "__doc__": f"Not supported: {reason}"}
    if members:
        made: Any = enum.Enum(name, members.split(","), module=module)  # type: ignore[misc]
        made.__unsupported__ = reason
        return made
    if mark or name.lstrip("_")[:1].isupper():
        return _Refused(name, (Exception,) if name.endswith(("Error", "Warning", "Exception")) else (), facts)

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(reason)

    refuse.__name__ = refuse.__qualname__ = name
    vars(refuse).update(__unsupported__=reason)
    refuse.__module__, refuse.__doc__ = facts["__module__"], facts["__doc__"]
    return refuse


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Makes the modules that are nothing but names that are mentioned; asked after all that look for files.

    Args:
      watch: lets a module answer for what it lacks.
    """

    def __init__(self, watch: Callable[[ModuleType], None]):
        self._watch = watch

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if not name.startswith(f"{_ROOT}torch.") or name.removeprefix(_ROOT) not in _NAMES:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        kind = spec.name.removeprefix(_ROOT)
        return ModuleType(spec.name, f"Names of {kind} that libraries mention; what they stand for is not supported.")

    def exec_module(self, module: ModuleType) -> None:
        self._watch(module)
