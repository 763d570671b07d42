"""``jax.jit`` for tests, whose time goes into compiling and not into running."""

from functools import partial

import jax

quick = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
