"""Names that torch has and this library does not: reading one raises an error that says why, and the way round.

The error is an AttributeError too, so that ``hasattr`` says no and ``getattr`` with a default gives the default.
"""

from __future__ import annotations

import re
from typing import NoReturn


class Unsupported(AttributeError, NotImplementedError):
    """A name of torch that is not supported here."""


_SPARSE = "tensors are dense; keep zeros in a dense tensor, gather and index_add on an index, or use jax.experimental.sparse on the arrays"
_QUANTISED = "there are no quantised tensors; store an int8 tensor and its scale, and multiply: x.to(torch.float32) * scale"
_PASSES = "it is of another compiler or vendor library; call the operation of torch.nn.functional that it is part of"
_NESTED = "there are no nested (jagged) tensors; pad to one size and pass a mask, or use torch.nn.utils.rnn.pack_padded_sequence"
_TYPES = (
    "JAX and NumPy have no such type of numbers in torch's sense; use a wider one, such as torch.int8, torch.bfloat16 or torch.complex64"
)
_SHARED = "memory cannot be shared between processes; send x.numpy() and build the tensor there"
_DEVICES = "funnn knows 'cpu' and 'cuda' (the accelerator that JAX sees)"
_GRAPHS = "programs are traced by JAX: use torch.compile, or jax.make_jaxpr and jax.export on to_functional(module)"
_PROCESSES = "arrays are spread over devices by funnn.sharding, and over processes by jax.distributed"
_SYMBOLS = "sizes are Python integers; the shape of a compiled program is known when it is traced"
_SCRIPT = "there is no TorchScript; use torch.compile"

#: What the names match, the reason and the way round; the first that matches counts.
_FAMILIES: tuple[tuple[str, str], ...] = (
    (
        r"_?(to_)?sparse(_\w+)?|resize_as_sparse_|_?(coalesced?_?|is_coalesced|nnz|((c?col|c?row)_)?indices(_copy)?|values(_copy)?)"
        r"|smm|hsmm|hspmm|sspaddmm|saddmm",
        _SPARSE,
    ),
    (
        r"q(scheme|_scale|_zero_point|_per_channel.*|u?int\d.*)|int_repr|dequantize|(fake_)?quanti[sz]e.*|quantiz(ed|ation).*"
        r"|empty_quantized|per_(channel|tensor)_.*|choose_qparams.*|fused_moving_avg.*|fbgemm_.*|ao|Q(U?Int)\d.*Storage",
        _QUANTISED,
    ),
    (r"(cudnn|miopen|mkldnn)_.*|to_mkldnn|_mkldnn|convolution|conv_tbc|native_channel_shuffle|batch_norm_\w+|thnn_.*", _PASSES),
    (r"nested|jagged|to_padded_tensor|_nested_.*", _NESTED),
    (r"(bits\d.*|u?int[1-7]|bit|float[48]_.*|complex32|chalf)", _TYPES),
    (r"share_memory_|multiprocessing|from_file", _SHARED),
    (r"mps|xpu|mtia|ipu|hpu|vulkan|maia|is_vulkan_available|cpp|privateuse1", _DEVICES),
    (r"export|onnx|fx|ops|library|classes|package|_dynamo|_inductor|compiler|dynamo|cond|while_loop|Tag|DispatchKey(Set)?", _GRAPHS),
    (r"distributed|futures|monitor|is_distributed", _PROCESSES),
    (r"Sym(Int|Float|Bool)|sym_\w+", _SYMBOLS),
    (r"Script\w+|CompilationUnit|Graph|Node|\w+Type|import_ir_module.*|parse_(ir|schema)|fork|wait", _SCRIPT),
    (
        r"gru|lstm|rnn_(tanh|relu)|(gru|lstm|rnn_tanh|rnn_relu)_cell",
        "it takes weights as a flat list; use the module, torch.nn.GRU and its kin",
    ),
    (r"hub|profiler", "use the checkpoint and the profiler of JAX: funnn.checkpoint, jax.profiler.trace"),
    (r"(symeig|eig|lstsq|solve|matrix_rank)", "torch has removed it; use the function of that kind in torch.linalg (eigh for symeig)"),
    (r"as_subclass|record_stream|reinforce|__cuda_array_interface__", "tensors are immutable arrays of JAX behind one class"),
    (r"lobpcg", "use torch.linalg.eigh, or jax.experimental.sparse.linalg.lobpcg_standard"),
    (r"Stream|Event|StreamObjType", "XLA orders its work itself; torch.cuda.synchronize() waits for it"),
    (r"\w+_autocast_(ipu|xla)_\w+", _DEVICES),
)
_PATTERNS = tuple((re.compile(pattern), reason) for pattern, reason in _FAMILIES)


def missing(owner: object, kind: str, name: str) -> NoReturn:
    """Raise for an attribute of ``owner``, a ``kind``, that is not there: with the reason if torch has it, else a plain AttributeError."""
    if not name.startswith("__"):
        for pattern, reason in _PATTERNS:
            if pattern.fullmatch(name):
                raise Unsupported(f"{kind}.{name} is not supported: {reason}", name=name, obj=owner)
    what = "module 'funnn.torch'" if kind == "torch" else f"{kind!r} object"
    raise AttributeError(f"{what} has no attribute {name!r}", name=name, obj=owner)


def missing_of_tensor(tensor: object, name: str) -> object:
    """``Tensor.__getattr__``: called where an attribute is not there, and where a property raised AttributeError, which is raised again."""
    if hasattr(type(tensor), name):
        return object.__getattribute__(tensor, name)
    missing(tensor, type(tensor).__name__, name)
