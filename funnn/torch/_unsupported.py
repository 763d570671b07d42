"""Names that torch has and this library does not: reading one raises an error that says why, and the way round.

The error is an AttributeError too, so that ``hasattr`` says no and ``getattr`` with a default gives the default.
"""

from __future__ import annotations

import functools
import importlib.util
import re
import sys
from types import ModuleType
from typing import Any

from funnn.torch import _mentioned


class Unsupported(AttributeError, NotImplementedError):
    """A name of torch that is not supported here."""


class UnsupportedModule(ModuleNotFoundError, NotImplementedError):
    """A module of torch that is not supported here."""


_SPARSE = (
    "sparse tensors are torch.sparse_coo, and matrices torch.sparse_csr and torch.sparse_csc; compute with their indices() and values()"
)
_QUANTISED = "there are no quantised tensors; store an int8 tensor and its scale, and multiply: x.to(torch.float32) * scale"
_PASSES = "it is of another compiler or vendor library; call the operation of torch.nn.functional that it is part of"
_NESTED = "there are no nested (jagged) tensors; pad to one size and pass a mask, or use torch.nn.utils.rnn.pack_padded_sequence"
_TYPES = (
    "JAX and NumPy have no such type of numbers in torch's sense; use a wider one, such as torch.int8, torch.bfloat16 or torch.complex64"
)
_SHARED = "memory cannot be shared between processes; send x.numpy() and build the tensor there"
_DEVICES = "funnn knows 'cpu' and 'cuda' (the accelerator that JAX sees)"
_GRAPHS = "programs are traced by JAX: use torch.compile, or jax.make_jaxpr and jax.export on to_functional(module)"
_PROCESSES = (
    "several processes have DistributedDataParallel, FullyShardedDataParallel, DTensor, parallelize_module and fully_shard; funnn.sharding spreads arrays "
    "over devices"
)
_SYMBOLS = "sizes are Python integers; the shape of a compiled program is known when it is traced"
_SCRIPT = "there is no TorchScript; use torch.compile"

#: What the names match, the reason and the way round; the first that matches counts.
_FAMILIES: tuple[tuple[str, str], ...] = (
    (
        r"_?(to_)?sparse(_\w+)?|resize_as_sparse_|_?(coalesced?_?|is_coalesced|nnz|((c?col|c?row)_)?indices(_copy)?|values(_copy)?)"
        r"|hsmm|sspaddmm|saddmm|as_sparse_gradcheck|spsolve|Sparse\w+|semi_structured",
        _SPARSE,
    ),
    (
        r"q(scheme|_scale|_zero_point|_per_channel.*|u?int\d.*)|int_repr|dequantize|quanti[sz]e.*|quantiz(ed|ation).*"
        r"|empty_quantized|per_(channel|tensor)_.*|choose_qparams.*|fused_moving_avg.*|fbgemm_.*|Q(U?Int)\d.*Storage",
        _QUANTISED,
    ),
    (r"(cudnn|miopen|mkldnn)_.*|to_mkldnn|_mkldnn|convolution|conv_tbc|native_channel_shuffle|batch_norm_\w+|thnn_.*", _PASSES),
    (r"nested|jagged|to_padded_tensor|_nested_.*", _NESTED),
    (r"(bits\d.*|u?int[1-7]|bit|float4_.*)", _TYPES),
    (r"share_memory_|multiprocessing", _SHARED),
    (r"ipu|hpu|vulkan|maia|is_vulkan_available|cpp|privateuse1|\w+_privateuse1_backend", _DEVICES),
    (r"export|classes|package|dynamo|cond|while_loop|Tag|DispatchKey(Set)?", _GRAPHS),
    (r"distributed|monitor|is_distributed", _PROCESSES),
    (r"Sym(Int|Float|Bool)|sym_\w+", _SYMBOLS),
    (r"Script\w+|CompilationUnit|Graph|Node|\w+Type|import_ir_module.*|parse_(ir|schema)|fork|wait", _SCRIPT),
    (r"(symeig|eig|lstsq|solve|matrix_rank)", "torch has removed it; use the function of that kind in torch.linalg (eigh for symeig)"),
    (r"record_stream|reinforce|__cuda_array_interface__", "tensors are immutable arrays of JAX behind one class"),
    (
        r"(BFloat16|Bool|Byte|Char|ComplexDouble|ComplexFloat|Double|Float|Half|Int|Long|Short)?Storage(Base)?|storage_type",
        "make a tensor, torch.zeros(n, dtype=…), or take x.untyped_storage(); torch.load reads files that hold such storages",
    ),
    (
        r"(BufferDict|ModuleDict|ParameterDict|Future|FileCheck|ErrorReport|JITException|LiteScriptModule|\w*Config|\w*Stats|FunctionSchema)"
        r"|merge_type_from_type_comment|parse_type_comment|unify_type_list|TracingState|Value|Block|Code|Argument\w*|AliasDb|Use|Type",
        _SCRIPT,
    ),
    (r"get_testing_overrides|get_ignored_functions|redispatch_function", "torch.overrides.get_overridable_functions() lists what asks"),
    (r"set_anomaly_enabled", "use torch.autograd.set_detect_anomaly"),
    (r"native_norm|slice_inverse", "use torch.norm, torch.slice_scatter"),
    (r"(resize|resize_as)", "use reshape, or resize_ on a tensor that requires no gradient"),
    (r"module_load", "use load_state_dict, torch.utils.swap_tensors, or x.data = y"),
    (r"grad_dtype", "a gradient has the dtype of its tensor; convert it in a hook"),
    (r"lobpcg", "use torch.linalg.eigh, or jax.experimental.sparse.linalg.lobpcg_standard"),
    (r"Stream|Event|StreamObjType", "XLA orders its work itself; torch.cuda.synchronize() waits for it"),
    (r"\w+_autocast_(ipu|xla)_\w+", _DEVICES),
)
_RUNTIME = "XLA drives the device; see torch.cuda.synchronize, torch.cuda.memory_stats, jax.profiler and jax.devices"
_PIPES = "use Dataset, IterableDataset and DataLoader"

#: The same of single modules: the names with the module's before them.
_MEMBERS: tuple[tuple[str, str], ...] = (
    (
        r"torch\.(cuda|accelerator)\.(sparse|use_mem_pool|\w*(stream|Stream|graph|Graph|Pool|Allocator|allocator|handle|memory_stats|process\w*|sync_debug_mode|Cuda\w*)"
        r"\w*|device_of|device_index|cudart|cudaStatus|check_error|get_gencode_flags|memory(_\w+)?|GreenContext|green_contexts|gds|nccl|nvtx"
        r"|tunable|jiterator|profiler|utilization|temperature|power_draw|clock_rate|can_device_access_peer|device_memory_used|\w*_memory_\w+"
        r"|get_device_capability|caching_\w+|empty_host_cache|get_memory_info|random|default_generators)",
        _RUNTIME,
    ),
    (
        r"torch\.backends\.cuda\.(\w*(blas|linalg|fft|FFT|BLAS|sdp|SDP|fa_library|attention|ck_sdpa|workspace)\w*)",
        "XLA chooses its libraries itself; JAX's and XLA's flags are the settings",
    ),
    (
        r"torch\.utils\.(tensorboard|cpp_extension|bottleneck|mobile_optimizer|ThroughputBenchmark|throughput_benchmark)",
        "use the package of that purpose: tensorboardX, jax.ffi, torch.utils.benchmark, torch.load of a downloaded file",
    ),
    (
        r"torch\.utils\.data\.(\w*DataPipe|\w*datapipe\w*|DataChunk|argument_validation|non_deterministic|guaranteed_\w+|runtime_validation\w*|graph\w*)",
        _PIPES,
    ),
    (
        r"torch\.autograd\.(graph\.)?(NestedIOFunction|Profiler\w+|profiler_\w+|SavedTensor|set_multithreading_enabled|is_multithreading_enabled"
        r"|enforce_grad_layout_policy|is_view_replay_enabled|kineto_available|region_activation_memory_budget|set_override_\w+|set_warn_on_\w+)",
        "the tape is one thread of Python; for time and memory see jax.profiler, torch.utils.checkpoint",
    ),
    (
        r"torch\.jit\.(Attribute|Error|annotate|freeze|isinstance|strict_fusion|trace_module|\w*(onednn|fusion|frozen|flatbuffer|opnames|Traced\w*"
        r"|Tracer\w*|Tracing\w*|Recursive\w*|optimiz\w+|script_if_tracing|set_module|last_executed\w*)\w*)",
        _SCRIPT,
    ),
    (
        r"torch\._dynamo\.(eval_frame\.|decorators\.)?(aot_compile|bytecode_debugger|callback(_handler)?|code_context|comptime|convert_frame"
        r"|compiled_autograd|functional_export|guards|mutation_guard|on_compile_\w+|output_graph|polyfills|profiler|replay|repro|resume_execution"
        r"|symbolic_convert|source|test_\w+|testing|trace_rules|variables|allow_c_slot|override_optimization_hint|reset_recompile_user_contexts)",
        "there is no tracer of Python's bytecode; Python runs at every call, and torch._dynamo.explain says what becomes one program",
    ),
    (r"torch\._inductor\.\w+", _PASSES),
    (
        r"torch\.fx\.(_lazy_graph_module|annotate|config|operator_schemas|tensor_type|traceback|(experimental|passes)\.\w+)(\.\w+)*",
        "torch.fx is there for programs, and not for PyTorch's own compiler; see torch.fx.symbolic_trace, Interpreter, Transformer, replace_pattern",
    ),
    (r"torch\.func\.rearrange", "use einops.rearrange on x.detach().numpy(), or reshape and permute"),
    (r"torch\.nn\.functional\.scaled_grouped_mm", "use torch.matmul of each group"),
    (r"torch\.nn\.(quantized|quantizable|qat|intrinsic)(\.\w+)*", _QUANTISED),
    (
        r"torch\.(ao|quantization)(\.\w+)*",
        "there are no quantised tensors; of modules there is torch.ao.quantization.quantize_dynamic, for Linear, recurrent ones and Embedding",
    ),
    (r"torch\.nn\.(backends|cpp)(\.\w+)*", "it is of PyTorch's own kernels"),
    (r"torch\.nn\.parallel\.(comm|_functions|DistributedDataParallelCPU)(\.\w+)*", _PROCESSES),
    (
        r"torch\.nn\.attention\.((bias\.)?(\w*flash_attention\w*|can_use_\w+|SDPAParams|WARN_FOR_UNFUSED_KERNELS)|varlen(\.\w+)*|experimental(\.\w+)*)",
        "attention takes the kernel that fits the device; use torch.nn.functional.scaled_dot_product_attention, with a mask for sequences of different lengths",
    ),
    (r"torch\.masked\.(MaskedTensor|maskedtensor)", "pass the mask to the functions of torch.masked"),
    (r"torch\.library\.(get_kernel|triton_op|wrap_triton)", "operators are Python here; write one with torch.library.custom_op"),
    (
        r"torch\.library\.(register_vmap|register_autocast|register_torch_dispatch)",
        "torch.library.custom_op has register_autograd and register_fake",
    ),
    (r"torch\.serialization\.(register_package|skip_data)", "files are read by torch.load(map_location=…), and written with all numbers"),
    (r"torch\.backends\.(m|python_native)", "it is of PyTorch's own kernels"),
)
_MEMBERS = (
    *_MEMBERS,
    (
        r"torch\.distributed\.fsdp(\.\w+)+",
        "use torch.distributed.fsdp.fully_shard(module), FullyShardedDataParallel or DistributedDataParallel",
    ),
    (
        r"torch\.distributed\.checkpoint(\.\w+)+",
        "torch.distributed.checkpoint has save, load and state_dict; or put tensors together by full_tensor(), and torch.save them from one process",
    ),
    (
        r"torch\.distributed\.rpc(\.\w+)*",
        "no process calls functions of another; use torch.distributed.send, recv and broadcast_object_list for values, and torch.distributed.pipelining or "
        "FullyShardedDataParallel for models that one process does not hold",
    ),
    (
        r"torch\.distributed\.pipelining(\.\w+)+",
        "the schedules are ScheduleGPipe, Schedule1F1B, ScheduleInterleaved1F1B and ScheduleLoopedBFS, of which all give the same gradients",
    ),
    (r"torch\.distributed(\.\w+)+", _PROCESSES),
)
_PATTERNS = tuple((re.compile(pattern), reason) for pattern, reason in _FAMILIES)
_MEMBER_PATTERNS = tuple((re.compile(pattern), reason) for pattern, reason in _MEMBERS)


@functools.lru_cache(maxsize=4096)
def _reason(kind: str, name: str) -> str | None:
    """What an error says of ``kind.name``, if torch has it."""
    if name.startswith("__"):
        return None
    path = f"{kind}.{name}"
    found = (reason for pattern, reason in (*_MEMBER_PATTERNS, *_PATTERNS) if pattern.fullmatch(name) or pattern.fullmatch(path))
    reason = next(found, None)
    return None if reason is None else f"{path} is not supported: {reason}"


def missing(owner: object, kind: str, name: str) -> Any:
    """What an attribute of ``owner``, a ``kind``, that is not there stands for if libraries mention it; else it raises.

    Raises:
      Unsupported: with the reason, if torch has it.
      AttributeError: torch has no such name.
    """
    reason = _reason(kind, name)
    if (made := _mentioned.find(kind, name, reason or f"{kind}.{name} is not supported")) is not None:
        setattr(owner, name, made)
        return made
    if reason is not None:
        raise Unsupported(reason, name=name, obj=owner)
    what = f"module {owner.__name__!r}" if isinstance(owner, ModuleType) else f"{kind!r} object"
    raise AttributeError(f"{what} has no attribute {name!r}", name=name, obj=owner)


def watch(*modules: ModuleType) -> None:
    """Let the modules say why, where a name is asked for that they lack; an import from a module that is a file asks as one from a package does."""
    for module in modules:
        module.__path__ = getattr(module, "__path__", [])
        module.__getattr__ = functools.partial(missing, module, module.__name__.removeprefix("funnn."))


class _Finder:
    """Asked last, for a module of this package that nothing has found: the import says why, as reading the name does. ``importlib.util.find_spec`` is
    not told why, but that it is not there."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        parent, _, leaf = name.removeprefix("funnn.").rpartition(".")
        is_ours = name.startswith("funnn.torch.") or (name.startswith("torch.") and sys.modules.get("torch") is sys.modules["funnn.torch"])
        if is_ours and (reason := _reason(parent, leaf)) is not None and sys._getframe(2).f_code is not importlib.util.find_spec.__code__:
            other = f"funnn.{name}" if name.startswith("torch.") else name.removeprefix("funnn.")
            raise UnsupportedModule(
                reason, name=other
            )  # by its other name: `from torch import x` swallows what says that torch.x is not there


sys.meta_path.extend((_mentioned.Finder(watch), _Finder))


def missing_of_tensor(tensor: object, name: str) -> object:
    """``Tensor.__getattr__``: called where an attribute is not there, and where a property raised AttributeError, which is raised again."""
    if hasattr(type(tensor), name):
        return object.__getattribute__(tensor, name)
    missing(tensor, type(tensor).__name__, name)
