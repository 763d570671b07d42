# Made by .ci/stubs.py from the live objects; write to the sources, and run it again.

from funnn.torch._absent_device import _false as is_available
from funnn.torch._absent_device import _false as is_bf16_supported
from funnn.torch._absent_device import _false as is_initialized
from funnn.torch._absent_device import _no_states as get_rng_state_all
from funnn.torch._absent_device import _nothing as empty_cache
from funnn.torch._absent_device import _nothing as manual_seed
from funnn.torch._absent_device import _nothing as manual_seed_all
from funnn.torch._absent_device import _zero as device_count
from funnn.torch._absent_device import _zero as max_memory_allocated
from funnn.torch._absent_device import _zero as memory_allocated
from funnn.torch._absent_device import _zero as memory_reserved
from typing import Any
from typing import NoReturn


def current_device(*args: Any, **kwargs: Any) -> NoReturn: ...
def current_stream(*args: Any, **kwargs: Any) -> NoReturn: ...
def get_device_name(*args: Any, **kwargs: Any) -> NoReturn: ...
def get_device_properties(*args: Any, **kwargs: Any) -> NoReturn: ...
def get_rng_state(*args: Any, **kwargs: Any) -> NoReturn: ...
def init(*args: Any, **kwargs: Any) -> NoReturn: ...
def synchronize(*args: Any, **kwargs: Any) -> NoReturn: ...
