"""Pruning: parts of a parameter held at zero by a mask, ``name = name_mask · name_orig``, computed before every forward."""

from __future__ import annotations

import abc
import numbers
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from funnn.engine.ops.kit.table import FUNCTIONS as ops
from funnn.engine.ops.make.sampling import rand
from funnn.engine.tensor.tensor import Tensor
from funnn.torch.nn.modules.module import Module
from funnn.torch.nn.utils.convert_parameters import parameters_to_vector


class BasePruningMethod(abc.ABC):
    """Base class of the methods, and the hook that applies the mask. A subclass sets PRUNING_TYPE and defines ``compute_mask``.

    PRUNING_TYPE says of which part of the tensor a further method decides: "unstructured", the elements that are left; "structured", the slices
    along ``self.dim`` that are not wholly zero; "global", all.
    """

    _tensor_name: str | None = None

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abc.abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """A mask for ``t`` (a tensor's scores of importance): ones and zeros, with zeros at least where ``default_mask`` has them."""

    def apply_mask(self, module: Module) -> Tensor:
        """The original times the mask."""
        assert self._tensor_name is not None, f"Module {module} has to be pruned"
        original = getattr(module, f"{self._tensor_name}_orig")
        return getattr(module, f"{self._tensor_name}_mask").to(dtype=original.dtype) * original

    @classmethod
    def apply(cls, module: Module, name: str, *args: Any, importance_scores: Tensor | None = None, **kwargs: Any) -> BasePruningMethod:
        """Prune ``module.name`` by this class, made of the other arguments; on top of what pruned it before, if anything did.

        ``importance_scores``, of the parameter's shape, stand for its values where they decide what is pruned.
        """
        method = cls(*args, **kwargs)
        method._tensor_name = name
        earlier = [number for number, hook in module._forward_pre_hooks.items() if _prunes(hook, name)]
        assert len(earlier) <= 1, (
            f"Avoid adding multiple pruning hooks to the same tensor {name} of module {module}. Use a PruningContainer."
        )
        if earlier:
            hook = module._forward_pre_hooks.pop(earlier[0])
            container = hook if isinstance(hook, PruningContainer) else PruningContainer(hook)
            container.add_pruning_method(method)
            method = container
        original = getattr(module, name)
        scores = _scores(importance_scores, original, f"parameter {name} of {module}")
        if earlier:
            mask = getattr(module, f"{name}_mask").detach().clone()
        else:
            mask = ops["ones_like"](original)
            module.register_parameter(f"{name}_orig", original)
            del module._parameters[name]
        try:
            module.register_buffer(f"{name}_mask", method.compute_mask(scores, default_mask=mask))
            method(module, None)
            module.register_forward_pre_hook(method)
        except Exception:
            if not earlier:
                module.register_parameter(name, module._parameters.pop(f"{name}_orig"))
            raise
        return method

    def prune(self, t: Tensor, default_mask: Tensor | None = None, importance_scores: Tensor | None = None) -> Tensor:
        """``t`` times the mask for it; nothing is registered."""
        mask = ops["ones_like"](t) if default_mask is None else default_mask
        return t * self.compute_mask(_scores(importance_scores, t, "tensor t"), default_mask=mask)

    def remove(self, module: Module) -> None:
        """Make the pruned value the parameter; the original and the mask go."""
        assert self._tensor_name is not None, f"Module {module} has to be pruned before pruning can be removed"
        name, weight = self._tensor_name, self.apply_mask(module)
        if hasattr(module, name):
            delattr(module, name)
        original = module._parameters.pop(f"{name}_orig")
        original.data = weight.data
        del module._buffers[f"{name}_mask"]
        setattr(module, name, original)


def _prunes(hook: Any, name: str) -> bool:
    return isinstance(hook, BasePruningMethod) and hook._tensor_name == name


def _scores(scores: Tensor | None, tensor: Tensor, of: str) -> Tensor:
    if scores is None:
        return tensor
    assert scores.shape == tensor.shape, f"importance_scores should have the same shape as {of}, got {scores.shape} vs {tensor.shape}"
    return scores


class PruningContainer(BasePruningMethod):
    """Methods that prune one tensor, one after the other; its mask is the last one's, of what the others left."""

    def __init__(self, *args: BasePruningMethod):
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        if len(args) == 1:
            self._tensor_name = args[0]._tensor_name
        for method in args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: BasePruningMethod | None) -> None:
        """Add a method of the same tensor."""
        if method is not None and not isinstance(method, BasePruningMethod):
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if method is not None and method._tensor_name != self._tensor_name:
            raise ValueError(
                f"Can only add pruning methods acting on the parameter named '{self._tensor_name}' to PruningContainer {self}. "
                f"Found '{method._tensor_name}'"
            )
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[BasePruningMethod]:
        return iter(self._pruning_methods)

    def __getitem__(self, idx: int | slice) -> Any:
        return self._pruning_methods[idx]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        method, mask = self._pruning_methods[-1], default_mask.to(dtype=t.dtype, copy=True)
        part = _part(method, default_mask)
        mask[part] = method.compute_mask(t[part], default_mask=default_mask[part]).to(dtype=mask.dtype)
        return mask


def _part(method: BasePruningMethod, mask: Tensor) -> Any:
    """The index of what a further method decides of."""
    kind, rank = method.PRUNING_TYPE, mask.dim()
    if kind == "unstructured":
        return mask == 1
    if kind == "global":
        return (slice(None),) * rank
    if kind != "structured":
        raise ValueError(f"Unrecognized PRUNING_TYPE {kind}; use 'unstructured', 'structured' or 'global'")
    if not hasattr(method, "dim"):
        raise AttributeError('Pruning methods of PRUNING_TYPE "structured" need to have the attribute `dim` defined.')
    dim = method.dim + rank if method.dim < 0 else method.dim
    if dim < 0:
        raise IndexError(f"Index is out of bounds for tensor with dimensions {rank}: dim={method.dim}")
    kept = mask.sum(dim=[d for d in range(rank) if d != dim]) != 0
    return tuple(kept if d == dim else slice(None) for d in range(rank))


class Identity(BasePruningMethod):
    """Prunes nothing: a mask of ones."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return default_mask

    @classmethod
    def apply(cls, module: Module, name: str) -> BasePruningMethod:
        return super().apply(module, name)


# The checks have torch's names, for methods that programs write.


def _validate_pruning_amount_init(amount: Any) -> None:
    if not isinstance(amount, numbers.Real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    if amount < 0 or (amount > 1 and not isinstance(amount, numbers.Integral)):
        raise ValueError(f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer")


def _validate_pruning_amount(amount: Any, tensor_size: int) -> None:
    if isinstance(amount, numbers.Integral) and amount > tensor_size:
        raise ValueError(f"amount={amount} should be smaller than the number of parameters to prune={tensor_size}")


def _validate_structured_pruning(t: Tensor) -> None:
    if t.dim() <= 1:
        raise ValueError(
            f"Structured pruning can only be applied to multidimensional tensors. Found tensor of shape {t.shape} with {t.dim()} dims"
        )


def _validate_pruning_dim(t: Tensor, dim: int) -> None:
    if dim >= t.dim():
        raise IndexError(f"Invalid index {dim} for tensor of size {t.shape}")


def _compute_nparams_toprune(amount: Any, tensor_size: int) -> int:
    """How many of ``tensor_size`` units an amount means."""
    return amount if isinstance(amount, numbers.Integral) else round(amount * tensor_size)


def _compute_norm(t: Tensor, n: Any, dim: int) -> Tensor:
    """The n-norm of each slice along ``dim``."""
    return ops["norm"](t, p=n, dim=[d for d in range(t.dim()) if d != dim % t.dim()])


class _Amount(BasePruningMethod):
    """Prunes ``amount`` units: a number of them, or a part of them between 0 and 1."""

    def __init__(self, amount: float):
        _validate_pruning_amount_init(amount)
        self.amount = amount

    def _count(self, size: int) -> int:
        """How many of ``size`` units are pruned."""
        count = _compute_nparams_toprune(self.amount, size)
        _validate_pruning_amount(count, size)
        return count


class _Unstructured(_Amount):
    """Prunes single elements, those with the ``largest`` or smallest scores."""

    PRUNING_TYPE = "unstructured"
    _largest: bool

    def _order(self, t: Tensor) -> Tensor:
        raise NotImplementedError

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        count, mask = self._count(t.numel()), default_mask.clone()
        if count:
            mask.view(-1)[ops["topk"](self._order(t).view(-1), count, largest=self._largest).indices] = 0
        return mask


class RandomUnstructured(_Unstructured):
    """Prunes random elements."""

    _largest = True

    def _order(self, t: Tensor) -> Tensor:
        return ops["rand_like"](t)

    @classmethod
    def apply(cls, module: Module, name: str, amount: float) -> BasePruningMethod:
        return super().apply(module, name, amount=amount)


class L1Unstructured(_Unstructured):
    """Prunes the elements with the smallest absolute values."""

    _largest = False

    def _order(self, t: Tensor) -> Tensor:
        return t.abs()

    @classmethod
    def apply(cls, module: Module, name: str, amount: float, importance_scores: Tensor | None = None) -> BasePruningMethod:
        return super().apply(module, name, amount=amount, importance_scores=importance_scores)


class _Structured(_Amount):
    """Prunes slices along ``dim``."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: float, dim: int = -1):
        super().__init__(amount)
        self.dim = dim

    def _kept(self, t: Tensor, size: int, count: int) -> Tensor:
        """Which of the ``size`` slices are left when ``count`` go, as an index."""
        raise NotImplementedError

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        _validate_structured_pruning(t)
        _validate_pruning_dim(t, self.dim)
        size = t.shape[self.dim]
        count = self._count(size)
        if count == 0:
            return default_mask
        mask = ops["zeros_like"](t)
        mask[tuple(self._kept(t, size, count) if d == self.dim % t.dim() else slice(None) for d in range(t.dim()))] = 1
        return mask.detach().mul_(default_mask.to(dtype=mask.dtype))


class RandomStructured(_Structured):
    """Prunes random slices along ``dim``."""

    def _kept(self, t: Tensor, size: int, count: int) -> Tensor:
        scores = rand(size)
        return scores > ops["kthvalue"](scores, count).values

    @classmethod
    def apply(cls, module: Module, name: str, amount: float, dim: int = -1) -> BasePruningMethod:
        return super().apply(module, name, amount=amount, dim=dim)


class LnStructured(_Structured):
    """Prunes the slices along ``dim`` with the smallest norms of order ``n``."""

    def __init__(self, amount: float, n: Any, dim: int = -1):
        super().__init__(amount, dim)
        self.n = n

    def _kept(self, t: Tensor, size: int, count: int) -> Tensor:
        return ops["topk"](_compute_norm(t, self.n, self.dim), size - count).indices

    @classmethod
    def apply(
        cls, module: Module, name: str, amount: float, n: Any, dim: int, importance_scores: Tensor | None = None
    ) -> BasePruningMethod:
        return super().apply(module, name, amount=amount, n=n, dim=dim, importance_scores=importance_scores)


class CustomFromMask(BasePruningMethod):
    """Prunes by a given mask."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor):
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        assert default_mask.shape == self.mask.shape, (
            f"default_mask shape {default_mask.shape} must match self.mask shape {self.mask.shape}"
        )
        return default_mask * self.mask.to(dtype=default_mask.dtype)

    @classmethod
    def apply(cls, module: Module, name: str, mask: Tensor) -> BasePruningMethod:
        return super().apply(module, name, mask=mask)


def identity(module: Module, name: str) -> Module:
    """Register the mask of a parameter without pruning any of it; returns the module."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: float) -> Module:
    """Prune random elements of a parameter: ``amount`` of them, or that part of them if a float; returns the module."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: Module, name: str, amount: float, importance_scores: Tensor | None = None) -> Module:
    """Prune the elements of a parameter with the smallest absolute values (or scores); returns the module."""
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: float, dim: int) -> Module:
    """Prune random slices of a parameter along ``dim``; returns the module."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(module: Module, name: str, amount: float, n: Any, dim: int, importance_scores: Tensor | None = None) -> Module:
    """Prune the slices of a parameter along ``dim`` with the smallest n-norms (of the scores); returns the module."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Prune a parameter where the mask is zero; returns the module."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(
    parameters: Iterable[tuple[Module, str]],
    pruning_method: Callable[..., BasePruningMethod],
    importance_scores: dict[tuple[Module, str], Tensor] | None = None,
    **kwargs: Any,
) -> None:
    """Prune several parameters as if they were one vector.

    Args:
      parameters: (module, name) of each.
      pruning_method: a class of PRUNING_TYPE "unstructured"; ``kwargs`` are its arguments, such as ``amount``.
      importance_scores: {(module, name): scores} for those whose values do not decide.

    Raises:
      TypeError: another type of pruning, or arguments of the wrong type.
    """
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    given = {} if importance_scores is None else importance_scores
    if not isinstance(given, dict):
        raise TypeError("global_unstructured(): importance_scores must be of type dict")
    places = [(module, name, getattr(module, name)) for module, name in parameters]
    scores = parameters_to_vector([given.get((module, name), tensor) for module, name, tensor in places])
    before = parameters_to_vector([getattr(module, f"{name}_mask", ops["ones_like"](tensor)) for module, name, tensor in places])
    method = pruning_method(**kwargs)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            f'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method {pruning_method} of type {method.PRUNING_TYPE}'
        )
    masks = PruningContainer(method).compute_mask(scores, before).split([tensor.numel() for _, _, tensor in places])
    for (module, name, tensor), mask in zip(places, masks, strict=True):
        custom_from_mask(module, name, mask=mask.view_as(tensor))


def remove(module: Module, name: str) -> Module:
    """End the pruning of a parameter: what is zero stays zero, and the mask goes; returns the module."""
    number = next((number for number, hook in module._forward_pre_hooks.items() if _prunes(hook, name)), None)
    if number is None:
        raise ValueError(f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed")
    module._forward_pre_hooks.pop(number).remove(module)
    return module


def is_pruned(module: Module) -> bool:
    """Whether a parameter of the module, or of one inside, is pruned."""
    return any(isinstance(hook, BasePruningMethod) for part in module.modules() for hook in part._forward_pre_hooks.values())
