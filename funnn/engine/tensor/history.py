"""The history of a Tensor: the node that made it, its gradient, its hooks."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self, cast

from funnn.engine.state import thread
from funnn.engine.tape.node import AccumulateGrad, Gate, Hooks, RemovableHandle, node_type, shown_edge
from funnn.engine.tensor.written_views import refused_write
from funnn.engine.types.warning import say

if TYPE_CHECKING:
    from funnn.engine.tensor.tensor import Tensor

_NO_LEAF = (
    "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute won't be populated during autograd.backward(). If "
    "you indeed want the .grad field to be populated for a non-leaf Tensor, use .retain_grad() on the non-leaf Tensor. If you access the non-leaf Tensor "
    "by mistake, make sure you access the leaf Tensor instead. See github.com/pytorch/pytorch/pull/30531 for more information."
)


class History:
    """What autograd knows of a tensor; the half of Tensor that has nothing to do with values.

    State, with class-level defaults:
      _grad_fn, _output: the node that made the tensor and which of its outputs it is.
      _leaf_requires_grad: whether a tensor that no node made collects gradients; _grad: what it collected.
      _accumulator: a weak reference to the AccumulateGrad node of a leaf; _hooks, _after_accumulate: its hooks.
      _base, _base_version: of a view, the tensor whose history decides its own, and the version of their memory when ``_grad_fn`` was made.
      _made: of a view, how it was made if that forbids to write to it with gradients (``written_views``), else None; _piece: which one it is of
        several that one call returned.
    """

    _grad_fn: Any = None
    _output = 0
    _leaf_requires_grad = False
    _grad: Any = None
    _accumulator: Any = None
    _hooks: Any = None
    _after_accumulate: Any = None
    _base: Any = None
    _base_version = 0
    _made: str | None = None
    _piece = 0
    _history_of_view: Callable[[Any, Any], tuple[Any, ...]]  # (base, window) -> (node, output) of a view of it; the views put it here

    # what Tensor, the other half, has
    _storage: Any
    _window: Any
    _value: Any
    _value_writes: int
    _alias: Any
    _operand: Any
    _set_storage: Any
    _shape: Any
    _view_window: Any
    _wrap: Any
    dtype: Any

    def _sync(self) -> None:
        """Give a view whose memory was written its place in the history that its base has now."""
        base = self._base
        if base is None:
            return
        version = self._storage.version
        if version != self._base_version:
            needed = base._grad_fn is not None or base._leaf_requires_grad
            if self._made is not None and (needed or self._grad_fn is not None):
                raise refused_write(self, by_another=True)
            if needed:
                self._set_history(*self._history_of_view(base, self._view_window()))
            elif self._grad_fn is not None:  # a leaf between the view and its base gets no gradient any more, as in torch
                self._set_history(node_type("AsStridedBackward0", Gate)((None,)), 0)
            self._base_version = version

    def _become_view(self, tensor: History, piece: int | None = None) -> None:
        """Belong, for autograd, to ``tensor``, or to what that is a view of; ``piece`` is the number among several views that one call returns."""
        self._base, self._base_version = tensor if tensor._base is None else tensor._base, self._storage.version
        if thread.inference:
            self._made = "inference"
        elif not thread.grad:
            self._made = "no_grad"
        elif piece is not None:
            self._made, self._piece = "several", piece
        else:
            self._made = tensor._made

    def _set_history(self, node: Any, output: int) -> None:
        """Another history, as an in-place operation gives; a gradient that is to be retained is the one of the new value."""
        retained = None if self._grad_fn is None else self._grad_fn.__dict__.get("_retained", {}).pop(id(self), None)
        self._grad_fn, self._output = node, output
        if retained is not None and node is not None:
            node.__dict__.setdefault("_retained", {})[id(self)] = (retained[0], output)

    def _edge(self) -> tuple[Any, ...]:
        """(node, output) that gradients of this tensor go to."""
        if self._base is not None:
            self._sync()
        if self._grad_fn is not None:
            return self._grad_fn, self._output
        if self._base is not None and not self._leaf_requires_grad:
            return Gate((None,)), 0  # it needs a gradient because its base does, and nothing recorded how they hang together
        node = self._accumulator and self._accumulator()
        if node is None:
            node = object.__new__(AccumulateGrad)
            node.variable = self
            self._accumulator = weakref.ref(node)
            if self._hooks:
                node.__dict__["_output_hooks"] = {0: self._hooks}
        return node, 0

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are recorded."""
        base = self._base
        if self._grad_fn is not None or self._leaf_requires_grad:
            return True
        return base is not None and (base._grad_fn is not None or base._leaf_requires_grad)

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if type(value) is not bool:
            raise RuntimeError(f"requires_grad must be a bool, not {type(value).__name__}")
        self._set_requires_grad(value)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Start (or stop) recording operations on a leaf, in place."""
        if thread.levels:
            raise RuntimeError(
                "You are attempting to call Tensor.requires_grad_() (or perhaps using torch.autograd.functional.* APIs) inside of a function being "
                "transformed by a functorch transform. This is unsupported, please attempt to use the functorch transforms (e.g. grad, vjp, jacrev, "
                "jacfwd, hessian) or call requires_grad_() outside of a function being transformed instead."
            )
        return self._set_requires_grad(requires_grad)

    def _set_requires_grad(self, requires_grad: bool = True) -> Self:
        """What ``requires_grad_`` does, also inside a function that torch.func transforms: PyTorch refuses that method alone there."""
        self._sync()
        if not requires_grad and self._grad_fn is not None:
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you want to use a computed variable in a subgraph that doesn't "
                "require differentiation use var_no_grad = var.detach()."
            )
        if requires_grad and not (self.dtype.is_floating_point or self.dtype.is_complex):
            raise RuntimeError(
                f"only Tensors of floating point and complex dtype can require gradients; this one is {self.dtype}, convert it with .float()"
            )
        if requires_grad and self._storage.inference and not thread.inference:
            raise RuntimeError(
                "Setting requires_grad=True on inference tensor outside InferenceMode is not allowed. Use a clone() made outside inference_mode."
            )
        if self._grad_fn is None:
            self._leaf_requires_grad = bool(requires_grad)
        return self

    @property
    def grad_fn(self) -> Any:
        """The node that made this tensor; None for a leaf."""
        self._sync()
        return None if self._grad_fn is None else shown_edge(self._grad_fn, self._output)[0]

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made this tensor."""
        return self.grad_fn is None

    def _is_view(self) -> bool:
        """Whether autograd takes this tensor for a part of another."""
        return self._base is not None

    @property
    def output_nr(self) -> int:
        self._sync()
        return 0 if self._grad_fn is None else shown_edge(self._grad_fn, self._output)[1]

    @property
    def _version(self) -> int:
        if self._storage.inference:
            raise RuntimeError("Inference tensors do not track version counter.")
        return self._storage.version

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward accumulated; None before."""
        if self._grad is None and self._grad_fn is not None and not self.retains_grad and type(self._grad_fn) is not Gate:
            say(_NO_LEAF)
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, History):
                raise TypeError(f"assigned grad expected to be a Tensor or None but got grad of type {type(value).__name__}")
            if value is self:
                raise RuntimeError("can't assign Variable as its own grad")
            own = cast("Tensor", self)
            if value.is_meta is not own.is_meta:
                kinds = ["meta" if tensor.is_meta else "cpu" for tensor in (value, own)]
                raise RuntimeError(
                    f"attempting to assign a gradient with device type '{kinds[0]}' to a tensor with device type '{kinds[1]}'. Please ensure that "
                    "the gradient and the tensor are on the same device"
                )
            if value._shape() != self._shape():
                raise RuntimeError(
                    f"attempting to assign a gradient of size '{list(value._shape())}' to a tensor of size '{list(self._shape())}'. "
                    "Please ensure that the gradient and the tensor are the same size"
                )
            if value.dtype is not self.dtype:
                raise RuntimeError(
                    f"attempting to assign a gradient with dtype {value.dtype} to a tensor of dtype {self.dtype}; convert it with .to(dtype)"
                )
        self._set_grad(value)

    @grad.deleter
    def grad(self) -> None:
        self._set_grad(None)

    def _set_grad(self, value: Tensor | None) -> None:
        self._grad = value

    @property
    def data(self) -> Tensor:
        """The same memory without history; writing through it is not seen by autograd."""
        tensor = self._alias(self._window, self._value if self._value_writes == self._storage.writes else None)
        tensor._tracked = False
        return tensor

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, History):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        if self.requires_grad and value.dtype.category < 2:
            raise RuntimeError(f"data set to a tensor that requires gradients must be floating point or complex dtype, not {value.dtype}")
        own = cast("Tensor", self)
        if value.is_meta is not own.is_meta or value.layout is not own.layout:
            raise RuntimeError("Attempted to call `variable.set_data(tensor)`, but `variable` and `tensor` have incompatible tensor type.")
        self._set_data(value)

    @data.deleter
    def data(self) -> None:
        raise RuntimeError("Deleting tensor data is not allowed. Delete tensor instead!")

    def _set_data(self, value: Tensor) -> None:
        """Take the memory of a tensor that fits."""
        storage = self._storage
        storage.writes += 1  # what saved the old one finds this tensor there
        storage.moved = weakref.ref(self)
        self._set_storage(value)
        self._base_version = value._storage.version

    def detach(self) -> Tensor:
        """The same memory as a tensor without history; in forward mode, the same values without tangent."""
        if thread.tracing is not None and thread.tracing.pushing:
            value = self._operand()
            plain = thread.tracing.without_tangents(value)
            if plain is not value:
                return type(self)._wrap(plain)
        return self._bare()

    def _bare(self) -> Tensor:
        return self._alias(self._window, self._value if self._value_writes == self._storage.writes else None)

    def detach_(self) -> Tensor:
        """Forget this tensor's own history."""
        if self._base is not None:
            raise RuntimeError("Can't detach views in-place. Use detach() instead.")
        if self._grad_fn is not None:  # a backward pass through it says which of what was saved is no longer there
            self._grad_fn.__dict__.setdefault("_detached", set()).add(self._output)
        self._grad_fn, self._output, self._leaf_requires_grad = None, 0, False
        return cast("Tensor", self)

    def register_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """``hook(grad)`` runs when the gradient of this tensor is known, and may return another one."""
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        self._sync()
        if thread.tracing is not None:
            thread.tracing.own_backward("a hook")
        if self._grad_fn is not None:
            return self._grad_fn.output_hooks(self._output).add(hook)
        if self._hooks is None:
            self._hooks = Hooks()
            node = self._accumulator and self._accumulator()
            if node is not None:
                node.__dict__["_output_hooks"] = {0: self._hooks}
        return self._hooks.add(hook)

    def register_post_accumulate_grad_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """``hook(self)`` runs after a gradient was added into the ``.grad`` of this leaf."""
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if self.grad_fn is not None:
            raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
        if self._after_accumulate is None:
            self._after_accumulate = Hooks()
        return self._after_accumulate.add(hook)

    def retain_grad(self) -> None:
        """Keep the gradient of a tensor that is no leaf in its ``.grad``."""
        if not self.requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self.grad_fn is not None:
            self._grad_fn.__dict__.setdefault("_retained", {})[id(self)] = (weakref.ref(self), self._output)

    @property
    def retains_grad(self) -> bool:
        self._sync()
        return self._grad_fn is not None and id(self) in self._grad_fn.__dict__.get("_retained", {})
