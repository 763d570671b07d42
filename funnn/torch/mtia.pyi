# Made by .ci/stubs.py from the live objects; write to the sources, and run it again.

from funnn.torch._absent_device import _false as is_available
from funnn.torch._absent_device import _false as is_initialized
from funnn.torch._absent_device import _no_states as get_rng_state_all
from funnn.torch._absent_device import _nothing as manual_seed
from funnn.torch._absent_device import _nothing as manual_seed_all
from funnn.torch._absent_device import _nothing as reset_peak_memory_stats
from funnn.torch._absent_device import _zero as device_count
from funnn.torch._absent_device import _zero as max_memory_allocated
from funnn.torch._absent_device import _zero as memory_allocated
from typing import Any
from typing import NoReturn


def current_device(*args: Any, **kwargs: Any) -> NoReturn: ...
def current_stream(*args: Any, **kwargs: Any) -> NoReturn: ...
def empty_cache(*args: Any, **kwargs: Any) -> NoReturn: ...
def get_device_properties(*args: Any, **kwargs: Any) -> NoReturn: ...
def synchronize(*args: Any, **kwargs: Any) -> NoReturn: ...
