"""Forward mode as a context: dual tensors, a value with a tangent, through which derivatives travel with the values."""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

from funnn.engine.backward.walk import pull_gradients
from funnn.engine.program.form import Form
from funnn.engine.program.value import Value
from funnn.engine.state import thread
from funnn.engine.tape.node import Gate, Node, node_type
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.transform.inside import Dual, InsideResiduals
from funnn.engine.transform.level import Pushing
from funnn.engine.transform.transform import PUSHED_INTO, check_tangent


class UnpackedDualTensor(NamedTuple):
    """The parts of a dual tensor; tangent is None where there is none."""

    primal: Tensor
    tangent: Tensor | None


class _Duals(Pushing):
    """Forward mode in progress."""

    of_function = False

    def __init__(self):
        super().__init__(PUSHED_INTO)
        self.nodes: list[weakref.ref] = []
        self.tangents: weakref.WeakValueDictionary[int, Tensor] = weakref.WeakValueDictionary()

    def __enter__(self) -> _Duals:
        super().__enter__()
        thread.duals = self
        return self

    def __exit__(self, *exc: Any) -> None:
        self._leave_trace()
        thread.tracing, thread.duals = self.before, None
        for storage in [*self.made, *self.read_first]:
            if self.is_inside(storage.value):
                storage.value = self.parts(storage.value)[0]
                storage.writes += 1  # views that kept a value read again
        for node in filter(None, (reference() for reference in self.nodes)):
            if node.vjp is not None:
                if isinstance(node.vjp, InsideResiduals):
                    node.vjp = self.outer.apply(_first, [node.vjp.below])[0][0]
                node.inputs = [self._value(operand) for operand in node.inputs]
        self.active = False

    def recorded(self, node: Node) -> None:
        super().recorded(node)
        self.nodes.append(weakref.ref(node))

    def shown(self, derivative: Any, tensor: Tensor | None = None) -> Tensor:
        """The tensor of a tangent: the same one as long as somebody has it and has not written to it; ``tensor`` the first time, if it is given."""
        known = self.tangents.get(id(derivative), tensor)
        if known is None or known._operand() is not derivative:
            known = Tensor._wrap(derivative)
        self.tangents[id(derivative)] = known
        return known

    def _value(self, operand: Any) -> Any:
        return self.parts(operand)[0] if isinstance(operand, Value) else operand

    def text(self, tensor: Tensor) -> str:
        """What a tensor prints as: its value, and its tangent if it has one."""
        tangent = self.parts(tensor._operand())[1]
        return tensor._text("tensor(", () if tangent is None else (f"tangent={Tensor._wrap(tangent)}",))

    def own_tangents(self, cls: type, ctx: Any, args: tuple, outputs: Any) -> Any:
        """A custom function's outputs with the tangents that its ``jvp`` gives."""
        tangents = [self.parts(arg._operand())[1] if isinstance(arg, Tensor) else None for arg in args]
        if all(tangent is None for tangent in tangents):
            return outputs
        saved = ctx._saved_for_forward or ctx._to_save
        ctx._saved = [None if t is None else _Plain(Tensor._wrap(self._value(t._operand()))) for t in saved]
        with self.suspended():
            derivatives = cls.jvp(ctx, *(None if tangent is None else Tensor._wrap(tangent) for tangent in tangents))
        derivatives = derivatives if isinstance(derivatives, tuple) else (derivatives,)
        flat = outputs if isinstance(outputs, tuple) else (outputs,)
        for out, derivative in zip(flat, derivatives, strict=True):
            if isinstance(out, Tensor):
                value = self._value(out._operand())
                out._write(value if derivative is None else Dual(self, value, derivative._operand()))
        return outputs


_first = Form(lambda pair: ((pair[0],), None))


class _Plain:
    """A saved tensor that has no history."""

    def __init__(self, tensor: Tensor):
        self.tensor = tensor

    def value(self, node: Node) -> Tensor:
        return self.tensor


class _TangentNode(Node):
    """The tangent of a dual tensor as a function of what the dual tensor was computed from.

    Pulling a gradient g back from the value, inside the level, gives J(x)ᵀ·g with its derivative along the tangents, which is what is wanted.
    """

    __slots__ = ("level", "root")

    def pull(self, gradients: list, create_graph: bool) -> list:
        level = self.level
        if thread.duals is not level:
            raise NotImplementedError(
                "backward from a tangent after its dual_level has ended is not supported; call it inside, or use torch.func.jvp"
            )
        if create_graph:
            raise NotImplementedError("create_graph from a tangent of dual_level is not supported; use torch.func.jvp")
        found = pull_gradients([(self.root, gradients[0])], retain_graph=True, inputs=dict.fromkeys(self.edges), foreign=True)
        return [level.parts(found[edge])[1] if edge in found else None for edge in self.edges]


class dual_level:
    """The context in which dual tensors exist; when it ends, they are their values."""

    def __enter__(self) -> int:
        enter_dual_level()
        return 0

    def __exit__(self, *exc: Any) -> None:
        exit_dual_level()


def enter_dual_level() -> int:
    """Begin a level, as ``with dual_level()`` does."""
    if thread.duals is not None:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    _Duals().__enter__()
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """End the level that ``enter_dual_level`` began."""
    if thread.duals is None:
        raise RuntimeError("exit_dual_level: trying to exit a forward AD level that was not entered")
    thread.duals.__exit__(None, None, None)


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """A tensor with the value of ``tensor`` (a copy) and that tangent.

    >>> import funnn.torch as torch
    >>> with dual_level():
    ...     x = make_dual(torch.tensor(3.0), torch.tensor(1.0))
    ...     print(unpack_dual(x * x).tangent)
    tensor(6.)
    """
    duals = thread.duals
    if duals is None:
        raise RuntimeError("Trying to create a dual Tensor for forward AD but no level exists, make sure to enter_dual_level() first.")
    for name, item in (("primal", tensor), ("tangent", tangent)):
        if not (item.is_floating_point() or item.is_complex()):
            raise ValueError(f"Expected {name} to be floating point or complex, but got: {item.dtype}")
    check_tangent(tensor, tangent)
    if tangent.requires_grad and thread.grad:
        raise NotImplementedError("make_dual with a tangent that requires grad is not supported; use torch.func.jvp, or tangent.detach()")
    derivative = duals.parts(tangent._operand())[0]
    duals.shown(derivative, tangent)
    result = Tensor._wrap(Dual(duals, duals.parts(tensor._operand())[0], derivative))
    if tensor.requires_grad and thread.grad:
        result._grad_fn = Gate((tensor._edge(),))
    return result


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """The value and the tangent of a dual tensor; the tangent is None if there is none."""
    duals = thread.duals
    if duals is None:
        return UnpackedDualTensor(tensor, None)
    value, derivative = duals.parts(tensor._operand())
    primal, tangent = Tensor._wrap(value), None
    recorded = tensor.requires_grad and thread.grad
    if derivative is not None:
        tangent = Tensor._wrap(derivative) if recorded else duals.shown(derivative)
    if recorded:
        primal._grad_fn = node_type("Identity", Gate)((tensor._edge(),))
        if tangent is not None:
            tangent._grad_fn = node = node_type("TangentBackward", _TangentNode)(_leaves(duals, tensor))
            node.level, node.root = duals, tensor._edge()
    return UnpackedDualTensor(primal, tangent)


def _leaves(duals: _Duals, tensor: Tensor) -> tuple:
    """Where the part of the graph that was recorded in the level ends."""
    _, edges = duals.edges_out([tensor], [])
    return tuple(edges)


__all__ = ["UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual", "unpack_dual"]
