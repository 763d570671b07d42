"""Jacobians, Hessians and products with them, of functions of tensors or tuples of tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from funnn.engine.ops.kit.table import FUNCTIONS as ops
from funnn.engine.state import thread
from funnn.engine.tape.grad_mode import enable_grad, set_grad_enabled
from funnn.engine.tape.node import zero_gradient
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.transform.derivatives import jacfwd
from funnn.engine.transform.differentiate import grad
from funnn.engine.transform.transform import as_leaf

Tensors = tuple[Tensor, ...]


def _tuple(value: Any, what: str, caller: str) -> tuple[bool, Tensors]:
    """Whether it was a tuple; and it as a tuple of tensors."""
    items = value if isinstance(value, tuple) else (value,)
    for number, item in enumerate(items):
        if not isinstance(item, Tensor):
            kind = f"the value at index {number}" if isinstance(value, tuple) else f"the given {what}"
            raise TypeError(f"The {what} given to {caller} must be either a Tensor or a tuple of Tensors but {kind} has type {type(item)}.")
    return isinstance(value, tuple), items


def _fresh(inputs: Tensors, create_graph: bool) -> Tensors:
    """The inputs as tensors whose gradients can be asked for: attached to what made them if ``create_graph``."""
    return tuple(t.view_as(t) if create_graph and t.requires_grad else t.detach().requires_grad_() for t in inputs)


def _call(func: Callable, inputs: Any, caller: str, create_graph: bool) -> tuple[bool, Tensors, bool, Tensors]:
    many_in, items = _tuple(inputs, "inputs", caller)
    items = _fresh(items, create_graph)
    many_out, outputs = _tuple(func(*items), "outputs of the user-provided function", caller)
    return many_in, items, many_out, outputs


def _gradients(outputs: Any, inputs: Tensors, given: Any = None, create_graph: bool = False, retain_graph: bool = True) -> tuple:
    """As ``grad``, with None where nothing leads from an output to an input."""
    given = (None,) * len(outputs) if given is None else given
    pairs = [(o, g) for o, g in zip(outputs, given, strict=True) if o is not None and o.requires_grad]
    if not pairs:
        return (None,) * len(inputs)
    chosen, gradients = zip(*pairs, strict=True)
    return grad(chosen, inputs, gradients, create_graph=create_graph, retain_graph=retain_graph, allow_unused=True)


def _filled(gradients: tuple, like: Tensors) -> Tensors:
    return tuple(Tensor._wrap(zero_gradient(t._shape(), t.dtype.numpy)) if g is None else g for g, t in zip(gradients, like, strict=True))


def _out(items: Tensors, many: bool, create_graph: bool) -> Any:
    if not create_graph:
        items = tuple(item.detach() for item in items)
    return items if many else items[0]


def _strictly(items: tuple, strict: bool, text: Callable[[int], str]) -> None:
    for number, item in enumerate(items if strict else ()):
        if item is None or not item.requires_grad:
            raise RuntimeError(text(number))


def _outputs_strict(outputs: Tensors, strict: bool) -> None:
    _strictly(
        outputs,
        strict,
        lambda number: (
            f"Output {number} of the user-provided function does not require gradients. The outputs must be computed in a differentiable "
            "manner from the input when running in strict mode."
        ),
    )


def _independent(number: int) -> str:
    return (
        f"The output of the user-provided function is independent of input {number}. This is not allowed in strict mode, where every output must "
        "depend on every input."
    )


def _jacobian_independent(number: int) -> str:
    return (
        f"The jacobian of the user-provided function is independent of input {number}. This is not allowed in strict mode with create_graph=True, "
        "where the jacobian must depend on every input."
    )


def _vector(v: Any, like: Tensors, many: bool, of: str) -> Tensors:
    """The vector of a product, checked; 1 if there is a single number."""
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError(f"The vector v can only be None if {of} a single Tensor with a single element.")
        return (like[0].detach() * 0 + 1,)
    items = v if isinstance(v, tuple) else (v,)
    if len(items) != len(like):
        if len(like) == 1:
            raise RuntimeError("The given v should contain a single Tensor.")
        raise RuntimeError(f"v is a tuple of invalid length: should be {len(like)} but got {len(items)}.")
    for number, (item, other) in enumerate(zip(items, like, strict=True)):
        if item._shape() != other._shape():
            where = f"Entry {number} in v" if many else "v"
            raise RuntimeError(f"{where} has invalid size: should be {other.shape} but got {item.shape}.")
    return items


def vjp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """``(outputs, vᵀ·J)``: the product of a vector shaped like the outputs with the Jacobian of ``func`` at ``inputs``."""
    with enable_grad():
        many_in, items, many_out, outputs = _call(func, inputs, "vjp", create_graph)
        _outputs_strict(outputs, strict)
        v = _vector(v, outputs, many_out, "the user-provided function returns")
    found = _product(outputs, items, v, create_graph, strict, _independent)
    return _out(outputs, many_out, create_graph), _out(found, many_in, create_graph)


def _product(outputs: tuple, items: Tensors, v: Tensors, create_graph: bool, strict: bool, text: Callable[[int], str]) -> Tensors:
    """The gradients of outputs·v, filled with zeros where there is none."""
    with set_grad_enabled(create_graph or _recording()):
        found = _gradients(outputs, items, v, create_graph)
        _missing(found, strict, text)
        _strictly(found, strict and create_graph, _jacobian_independent)
        return _filled(found, items)


def _recording() -> bool:
    return thread.grad


def _missing(found: tuple, strict: bool, text: Callable[[int], str]) -> None:
    if strict and None in found:
        raise RuntimeError(text(found.index(None)))


def jvp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """``(outputs, J·v)``: the product of the Jacobian of ``func`` at ``inputs`` with a vector shaped like the inputs."""
    with enable_grad():
        many_in, given = _tuple(inputs, "inputs", "jvp")
        v = _vector(v, given, many_in, "the input to the user-provided function is")
        many_in, items, many_out, outputs = _call(func, inputs, "jvp", create_graph)
        _outputs_strict(outputs, strict)
        weights = tuple((output.detach() * 0).requires_grad_() for output in outputs)  # J·v is the derivative of vᵀ·Jᵀ·w in w
        pulled = _gradients(outputs, items, weights, create_graph=True)
        _strictly(pulled, strict, _independent)
    found = _product(pulled, weights, v, create_graph, strict, _independent)
    return _out(outputs, many_out, create_graph), _out(found, many_out, create_graph)


def _scalar(func: Callable, inputs: Any, caller: str, create_graph: bool, strict: bool) -> tuple:
    """A run of a function of one number, and its gradient, recorded."""
    many, items, many_out, outputs = _call(func, inputs, caller, create_graph)
    _outputs_strict(outputs, strict)
    if many_out:
        raise RuntimeError(f"The function given to {caller} should return a single Tensor")
    if outputs[0].numel() != 1:
        raise RuntimeError(f"The Tensor returned by the function given to {caller} should contain a single element")
    gradient = _gradients(outputs, items, create_graph=True)
    _strictly(gradient, strict, _jacobian_independent_hessian)
    return many, items, outputs, gradient


def vhp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """``(output, vᵀ·H)``: the product of a vector with the Hessian of ``func``, which returns one number."""
    with enable_grad():
        many, given = _tuple(inputs, "inputs", "vhp")
        v = _vector(v, given, many, "the input to the user-provided function is")
        many, items, outputs, gradient = _scalar(func, inputs, "vhp", create_graph, strict)
    found = _product(gradient, items, v, create_graph, strict, _independent)
    return _out(outputs, False, create_graph), _out(found, many, create_graph)


def hvp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """``(output, H·v)``: the product of the Hessian of ``func``, which returns one number, with a vector."""
    with enable_grad():
        many, given = _tuple(inputs, "inputs", "hvp")
        v = _vector(v, given, many, "the input to the user-provided function is")
        many, items, outputs, gradient = _scalar(func, inputs, "hvp", create_graph, strict)
        weights = tuple((item.detach() * 0).requires_grad_() for item in items)
        pulled = _gradients(gradient, items, weights, create_graph=True)
        _strictly(pulled, strict, _independent)
    found = _product(pulled, weights, v, create_graph, strict, _independent)
    return _out(outputs, False, create_graph), _out(found, many, create_graph)


def jacobian(
    func: Callable, inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False, strategy: str = "reverse-mode"
) -> Any:
    """The Jacobian of ``func`` at ``inputs``: for each output and input an entry of the output's shape followed by the input's.

    Args:
      create_graph: whether the result can be differentiated again.
      strict: whether an output that does not depend on an input is an error; else its entry is zeros.
      vectorize: compute all rows at once by vmap.
      strategy: "reverse-mode", or "forward-mode" (with ``vectorize``), which is faster for few inputs and many outputs.
    """
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(f'Expected strategy to be either "forward-mode" or "reverse-mode", got {strategy!r}')
    if strategy == "forward-mode":
        return _forward_jacobian(func, inputs, create_graph, strict, vectorize)
    if vectorize and strict:
        raise RuntimeError(
            "torch.autograd.functional.jacobian: `strict=True` and `vectorized=True` are not supported together. Please set one of them to False"
        )
    with enable_grad():
        many_in, items, many_out, outputs = _call(func, inputs, "jacobian", create_graph)
        _outputs_strict(outputs, strict)
        rows_of = _all_rows if vectorize else _row_by_row
        entries = [rows_of(output, items, create_graph, strict) for output in outputs]
    return _nested(entries, many_in, many_out, create_graph)


def _nested(entries: list, many_in: bool, many_out: bool, create_graph: bool) -> Any:
    rows = tuple(_out(tuple(row), many_in, create_graph) for row in entries)
    return rows if many_out else rows[0]


def _row_by_row(output: Tensor, items: Tensors, create_graph: bool, strict: bool) -> list[Tensor]:
    rows = []
    for element in output.reshape(-1).unbind():
        found = _gradients((element,), items, create_graph=create_graph)
        _missing(found, strict, _independent)
        _strictly(found, strict and create_graph, _jacobian_independent)
        rows.append(_filled(found, items))
    columns = zip(*rows, strict=True) if rows else [()] * len(items)
    return [
        (ops["stack"](column) if column else item.new_zeros((0,))).reshape(*output._shape(), *item._shape())
        for column, item in zip(columns, items, strict=True)
    ]


def _all_rows(output: Tensor, items: Tensors, create_graph: bool, strict: bool) -> list[Tensor]:
    if not output.requires_grad:
        return list(_filled((None,) * len(items), tuple(item.new_zeros((*output._shape(), *item._shape())) for item in items)))
    basis = ops["eye"](output.numel(), dtype=output.dtype).view(output.numel(), *output._shape())
    found = grad(output, items, basis, create_graph=create_graph, retain_graph=True, allow_unused=True, is_grads_batched=True)
    like = tuple(item.new_zeros((*output._shape(), *item._shape())) for item in items)
    return list(_filled(tuple(None if g is None else g.reshape(zeros._shape()) for g, zeros in zip(found, like, strict=True)), like))


def _forward_jacobian(func: Callable, inputs: Any, create_graph: bool, strict: bool, vectorize: bool) -> Any:
    if strict:
        raise NotImplementedError(
            'torch.autograd.functional.jacobian: `strict=True` and `strategy="forward-mode"` are not supported together'
        )
    if create_graph:
        raise NotImplementedError(
            'torch.autograd.functional.jacobian: `create_graph=True` and `strategy="forward-mode"` are not supported together; use '
            'strategy="reverse-mode"'
        )
    if not vectorize:
        raise NotImplementedError('Computing Jacobian by strategy="forward-mode" is only implemented for `vectorize=True`')
    many_in, items = _tuple(inputs, "inputs", "jacobian")
    many_out = True

    def call_with_tuple(*given: Tensor) -> Tensors:
        nonlocal many_out
        many_out, outputs = _tuple(func(*given), "outputs of the user-provided function", "jacobian")
        return outputs

    entries = jacfwd(call_with_tuple, tuple(range(len(items))))(*(item.detach() for item in items))
    return _nested(list(entries), many_in, many_out, False)


def hessian(
    func: Callable,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The Hessian of ``func``, which returns one number: for each pair of inputs an entry of the two shapes.

    The arguments are those of :func:`jacobian`, for the outer of two Jacobians.
    """
    many, items = _tuple(inputs, "inputs", "hessian")
    if outer_jacobian_strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode"')

    def gradient(*given: Tensor) -> Tensors:
        many_out, outputs = _tuple(func(*given), "outputs of the user-provided function", "hessian")
        _outputs_strict(outputs, strict)
        if many_out:
            raise RuntimeError("The function given to hessian should return a single Tensor")
        if outputs[0].numel() != 1:
            raise RuntimeError("The Tensor returned by the function given to hessian should contain a single element")
        found = _gradients((outputs[0].reshape(()),), given, create_graph=True)
        _missing(found, strict, _independent)
        _strictly(found, strict, _jacobian_independent_hessian)
        return _filled(found, given)

    outer = gradient
    if outer_jacobian_strategy == "forward-mode":

        def outer(*given: Tensor) -> Tensors:
            leaves = tuple(map(as_leaf, given))
            with enable_grad():
                return gradient(*leaves)

    result = jacobian(outer, items, create_graph, strict, vectorize, outer_jacobian_strategy)
    return result if many else result[0][0]


def _jacobian_independent_hessian(number: int) -> str:
    return (
        f"While computing the hessian, found that the jacobian of the user-provided function with respect to input {number} is independent of the "
        "input. This is not allowed in strict mode: the function must be twice differentiable"
    )
