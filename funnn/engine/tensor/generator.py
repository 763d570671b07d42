"""torch.Generator: PyTorch's CPU numbers in eager execution, a JAX key inside a compiled step."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import math
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters import ad

from funnn.engine.program.value import from_host, to_jax
from funnn.engine.random import integers
from funnn.engine.random.mt19937 import MT19937
from funnn.engine.state import thread
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import device as _device
from funnn.errors import KeyRequiredError


class Generator:
    """A source of random numbers with a state of its own.

    Draws are those of PyTorch's CPU generator for the same seed, made when the line runs.
    """

    def __init__(self, device: Any = "cpu"):
        self.device = _device.device(device)
        _device.check_device(self.device)
        self._engine = MT19937()

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """What a thread holds while it draws."""
        return self._engine.lock

    def manual_seed(self, seed: int) -> Generator:
        """Start again from ``seed``, a 64-bit integer (negative ones count from the end)."""
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")
        if not -(2**63) <= seed < 2**64:
            raise ValueError(f"Overflow when unpacking long long: the seed {seed} is not a 64-bit integer")
        self._engine.seed(int(seed) % 2**64)
        return self

    def seed(self) -> int:
        """Start again from a seed of the operating system, which is returned."""
        seed = int.from_bytes(os.urandom(8), "little")
        self.manual_seed(seed)
        return seed

    def initial_seed(self) -> int:
        """The seed that the generator started from."""
        return self._engine.initial_seed

    def get_state(self) -> Tensor:
        """The state, as the tensor of bytes that PyTorch has for it."""
        return _wrap(self._engine.get_state())

    def set_state(self, new_state: Tensor) -> Generator:
        """Continue from a state that ``get_state`` gave, here or in PyTorch."""
        if not isinstance(new_state, Tensor):
            raise TypeError(f"expected a torch.ByteTensor, but got {type(new_state).__name__}")
        self._engine.set_state(np.asarray(new_state))
        return self

    def clone_state(self) -> Generator:
        """A generator of the same state."""
        return Generator(self.device).set_state(self.get_state())

    def __reduce__(self) -> tuple[Any, ...]:
        return Generator, (self.device,), (self.initial_seed(), None, self.get_state())

    def __setstate__(self, state: tuple[int, None, Tensor]) -> None:
        _, _, memory = state
        self.set_state(memory)

    def get_offset(self) -> int:
        """Raises RuntimeError: as PyTorch's generator for the CPU, this one has no offset."""
        raise RuntimeError("CPU Generator does not use offset; the whole state is in get_state()")

    def set_offset(self, offset: int) -> None:
        """Raises RuntimeError: as PyTorch's generator for the CPU, this one has no offset."""
        raise RuntimeError("CPU Generator does not use offset; the whole state is set by set_state(state)")

    def graphsafe_get_state(self) -> Generator:
        """Raises NotImplementedError: as PyTorch's generator for the CPU, this one has no such state; see ``get_state``."""
        raise NotImplementedError("graphsafe_get_state is not supported in this Generator; use get_state()")

    def graphsafe_set_state(self, state: Generator) -> Generator:
        """Raises NotImplementedError: as PyTorch's generator for the CPU, this one has no such state; see ``set_state``."""
        raise NotImplementedError("graphsafe_set_state is not supported in this Generator; use set_state(state.get_state())")

    def draw(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Numbers from one of the engine's distributions, or of a lent key from its counterpart in ``_TRACED``; inside vmap as it says."""
        inside = thread.tracing
        if inside is None or not (inside.vmaps or (inside.pushing and thread.lent is None)):
            return self._draw(name, *args, **kwargs)
        return draw_for_examples(self._draw, inside.vmaps, name, args, kwargs)

    def _draw(self, name: str, *args: Any, **kwargs: Any) -> Any:
        if thread.lent is not None and thread.lent[0] is self:
            return _TRACED[name](self._lent_key(name), *args, **kwargs)
        array = from_host(np.asarray(getattr(self._engine, name)(*args, **kwargs)))
        if thread.region is not None:
            thread.region.drew(self, name, args, kwargs, array)
        return array

    @contextlib.contextmanager
    def lent(self, key: Any) -> Iterator[None]:
        """Inside, this thread draws from a JAX key; with None it refuses to draw."""
        before, thread.lent = thread.lent, (self, key, itertools.count())
        try:
            yield
        finally:
            thread.lent = before

    @staticmethod
    def _lent_key(name: str) -> Any:
        lent: Any = thread.lent
        _, key, draws = lent
        if key is None:
            raise KeyRequiredError(f"a Module drew random numbers ({name}) inside apply, which got key=None; pass key=jax.random.key(seed)")
        return jax.random.fold_in(key, next(draws))

    def numbers(self, name: str, shape: Any, dtype: Any, *options: Any) -> Any:
        """Numbers from the distribution of one of the methods below, as values keep them."""
        ahead, behind = (options, ()) if name == "bernoulli" else ((), options)
        return self.draw(name, *ahead, tuple(shape), np.dtype(dtype), *behind)

    # what funnn.functional and funnn.init ask of a random source

    def uniform(self, shape: Any, dtype: Any, low: float = 0.0, high: float = 1.0) -> jax.Array:
        """Numbers from U[low, high)."""
        return _as_jax(self.numbers("uniform", shape, dtype, low, high))

    def normal(self, shape: Any, dtype: Any, mean: float = 0.0, std: float = 1.0) -> jax.Array:
        """Numbers from N(mean, std²)."""
        return _as_jax(self.numbers("normal", shape, dtype, mean, std))

    def bernoulli(self, shape: Any, dtype: Any, p: float = 0.5) -> jax.Array:
        """1 with probability ``p``, else 0."""
        return _as_jax(self.numbers("bernoulli", shape, dtype, p))

    def exponential(self, shape: Any, dtype: Any) -> jax.Array:
        """Numbers of the density e^−x, x > 0."""
        return _as_jax(self.numbers("exponential", shape, dtype))

    def permutation(self, n: int) -> jax.Array:
        """The integers 0 … n − 1 in random order."""
        return _as_jax(self.draw("randperm", n, np.dtype(np.int64)))


def _as_jax(numbers: Any) -> jax.Array:
    """The numbers for pure functions, which expect an array of JAX's."""
    return to_jax(numbers) if isinstance(numbers, np.ndarray) else numbers


def _traced_bernoulli(key: Any, p: Any, shape: Any = None, dtype: Any = np.float32) -> jax.Array:
    return jax.random.bernoulli(key, p, shape).astype(dtype)


def _traced_random(key: Any, shape: Any, dtype: Any = np.int64, from_: int | None = None, to: int | None = None) -> jax.Array:
    if to is None:
        digits = integers.TYPES[dtype.name][2]
        to = 2**digits + 1 if digits else 2 if dtype == np.bool_ else np.iinfo(dtype).max
    return jax.random.randint(key, shape, from_ or 0, to, dtype=np.int64).astype(dtype)


def _traced_geometric(key: Any, shape: Any, p: float, dtype: Any = np.float32) -> jax.Array:
    return jnp.ceil(jnp.log(jax.random.uniform(key, shape)) / np.log1p(-p)).astype(dtype)


def _traced_multinomial(key: Any, p: Any, num_samples: int, replacement: bool = False) -> jax.Array:
    logits = jnp.log(p)
    if replacement:
        return jnp.moveaxis(jax.random.categorical(key, logits, shape=(num_samples, *p.shape[:-1])), 0, -1).astype(np.int64)
    return jax.lax.top_k(logits + jax.random.gumbel(key, p.shape, p.dtype), num_samples)[1].astype(np.int64)


def _traced_poisson(key: Any, rate: Any) -> jax.Array:
    key = jax.random.key(jax.random.bits(key), impl="threefry2x32")  # the one kind of key that jax.random.poisson takes
    return jax.random.poisson(key, rate).astype(rate.dtype)


_TRACED: dict[str, Callable[..., Any]] = {
    "uniform": lambda key, shape, dtype=np.float32, low=0.0, high=1.0: jax.random.uniform(key, shape, dtype, low, high),
    "normal": lambda key, shape, dtype=np.float32, mean=0.0, std=1.0: mean + std * jax.random.normal(key, shape, dtype),
    "bernoulli": _traced_bernoulli,
    "exponential": lambda key, shape, dtype=np.float32, lambd=1.0: jax.random.exponential(key, shape, dtype) / lambd,
    "cauchy": lambda key, shape, dtype=np.float32, median=0.0, sigma=1.0: median + sigma * jax.random.cauchy(key, shape, dtype),
    "log_normal": lambda key, shape, dtype=np.float32, mean=1.0, std=2.0: jnp.exp(mean + std * jax.random.normal(key, shape, dtype)),
    "geometric": _traced_geometric,
    "multinomial": _traced_multinomial,
    "standard_gamma": lambda key, concentration: jax.random.gamma(key, concentration, dtype=concentration.dtype),
    "dirichlet": lambda key, concentration: jax.random.dirichlet(key, concentration, dtype=concentration.dtype),
    "poisson": _traced_poisson,
    "binomial": lambda key, count, p: jax.random.binomial(key, count, p, dtype=p.dtype),
    "random_": _traced_random,
    "randint": lambda key, low, high, shape, dtype=np.int64: jax.random.randint(key, shape, low, high).astype(dtype),
    "randperm": lambda key, n, dtype=np.int64: jax.random.permutation(key, n).astype(dtype),
}


def draw_for_examples(draw: Callable[..., Any], vmaps: tuple[Any, ...], name: str, args: tuple[Any, ...], kwargs: dict[Any, Any]) -> Any:
    """Random numbers inside vmap: one draw for all examples ("same"), or one of an array that has them in its first dimensions ("different").

    In forward mode they follow from values without their tangents.
    """
    if any(level.randomness == "error" for level in vmaps):
        raise RuntimeError(
            "vmap: called random operation while in randomness error mode. Please either use the 'same' or 'different' randomness flags on vmap or "
            "perform the randomness operation out of vmap"
        )
    arguments: dict[str, Any] = dict(inspect.signature(_TRACED[name]).bind_partial(None, *args, **kwargs).arguments)
    del arguments["key"]
    rows = [level for level in vmaps if level.randomness == "different"]
    sizes = tuple(level.size for level in rows)
    given = {key: value for key, value in arguments.items() if isinstance(value, (jax.Array, np.ndarray))}
    arguments |= {key: _of_all_examples(name, vmaps, value) for key, value in given.items()}
    if arguments.get("shape") is not None:
        numbers = draw(name, **{**arguments, "shape": (*sizes, *arguments["shape"])})
    elif name == "multinomial" and rows:  # which takes rows of weights, and no more dimensions
        weights = arguments["p"]
        numbers = draw(name, **{**arguments, "p": weights.reshape(-1, weights.shape[-1])})
        numbers = numbers.reshape(*weights.shape[:-1], numbers.shape[-1])
    elif given or not rows:
        numbers = draw(name, **arguments)
    else:
        draws = [draw(name, **arguments) for _ in range(math.prod(sizes))]
        numbers = jnp.stack(draws).reshape(*sizes, *draws[0].shape)
    for level in rows:
        numbers = level.of_examples(numbers)
    return numbers


def _of_all_examples(name: str, vmaps: tuple[Any, ...], array: Any) -> np.ndarray:
    """What an array inside vmap is outside: with the examples of those that draw differently in its first dimensions, the outermost first."""
    for level in reversed(vmaps):
        array = _without_tangent(array)
        below = level.examples_of(array) if isinstance(array, jax.core.Tracer) else None
        if level.randomness == "different":
            array = jnp.broadcast_to(array, (level.size, *np.shape(array))) if below is None else below
        elif below is not None:
            raise RuntimeError(
                "Vmap does not currently support same randomness with a batched tensor input. Pass randomness='different', or draw outside of vmap"
            )
    array = _without_tangent(array)
    if isinstance(array, jax.core.Tracer):
        raise NotImplementedError(
            f"random numbers ({name}) that depend on values which JAX traces are not supported in vmap; draw them outside"
        )
    return np.asarray(array)


def _without_tangent(array: Any) -> Any:
    while isinstance(array, ad.JVPTracer):
        array = array.primal
    return array


def _wrap(values: np.ndarray) -> Tensor:
    return Tensor._wrap(from_host(values))


def _rebuild(device: str, state: np.ndarray) -> Generator:
    """What pickles of earlier versions call."""
    return Generator(device).set_state(_wrap(state))


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Seed the default generator; afterwards every draw equals PyTorch's on a CPU."""
    return default_generator.manual_seed(int(seed))


def seed() -> int:
    """Seed the default generator from the operating system and return the seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the default generator."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Continue the default generator from a state."""
    default_generator.set_state(new_state)


def pick(generator: Generator | None) -> Generator:
    """The generator itself; for None the default one."""
    return default_generator if generator is None else generator
