"""What ``funnn.torch`` does otherwise than PyTorch 2.13, as far as it is known: one table, of which the documentation's page is made.

The tests hold it against both libraries: a difference that a program can show is shown, and what other tests leave out is named here.
"""

from __future__ import annotations

from typing import NamedTuple


class Difference(NamedTuple):
    """One difference.

    Attributes:
      key: what tests call it.
      topic: the heading under which the page has it.
      text: what happens here, and what in PyTorch, in Markdown.
      unseen: why no program's result shows it, or None where one does.
      names: the names of torch whose usual use it concerns, which ``python -m funnn check`` finds.
    """

    key: str
    topic: str
    text: str
    unseen: str | None = None
    names: tuple[str, ...] = ()


_MEMORY, _DEVICES, _COMPILED, _SUBCLASSES, _ARGUMENTS, _NUMBERS, _SPARSE = (
    "Memory",
    "Devices and threads",
    "Compiled functions",
    "Subclasses, overrides and workers",
    "Arguments and errors",
    "Numbers",
    "Sparse tensors",
)

DIFFERENCES = (
    Difference(
        "numpy on accelerators",
        _MEMORY,
        "`tensor.numpy()`, `torch.from_numpy`, DLPack and `tensor.data_ptr()` share memory on a CPU. On an accelerator, and of a tensor that lies on several "
        "devices, `numpy()` is a read-only copy, `from_numpy` copies, and `data_ptr()` is the address of a copy on the host with the values as of that call.",
        unseen="on a CPU it is as in PyTorch",
        names=("torch.Tensor.data_ptr",),
    ),
    Difference(
        "read-only arrays",
        _MEMORY,
        "A read-only array is never written: writing to the tensor made of it gives the tensor memory of its own. JAX's arrays are copied by `from_dlpack`.",
        names=("torch.from_dlpack", "torch.utils.dlpack.from_dlpack"),
    ),
    Difference(
        "compiled writes",
        _MEMORY,
        "Writes inside a function compiled by `torch.compile` are seen by NumPy when the function ends, or where it breaks; with "
        '`mode="reduce-overhead"`, calls that write memory that NumPy sees are not replayed.',
        unseen="after the call it is as in PyTorch",
    ),
    Difference(
        "memory formats",
        _MEMORY,
        "Memory formats (`channels_last`) decide strides only, not how something is computed.",
        unseen="it is about speed",
        names=("torch.channels_last", "torch.channels_last_3d"),
    ),
    Difference(
        "strides of kernels",
        _MEMORY,
        "Results have the strides that PyTorch gives them, and so have the gradients of leaves, but for those of `torch.fft` along another dimension than the "
        "last and of `stft` of transposed signals, of `quantile`, `unique` along a dimension, `unravel_index`, `lstsq`, of outer products by `einsum`, and of "
        "`conv_transpose3d` channels last with `output_padding`: they are contiguous.",
    ),
    Difference(
        "data writes",
        _MEMORY,
        "A write through `x.data`, or by NumPy, before `backward()` changes gradients as in PyTorch where PyTorch saved `x` or the result of an elementary "
        "function; where its derivative reads something else that it saved (the statistics of LayerNorm, the places of a maximum), `backward()` raises "
        "`NotImplementedError`. Where PyTorch has copied an operand first (`matmul` that broadcasts), it does not see the write, and funnn does.",
    ),
    Difference(
        "one device",
        _DEVICES,
        "There is one device with numbers, JAX's default: `'cuda:0'` where JAX has an accelerator, else `'cpu'`. `'cuda'` is an error where JAX has none.",
        unseen="on a CPU there is one in PyTorch too",
        names=("torch.cuda.set_device", "torch.cuda.device"),
    ),
    Difference(
        "waits for an index",
        _DEVICES,
        "An index out of range raises as in PyTorch; to know that, an eager operation on a GPU waits for its index.",
        unseen="it is about speed",
    ),
    Difference(
        "settings",
        _DEVICES,
        "`set_num_threads` and `use_deterministic_algorithms` are accepted and kept, and XLA does as it does.",
        unseen="it is about speed, and about what accelerators do",
        names=("torch.set_num_threads", "torch.set_num_interop_threads", "torch.use_deterministic_algorithms"),
    ),
    Difference(
        "python runs",
        _COMPILED,
        "Python runs at every call of a function compiled by `torch.compile`, not only at the first, so there are no guards. The numbers are those of the "
        'plain call. `mode="reduce-overhead"` skips Python, as a CUDA graph does, and says what it checks ([Training](training.md#replays)); what a '
        "replay returned is not overwritten by the next one.",
        unseen="results and printed texts are those of the plain call in both",
        names=("torch.compile",),
    ),
    Difference(
        "breaks",
        _COMPILED,
        "`item()`, `print(tensor)` and `if tensor` inside end one program and begin another, as PyTorch's graph breaks do, with one warning that names "
        "the line; `print` of what is no tensor does not. `fullgraph=True` makes it a `torch._dynamo.exc.Unsupported`, `item()` included.",
        unseen="what PyTorch breaks at depends on its version and settings",
        names=("torch.compile",),
    ),
    Difference(
        "backends",
        _COMPILED,
        "XLA compiles, whatever the backend: a name is checked, a function given as `backend` is kept and not called. The other modes, `options`, "
        "`dynamic` and the settings of `torch._dynamo.config`, `torch._inductor.config` and `torch.compiler.config` are checked and kept, and change "
        "nothing; `torch._dynamo.config.disable` alone does what it says.",
        names=("torch._dynamo.config", "torch._inductor.config", "torch.compiler.config"),
    ),
    Difference(
        "compiled errors",
        _COMPILED,
        "What an operation raises inside is its own error, not `torch._dynamo.exc.TorchRuntimeError`.",
        names=("torch._dynamo.exc.TorchRuntimeError",),
    ),
    Difference(
        "stances",
        _COMPILED,
        '`torch.compiler.set_stance("fail_on_recompile")` raises when the call is over, not before it; there is no limit of programs for a function.',
        unseen="the error is the same",
        names=("torch.compiler.set_stance",),
    ),
    Difference(
        "explain",
        _COMPILED,
        "`torch._dynamo.explain(f)(…)` lists operations by name where PyTorch has graphs, and counts those of `backward()` and of optimizers. "
        "`torch._dynamo.export`, backends' graphs and PyTorch's caches of compiled programs are not there.",
        names=("torch._dynamo.explain",),
    ),
    Difference(
        "captured lists",
        _COMPILED,
        "In a function that `torch.func.grad` and its kin transform, `torch._foreach_add_` and the like refuse tensors from outside, as `add_` does; PyTorch "
        "writes them, and leaves their derivatives out.",
    ),
    Difference(
        "first in a worker",
        _SUBCLASSES,
        "A DataLoader's workers are forked on Linux, and compute with NumPy or a JAX of their own ([Data](data.md#workers)). There is one difference: a "
        "worker's first operation that NumPy has no rule for takes a second.",
        unseen="it is about speed",
    ),
    Difference(
        "traced graphs",
        _COMPILED,
        "`torch.fx` records what PyTorch's does, by its names. Where a tensor that is no proxy is the first operand, `torch.add(b, x)` and the functions of "
        "other operators are recorded as methods, as `b + x` is; sizes of new tensors may be proxies, as in `torch.zeros(x.size(0))`; a module of torch.nn "
        "that is "
        "traced itself reads its bias first; a copy keeps attributes that the program gave. `make_fx`, and what PyTorch makes of a graph below its functions, "
        "are not there.",
        names=("torch.fx.experimental.proxy_tensor.make_fx",),
    ),
    Difference(
        "functions and methods",
        _SUBCLASSES,
        "`torch.add` and `torch.Tensor.add` are one function, which `__torch_function__` is asked for by either, and `torch.tile(x, 2)` takes its size as "
        "`x.tile(2)` does. A mode sees the operations of modules and "
        "optimizers, not PyTorch's own steps in making and copying them.",
        names=("torch.overrides.TorchFunctionMode",),
    ),
    Difference(
        "texts of parsers",
        _ARGUMENTS,
        "Calls are taken as PyTorch's parsers take them, by every overload and name, and what they refuse is a TypeError in their words; an error that a "
        "kernel finds first (a dtype, a shape) may come before it. A parser's text names the arguments of the function, also where a method was called.",
    ),
    Difference(
        "types of kernels",
        _ARGUMENTS,
        "An operation refuses the types of numbers that PyTorch's refuses on every device; some that its kernels for CPUs alone refuse are computed: float16 "
        "and bfloat16, integers of fewer than 64 bits in `avg_pool2d` and `conv_transpose2d`, and integers in `round(decimals=0)`.",
    ),
    Difference(
        "arrays beside tensors",
        _ARGUMENTS,
        "Beside a tensor, an array of NumPy or JAX counts as a tensor where PyTorch refuses it (`torch.add(x, array)`); an operator (`x * array`) gives "
        "NumPy's type, as with PyTorch.",
    ),
    Difference(
        "nodes",
        _ARGUMENTS,
        "`grad_fn` has PyTorch's name but for empty residuals of `lstsq`, `tensorinv` and `_native_batch_norm_legit`; `acosh_`, `asinh_` and `atanh_` have "
        "gradients, which PyTorch does not have. A hook on a node that is one of several in PyTorch and inside one operation here raises; on the last of "
        "them it gets `grad_outputs`, and raises where it reads `grad_inputs`. `next_functions` of some of them lead to the operands at once. The parts of "
        "`split` and `unbind` have a node each, which refuses hooks. What `vmap` or "
        "`jvp` computed of tensors that require a gradient has one node, `VmapBackward` or `JvpBackward`, where PyTorch has those of its batching rules. "
        "Recurrent layers, which are one node here, call the hooks of their parameters in another order. What a node here does not save "
        "(`_saved_result1` of LayerNorm) raises and is not listed by `dir`; dimensions are "
        "counted from the front in the nodes of views, and a mask as an index is saved as the places where it is true.",
    ),
    Difference(
        "classes of errors",
        _ARGUMENTS,
        "An argument of a kind that a function does not take is refused with PyTorch's class of error. Where PyTorch computes with it first and fails later, "
        "as with `kernel_size=1.5` of `max_unpool2d`, or asks it for an attribute, as a wrong `dtype` of `torch.masked.mean`, it is a TypeError here.",
    ),
    Difference(
        "complex32",
        _NUMBERS,
        "Tensors of `torch.complex32` are computed with in complex64, and rounded once an operation. `torch.func` does not take them, modules don't make "
        "parameters of that type, and a view of one whose gradient is wanted is not written with gradients.",
    ),
    Difference(
        "numbers of numpy",
        _ARGUMENTS,
        "NumPy's float32 and float16 numbers in a list are taken for an integer tensor, as its float64 numbers are in PyTorch.",
    ),
    Difference(
        "errors without a gpu",
        _ARGUMENTS,
        "Without a GPU, `x.cuda()` raises what is both an AssertionError, as PyTorch's builds for CPUs raise, and a RuntimeError, as its others do.",
    ),
    Difference(
        "ends of vectors",
        _NUMBERS,
        "Where PyTorch's own answer depends on how many numbers there are (its kernels for eight numbers and for one differ), one of them is given: a "
        "float out of range cast to uint32; the gradients of `hardtanh`, `relu6`, `hardshrink`, `softshrink`, `elu`, `selu`, `celu`, `hardswish` and "
        "`logit` at NaN; `gelu` at ∞.",
    ),
    Difference(
        "equal numbers",
        _NUMBERS,
        "Which of several equal numbers `topk`, `kthvalue` and `mode` of many name, and so which of them has the gradient, is another one than in "
        "PyTorch, which promises none. Of `sort`, `max`, `median`, `cummax` and pooling it is the same one.",
        names=("torch.topk", "torch.kthvalue", "torch.mode", "torch.Tensor.topk", "torch.Tensor.kthvalue", "torch.Tensor.mode"),
    ),
    Difference(
        "neighbours of infinities",
        _NUMBERS,
        "An infinity or NaN in a convolution's weight, or in the gradient of its result, may be multiplied by the zeros of padding, strides and groups, too, "
        "which PyTorch's kernels leave out. In the gradient of `interpolate(antialias=True)`, it may reach other neighbours.",
    ),
    Difference(
        "limits out of range",
        _NUMBERS,
        "A limit or a weight beyond the range of the tensor's type (`hardtanh`, `threshold` and `lerp` of float16) becomes ∞, where PyTorch raises or "
        "computes in float32; "
        "an integer from 2⁶³ on is refused as an operand of arithmetic, where PyTorch rounds it or wraps it around.",
    ),
    Difference(
        "nan in loops",
        _NUMBERS,
        "Gradients that are 0/0 in PyTorch may be numbers: in the target of `kl_div` at 0, of `poisson_nll_loss(full=True)`, of `nanmean` of NaN alone, of "
        "`log_ndtr` at −∞, of norms and `renorm` beside NaN or ∞, of `prod` and `cumprod` where a zero meets NaN or ∞; so may those that its rounding errors "
        "make large numbers, as of `digamma` at its poles. The gradient of `polar` in an absolute value that is not positive is the formula's, where "
        "PyTorch's is that of a positive one.",
    ),
    Difference(
        "order of sums",
        _NUMBERS,
        "Sums and products may be added up in another order, so the last bits of float32 differ. Float64 is there in the torch world, without JAX's "
        "global flag.",
        unseen="within the tolerances of the tests",
    ),
    Difference(
        "dynamic quantisation",
        _NUMBERS,
        "Of quantisation there are `fake_quantize_per_tensor_affine` and `fake_quantize_per_channel_affine`, and "
        "`torch.ao.quantization.quantize_dynamic`, for Linear, LSTM, GRU, the cells, and in 8 bits Embedding and EmbeddingBag, with the numbers of "
        "PyTorch's engine fbgemm (its sums are exact, the last product may round otherwise). The modules have int8 tensors and scales in their "
        "state_dict, where PyTorch has packed parameters; results have no gradient. It saves memory and no time.",
        names=("torch.ao.quantization.quantize_dynamic", "torch.quantization.quantize_dynamic"),
    ),
    Difference(
        "sparse layouts",
        _SPARSE,
        "The layouts are `torch.sparse_coo`, and for matrices `torch.sparse_csr` and `torch.sparse_csc`, without batches and dense dimensions; there are "
        "none on `'meta'`. A sparse tensor is of a subclass of `torch.Tensor` that prints as it does. What an operation refuses is a "
        "`NotImplementedError`, as in PyTorch, and says the way round.",
        names=(
            "torch.sparse_csr_tensor",
            "torch.sparse_csc_tensor",
            "torch.sparse_compressed_tensor",
            "torch.Tensor.to_sparse_csr",
            "torch.Tensor.to_sparse_csc",
        ),
    ),
    Difference(
        "sparse derivatives",
        _SPARSE,
        "Gradients are there, too, where PyTorch has none: of `sin`, `index_select`, `cat`, `A[i]`, sums over a dimension and others, in forward mode and "
        "under `vmap`. A sparse gradient may list its elements in another order and have more or fewer zeros among them; `coalesce()` gives the same. "
        "Where a sparse tensor that was written before `backward()` does not enter the derivative (`sparse.sum`, `softmax`, `to_dense`, "
        "`sparse_mask`), that is no error.",
    ),
    Difference(
        "sparse becomes dense",
        _SPARSE,
        "A sparse gradient that flows on to an operation on dense tensors is dense from there on: after `embedding(i, w * 2, sparse=True)`, `w.grad` is "
        "dense.",
    ),
    Difference(
        "sparse optimizers",
        _SPARSE,
        "Optimizers compute with sparse gradients in dense memory, and so is the momentum of SGD; parameters that are sparse tensors themselves have no "
        "optimizer.",
        unseen="it is about memory",
        names=("torch.optim.SparseAdam",),
    ),
    Difference(
        "sparse replays",
        _SPARSE,
        '`mode="reduce-overhead"` replays no calls that read or make sparse tensors.',
        unseen="results are those of the plain call",
    ),
)
