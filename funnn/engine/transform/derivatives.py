"""Derivatives as functions of functions: grad, vjp and what is made of it run on the tape, jvp and what is made of it in forward mode."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from funnn.engine.backward.walk import pull_gradients
from funnn.engine.state import thread
from funnn.engine.tape.node import AccumulateGrad, Gate, new_number, reachable, zero_gradient
from funnn.engine.tensor.tensor import Tensor, as_tensor
from funnn.engine.transform.transform import check_tangent, pushed
from funnn.engine.transform.vmap import vmap
from funnn.engine.types import tree as _tree


class _Pullback:
    """One run of a function on new leaves, whose gradients can then be pulled back.

    The new leaves stand for tensors that may have a history of their own; a Gate keeps the two apart, and passes gradients on.
    """

    differentiates = True

    def __init__(self, tensors: list[Tensor]):
        self.recording = thread.grad
        self.first = new_number()
        self.leaves = [tensor._bare() for tensor in tensors]
        self.entered = [(leaf._storage, tensor) for leaf, tensor in zip(self.leaves, tensors, strict=True)]
        self.gates = []
        for leaf, tensor in zip(self.leaves, tensors, strict=True):
            if not (leaf.is_floating_point() or leaf.is_complex()):
                raise RuntimeError(
                    f"only Tensors of floating point dtype can require gradients, got {leaf.dtype}; convert it with .float()"
                )
            gate = Gate((tensor._edge() if self.recording and tensor.requires_grad else None,))
            leaf._grad_fn = gate
            self.gates.append(gate)

    def __enter__(self) -> _Pullback:
        self.levels = thread.levels, thread.level
        thread.levels, thread.level = (*thread.levels, self), self.first
        thread.grad = True
        return self

    def __exit__(self, *exc: Any) -> None:
        thread.levels, thread.level = self.levels
        thread.grad = self.recording

    def enter(self, argument: Any) -> Any:
        """Another argument: one that the function may write, which gives the tensor outside no history."""
        if not isinstance(argument, Tensor) or argument.requires_grad or argument._storage.level == self.first:
            return argument
        self.entered.append((argument._storage, argument))
        return argument._bare()

    def leave(self, tensors: list[Tensor]) -> list[Tensor]:
        """The tensors as they are outside: those that only the leaves gave a history lose it."""
        return [
            tensor if not tensor.requires_grad or (self.recording and self._reaches_out([tensor])) else tensor._bare() for tensor in tensors
        ]

    def _reaches_out(self, tensors: list[Tensor]) -> bool:
        nodes = reachable(tensor._edge()[0] for tensor in tensors if tensor.requires_grad)
        return any(self._is_outside(node.variable) if isinstance(node, AccumulateGrad) else node.number < self.first for node in nodes)

    def _is_outside(self, leaf: Tensor | None) -> bool:
        """Whether a leaf was not made by the function, as the parameters are of a module that it makes."""
        if leaf is None or leaf._storage.level >= self.first:
            return leaf is None
        return not any(leaf._storage is memory and leaf is not outside for memory, outside in self.entered)

    def pull(self, outputs: list[Tensor], gradients: list[Tensor], retain_graph: bool) -> list[Tensor]:
        """The gradients of the leaves; recorded if something outside may ask for their derivatives."""
        create_graph = self.recording and self._reaches_out([*outputs, *gradients])
        roots = [
            (output._edge(), gradient if create_graph else gradient._operand())
            for output, gradient in zip(outputs, gradients, strict=True)
            if output.requires_grad
        ]
        wanted = [(gate, 0) for gate in self.gates]
        with self:
            found = pull_gradients(
                roots, retain_graph=retain_graph or create_graph, create_graph=create_graph, inputs=dict.fromkeys(wanted), foreign=True
            )
        results = [found.get(edge) for edge in wanted]
        return [
            Tensor._wrap(zero_gradient(leaf._shape(), leaf.dtype.numpy)) if result is None else as_tensor(result)
            for leaf, result in zip(self.leaves, results, strict=True)
        ]


def _chosen(args: tuple, argnums: Any) -> tuple[list[Tensor], Any, Callable]:
    """The tensors of the arguments to differentiate, their structure, and a function that puts others in their places."""
    positions = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for number in positions:
        if not -len(args) <= number < len(args):
            raise RuntimeError(f"Got argnum={number}, but only {len(args)} positional inputs")
    leaves, structure = _tree.flatten(args[argnums] if isinstance(argnums, int) else tuple(args[number] for number in positions))
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise ValueError(f"Thing passed to transform API must be Tensor, got {type(leaf)}")

    def fill(others: list) -> tuple:
        parts = _tree.unflatten(others, structure)
        filled = list(args)
        for number, part in zip(positions, (parts,) if isinstance(argnums, int) else parts, strict=True):
            filled[number] = part
        return tuple(filled)

    return leaves, structure, fill


def grad_and_value(func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
    """A function that gives ``(gradient, value)`` of ``func``, which returns one number (and, with ``has_aux``, something else beside it).

    >>> import funnn.torch as torch
    >>> grad_and_value(lambda x: (x * x).sum())(torch.tensor([1.0, 3.0]))
    (tensor([2., 6.]), tensor(10.))
    """

    @functools.wraps(func, updated=())
    def gradient_and_value(*args: Any, **kwargs: Any) -> Any:
        tensors, structure, fill = _chosen(args, argnums)
        pullback = _Pullback(tensors)
        with pullback:
            args, kwargs = _tree.map_leaves(pullback.enter, (fill(pullback.leaves), kwargs))
            output, aux = _with_aux(func(*args, **kwargs), has_aux, "grad_and_value")
            if not isinstance(output, Tensor):
                raise RuntimeError(f"grad_and_value(f)(*args): Expected f(*args) to return a Tensor, got {type(output)}")
            if output.dim() != 0:
                raise RuntimeError(
                    f"grad_and_value(f)(*args): Expected f(*args) to return a scalar Tensor, got tensor with {output.dim()} dims. Maybe you wanted "
                    "to use the vjp or jacrev APIs instead?"
                )
        gradients = _tree.unflatten(pullback.pull([output], [Tensor._wrap(np.ones((), output.dtype.numpy))], False), structure)
        (value,) = pullback.leave([output])
        return (gradients, (value, _left(pullback, aux))) if has_aux else (gradients, value)

    return gradient_and_value


def grad(func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
    """A function that gives the gradient of ``func``, which returns one number.

    The gradient has the structure of the argument ``argnums`` (a tuple for several). With ``has_aux``, func returns ``(number, aux)`` and the new
    function ``(gradient, aux)``. What it gives is itself on the tape, so ``backward()`` reaches arguments and captured tensors.

    Raises:
      RuntimeError: an output that is no number, an argument that is no floating-point tensor, a position that is not there.

    Example:
      >>> import funnn.torch as torch
      >>> grad(grad(torch.sin))(torch.tensor(0.0))
      tensor(-0.)
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func, updated=())
    def gradient(*args: Any, **kwargs: Any) -> Any:
        gradients, value = both(*args, **kwargs)
        return (gradients, value[1]) if has_aux else gradients

    return gradient


def vjp(func: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """``(output, pull)``: the output at ``primals``, and the function from a gradient of the output to those of the primals, as a tuple.

    With ``has_aux``, func returns ``(output, aux)`` and the result is ``(output, pull, aux)``.
    """
    return _vjp(func, primals, tuple(range(len(primals))), has_aux)


def _vjp(func: Callable, args: tuple, argnums: Any, has_aux: bool) -> tuple:
    tensors, structure, fill = _chosen(args, argnums)
    pullback = _Pullback(tensors)
    with pullback:
        output, aux = _with_aux(func(*fill(pullback.leaves)), has_aux, "vjp")
        outputs, form = _tree.flatten(output)
        for item in outputs:
            if not isinstance(item, Tensor):
                raise RuntimeError(f"vjp(f, *primals): expected f(*primals) to return only tensors, got unsupported type {type(item)}")

    def pull(*cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        given = cotangents[0] if len(cotangents) == 1 else cotangents
        gradients, got = _tree.flatten(given)
        if got != form:
            raise RuntimeError(
                "Expected pytree structure of cotangents to be the same as pytree structure of outputs to the function. "
                f"cotangents: {got}, primal output: {form}"
            )
        for gradient, item in zip(gradients, outputs, strict=True):
            if gradient._shape() != item._shape():
                raise RuntimeError(
                    f"Mismatch in shape: grad_output[0] has a shape of {gradient.shape} and output[0] has a shape of {item.shape}."
                )
        pullback.recording = thread.grad if create_graph is None else create_graph
        return _tree.unflatten(pullback.pull(outputs, gradients, retain_graph), structure)

    left = _tree.unflatten(pullback.leave(outputs), form)
    return (left, pull, _left(pullback, aux)) if has_aux else (left, pull)


def _with_aux(result: Any, has_aux: bool, name: str) -> tuple:
    if not has_aux:
        return result, None
    if not (isinstance(result, tuple) and len(result) == 2):
        what = f"got {type(result)}" if not isinstance(result, tuple) else f"got a tuple of {len(result)}"
        raise RuntimeError(f"{name}(f)(*args): output of function f should be a tuple: (output, aux) if has_aux is True, {what}")
    return result


def _left(pullback: _Pullback, aux: Any) -> Any:
    return _tree.map_leaves(lambda leaf: pullback.leave([leaf])[0] if isinstance(leaf, Tensor) else leaf, aux)


def jvp(func: Callable, primals: tuple, tangents: tuple, *, strict: bool = False, has_aux: bool = False) -> tuple:
    """``(output, derivative)`` of ``func`` at ``primals`` along ``tangents``, by forward mode; with ``has_aux``, also what func returns beside.

    Raises:
      RuntimeError: primals or tangents that are no tuples of tensors alike; with ``strict``, an output that does not depend on the primals.

    Example:
      >>> import funnn.torch as torch
      >>> jvp(torch.square, (torch.tensor(3.0),), (torch.tensor(1.0),))
      (tensor(9.), tensor(6.))
    """
    where = "jvp(f, primals, tangents):"
    if not isinstance(primals, tuple):
        raise RuntimeError(f"{where} Expected primals to be a tuple. E.g. it should be valid to call f(*primals).")
    values, structure = _tree.flatten(primals)
    directions, form = _tree.flatten(tangents)
    if form != structure:
        raise RuntimeError(
            f"{where} Expected primals and tangents to have the same python structure. For example, if primals is a tuple of 3 tensors, tangents "
            f"also must be. Got primals with structure {structure} and tangents with structure {form}"
        )
    for name, leaves in (("primals", values), ("tangents", directions)):
        for leaf in leaves:
            if not isinstance(leaf, Tensor):
                raise RuntimeError(f"{where} Expected {name} to be a (nested) tuple of Tensors, got one of type {type(leaf)}")
    for value, direction in zip(values, directions, strict=True):
        check_tangent(value, direction)
    beside: dict[str, Any] = {}

    def push(items: list[Tensor]) -> list[Tensor]:
        output, aux = _with_aux(func(*_tree.unflatten(items, structure)), has_aux, "jvp")
        outputs, beside["form"] = _tree.flatten(output)
        for item in outputs:
            if not isinstance(item, Tensor):
                raise RuntimeError(f"{where} expected f(*primals) to return only tensors, got unsupported type {type(item)}")
            if strict and not thread.tracing.is_inside(item._operand()):
                raise RuntimeError(
                    "jvp(f, primals, tangents, strict=True): The output of f is independent of the inputs. This is not allowed with strict=True."
                )
        leaves, beside["aux"] = _tree.flatten(aux)
        beside["count"], beside["fixed"] = len(outputs), [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        return [*outputs, *(leaf for leaf in leaves if isinstance(leaf, Tensor))]

    outputs, derivatives = pushed(push, values, directions)
    count = beside["count"]
    result = tuple(_tree.unflatten(items[:count], beside["form"]) for items in (outputs, derivatives))
    if not has_aux:
        return result
    rest = iter(outputs[count:])
    return (*result, _tree.unflatten([next(rest) if leaf is None else leaf for leaf in beside["fixed"]], beside["aux"]))


def linearize(func: Callable, *primals: Any) -> tuple[Any, Callable]:
    """``(output, push)``: the output at ``primals``, and the linear function from tangents to the derivative along them.

    ``push`` runs func again in forward mode at each call.
    """
    if not primals:
        raise RuntimeError("linearize(f, *primals): expected at least one primal")

    def push(*tangents: Any) -> Any:
        return jvp(func, primals, tangents)[1]

    return func(*primals), push


def _basis(chosen: int, tensors: list[Tensor]) -> list[Tensor]:
    """The unit vectors of one tensor's elements, as rows for vmap, beside zeros for the others."""
    count = tensors[chosen].numel()
    rows = [Tensor._wrap(zero_gradient((count, *tensor._shape()), tensor.dtype.numpy)) for tensor in tensors]
    rows[chosen] = Tensor._wrap(np.eye(count, dtype=tensors[chosen].dtype.numpy).reshape(rows[chosen]._shape()))
    return rows


def jacrev(
    func: Callable,
    argnums: int | tuple[int, ...] = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Callable:
    """The Jacobian of ``func`` by reverse mode: a function with the output's structure, in it that of the arguments ``argnums``.

    Each entry has the output's shape followed by the argument's. ``chunk_size`` rows are computed at once.
    """
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")

    @functools.wraps(func, updated=())
    def jacobian_of(*args: Any) -> Any:
        output, pull, *aux = _vjp(func, args, argnums, has_aux)
        outputs, form = _tree.flatten(output)
        rows = []
        for number, item in enumerate(outputs):
            basis = _basis(number, outputs)
            found = vmap(lambda *units: pull(_tree.unflatten(units, form)), chunk_size=chunk_size)(*basis)
            leaves, structure = _tree.flatten(found)
            rows.append(_tree.unflatten([leaf.reshape(*item._shape(), *leaf._shape()[1:]) for leaf in leaves], structure))
        jacobian = _tree.unflatten(rows, form)
        return (jacobian, *aux) if has_aux else jacobian

    return jacobian_of


def jacfwd(func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False, *, randomness: str = "error") -> Callable:
    """The Jacobian of ``func`` by forward mode; results as of :func:`jacrev`."""

    @functools.wraps(func, updated=())
    def jacobian_of(*args: Any) -> Any:
        tensors, structure, fill = _chosen(args, argnums)

        def push(*units: Tensor) -> Any:
            results = jvp(lambda *items: func(*fill(list(items))), tuple(tensors), units, has_aux=has_aux)
            return (results[1], *results[2:])

        columns, aux = [], ()
        for number, tensor in enumerate(tensors):
            out_dims = (0, None) if has_aux else 0
            derivative, *aux = vmap(push, out_dims=out_dims if has_aux else (0,), randomness=randomness)(*_basis(number, tensors))
            leaves, form = _tree.flatten(derivative)
            columns.append([leaf.movedim(0, -1).reshape(*leaf._shape()[1:], *tensor._shape()) for leaf in leaves])
        per_output = [_tree.unflatten(parts, structure) for parts in zip(*columns, strict=True)]
        jacobian = _tree.unflatten(per_output, form)
        return (jacobian, *aux) if has_aux else jacobian

    return jacobian_of


def hessian(func: Callable, argnums: int | tuple[int, ...] = 0) -> Callable:
    """The matrix of second derivatives of ``func``: forward mode over reverse mode.

    >>> import funnn.torch as torch
    >>> hessian(lambda x: (x**3).sum())(torch.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)
