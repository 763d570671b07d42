"""torch._dynamo: what scripts say to torch.compile's front end. Python runs here at every call, so there are no guards and no traced frames."""

from __future__ import annotations

from funnn.torch._compiling.backends import list_backends as list_backends
from funnn.torch._compiling.backends import lookup_backend as lookup_backend
from funnn.torch._compiling.backends import register_backend as register_backend
from funnn.torch._compiling.contexts import counters as _counters
from funnn.torch._compiling.replay import forget_all as _forget_replays
from funnn.torch._dynamo import backends as backends
from funnn.torch._dynamo import config as config
from funnn.torch._dynamo import decorators as decorators
from funnn.torch._dynamo import eval_frame as eval_frame
from funnn.torch._dynamo import exc as exc
from funnn.torch._dynamo import external_utils as external_utils
from funnn.torch._dynamo import utils as utils
from funnn.torch._dynamo.decorators import allow_in_graph as allow_in_graph
from funnn.torch._dynamo.decorators import assume_constant_result as assume_constant_result
from funnn.torch._dynamo.decorators import disable as disable
from funnn.torch._dynamo.decorators import disable_nested_graph_breaks as disable_nested_graph_breaks
from funnn.torch._dynamo.decorators import disallow_in_graph as disallow_in_graph
from funnn.torch._dynamo.decorators import dont_skip_tracing as dont_skip_tracing
from funnn.torch._dynamo.decorators import error_on_graph_break as error_on_graph_break
from funnn.torch._dynamo.decorators import forbid_in_graph as forbid_in_graph
from funnn.torch._dynamo.decorators import graph_break as graph_break
from funnn.torch._dynamo.decorators import is_dynamo_disable_recursive as is_dynamo_disable_recursive
from funnn.torch._dynamo.decorators import mark_dynamic as mark_dynamic
from funnn.torch._dynamo.decorators import mark_static as mark_static
from funnn.torch._dynamo.decorators import mark_static_address as mark_static_address
from funnn.torch._dynamo.decorators import maybe_mark_dynamic as maybe_mark_dynamic
from funnn.torch._dynamo.decorators import nonstrict_trace as nonstrict_trace
from funnn.torch._dynamo.decorators import override_cudagraphs as override_cudagraphs
from funnn.torch._dynamo.decorators import patch_dynamo_config as patch_dynamo_config
from funnn.torch._dynamo.decorators import run as run
from funnn.torch._dynamo.decorators import set_stance as set_stance
from funnn.torch._dynamo.decorators import skip_frame as skip_frame
from funnn.torch._dynamo.decorators import step_unsupported as step_unsupported
from funnn.torch._dynamo.decorators import substitute_in_graph as substitute_in_graph
from funnn.torch._dynamo.eval_frame import OptimizedModule as OptimizedModule
from funnn.torch._dynamo.eval_frame import explain as explain
from funnn.torch._dynamo.eval_frame import export as export
from funnn.torch._dynamo.eval_frame import is_dynamo_supported as is_dynamo_supported
from funnn.torch._dynamo.eval_frame import is_inductor_supported as is_inductor_supported
from funnn.torch._dynamo.eval_frame import optimize as optimize
from funnn.torch._dynamo.eval_frame import optimize_assert as optimize_assert
from funnn.torch._dynamo.external_utils import is_compiling as is_compiling


def reset() -> None:
    """Forget what was counted, and what ``mode="reduce-overhead"`` replays. Programs stay: there is nothing in them that could be out of date."""
    _counters.clear()
    _forget_replays()


def reset_code_caches() -> None:
    """As ``reset``."""
    reset()


def set_recursion_limit(limit: int) -> None:
    """Empty: there is no recursion but Python's (sys.setrecursionlimit)."""
    if limit < 1 and limit != -1:
        raise ValueError(f"recursion limit must be greater than or equal to 1, or -1 to reset, but got {limit}")
