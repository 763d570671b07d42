"""torch.compiler.config: settings of torch.compile; they can be read, set and patched, and change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from funnn.torch._compiling.settings import Settings, make_settings
from funnn.torch._dynamo import config as _dynamo

#: torch's defaults, each with the names that have it.
DEFAULTS: tuple[tuple[Any, str], ...] = (
    (False, "force_disable_caches force_cudagraph_gc"),
    (None, "job_id pgo_extra_read_key pgo_extra_write_key"),
    ("", "cache_key_tag dynamic_sources dynamic_values unbacked_sources"),
)
#: Those that are torch._dynamo.config's.
_SHARED = (
    *(
        "dynamic_shapes",
        "assume_static_by_default",
        "automatic_dynamic_shapes",
        "recompile_limit",
        "accumulated_recompile_limit",
        "verbose",
    ),
    *("capture_scalar_outputs", "capture_dynamic_output_shape_ops", "log_file_name", "fail_on_recompile_limit_hit", "wrap_top_frame"),
    *("allow_unspec_int_on_nn_module", "skip_tensor_guards_with_matching_dict_tags", "enable_cpp_symbolic_shape_guards"),
    "reorderable_logging_functions",
)
settings: Settings = make_settings(__name__, DEFAULTS, {name: (_dynamo, name) for name in _SHARED})
if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
