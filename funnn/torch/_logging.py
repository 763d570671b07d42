"""torch._logging: which of torch.compile's logs to write. Names are checked as torch checks them; there is nothing to write.

As in torch, the logger ``torch`` starts at WARNING. So does JAX's: a program that sets the root logger to INFO or DEBUG asks for its own messages, and
would be told of each backend and each function that is compiled. ``logging.getLogger("jax").setLevel(logging.INFO)`` brings them back.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
from typing import Any

#: The logs, which have levels.
_LOGS = """
aot async_compile autograd c10d cache ddp distributed dtensor dynamic dynamo export fake_tensor fsdp inductor native_dsl onnx pp
torch
"""
LOGS = frozenset(_LOGS.split())
#: The artifacts, which are on or off.
_ARTIFACTS = """
annotation aot_graphs aot_graphs_effects aot_joint_graph auto_chunker autotuning benchmarking bytecode caching compiled_autograd
compiled_autograd_verbose compute_dependencies cudagraph_static_inputs cudagraphs ddp_graphs fusion graph graph_breaks graph_code
graph_code_verbose graph_region_expansion graph_sizes guards hierarchical_compile incremental inductor_metrics ir_post_fusion
ir_pre_fusion kernel_code loop_ordering loop_tiling node_runtime_estimation not_implemented onnx_diagnostics output_code overlap
overlap_scheduling perf_hints post_grad_graphs pre_grad_graphs recompiles recompiles_verbose schedule side_effects sym_node
trace_bytecode trace_call trace_shape_events trace_source verbose_guards
"""
ARTIFACTS = frozenset(_ARTIFACTS.split())
_LEVELS = (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG, logging.NOTSET)


def set_logs(
    *,
    all: int | None = None,
    dynamo: int | None = None,
    aot: int | None = None,
    autograd: int | None = None,
    dynamic: int | None = None,
    inductor: int | None = None,
    distributed: int | None = None,
    c10d: int | None = None,
    ddp: int | None = None,
    fsdp: int | None = None,
    dtensor: int | None = None,
    onnx: int | None = None,
    bytecode: bool = False,
    aot_graphs: bool = False,
    aot_joint_graph: bool = False,
    ddp_graphs: bool = False,
    graph: bool = False,
    graph_code: bool = False,
    graph_code_verbose: bool = False,
    graph_breaks: bool = False,
    side_effects: bool = False,
    graph_sizes: bool = False,
    guards: bool = False,
    recompiles: bool = False,
    recompiles_verbose: bool = False,
    trace_source: bool = False,
    trace_call: bool = False,
    trace_bytecode: bool = False,
    output_code: bool = False,
    kernel_code: bool = False,
    schedule: bool = False,
    perf_hints: bool = False,
    pre_grad_graphs: bool = False,
    post_grad_graphs: bool = False,
    ir_pre_fusion: bool = False,
    ir_post_fusion: bool = False,
    onnx_diagnostics: bool = False,
    fusion: bool = False,
    overlap: bool = False,
    export: int | None = None,
    modules: dict[str, int | bool] | None = None,
    cudagraphs: bool = False,
    sym_node: bool = False,
    compiled_autograd: bool = False,
    compiled_autograd_verbose: bool = False,
    cudagraph_static_inputs: bool = False,
    benchmarking: bool = False,
    autotuning: bool = False,
    incremental: bool = False,
    graph_region_expansion: bool = False,
    inductor_metrics: bool = False,
    hierarchical_compile: bool = False,
    compute_dependencies: bool = False,
    caching: bool = False,
) -> None:
    """Check the names and levels of torch's logs; nothing is written. Cuts of compiled functions are warnings (see torch.compile).

    Args:
      modules: more of them by name, or by the name of a module.

    Raises:
      ValueError: there is no such log or artifact, or a log's level is none of ``logging``'s, or an artifact's is no bool.
    """
    asked: dict[str, Any] = {
        **{
            "dynamo": dynamo,
            "aot": aot,
            "autograd": autograd,
            "dynamic": dynamic,
            "inductor": inductor,
            "distributed": distributed,
            "c10d": c10d,
            "ddp": ddp,
            "fsdp": fsdp,
            "dtensor": dtensor,
            "onnx": onnx,
            "bytecode": bytecode,
            "aot_graphs": aot_graphs,
            "aot_joint_graph": aot_joint_graph,
            "ddp_graphs": ddp_graphs,
            "graph": graph,
            "graph_code": graph_code,
            "graph_code_verbose": graph_code_verbose,
            "graph_breaks": graph_breaks,
            "side_effects": side_effects,
            "graph_sizes": graph_sizes,
            "guards": guards,
            "recompiles": recompiles,
            "recompiles_verbose": recompiles_verbose,
            "trace_source": trace_source,
            "trace_call": trace_call,
            "trace_bytecode": trace_bytecode,
            "output_code": output_code,
            "kernel_code": kernel_code,
            "schedule": schedule,
            "perf_hints": perf_hints,
            "pre_grad_graphs": pre_grad_graphs,
            "post_grad_graphs": post_grad_graphs,
            "ir_pre_fusion": ir_pre_fusion,
            "ir_post_fusion": ir_post_fusion,
            "onnx_diagnostics": onnx_diagnostics,
            "fusion": fusion,
            "overlap": overlap,
            "export": export,
            "cudagraphs": cudagraphs,
            "sym_node": sym_node,
            "compiled_autograd": compiled_autograd,
            "compiled_autograd_verbose": compiled_autograd_verbose,
            "cudagraph_static_inputs": cudagraph_static_inputs,
            "benchmarking": benchmarking,
            "autotuning": autotuning,
            "incremental": incremental,
            "graph_region_expansion": graph_region_expansion,
            "inductor_metrics": inductor_metrics,
            "hierarchical_compile": hierarchical_compile,
            "compute_dependencies": compute_dependencies,
            "caching": caching,
        },
        **(modules or {}),
        "torch": all,
    }
    for name, value in asked.items():
        if value is not None:
            _check(name, value)


def _check(name: str, value: Any) -> None:
    if name in ARTIFACTS:
        if not isinstance(value, bool):
            raise ValueError(f"Expected bool to enable artifact {name}, received {value}")
    elif name in LOGS:
        if isinstance(value, bool) or value not in _LEVELS:
            raise ValueError(f"Unrecognized log level for log {name}: {value}, valid level values are: {','.join(map(str, _LEVELS))}")
    elif not _is_module(name):
        raise ValueError(f"Unrecognized log or artifact name passed to set_logs: {name}")


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def check_settings(text: str) -> None:
    """Raise where a setting as in the environment variable TORCH_LOGS (``"+dynamo,graph_breaks"``) names what is not there."""
    for name in re.sub(r"\s+", "", text).split(",") if text else ():
        bare = name.lstrip("+-")
        if bare not in LOGS | ARTIFACTS | {"all", "help"} and not _is_module(bare):
            raise ValueError(
                f"Invalid log settings: {text}, must be a comma separated list of fully qualified module names, registered log names or "
                f"registered artifact names. Valid settings: {', '.join(sorted(LOGS | ARTIFACTS | {'all'}))}"
            )


def getArtifactLogger(module_qname: str, artifact_name: str) -> logging.Logger:
    """Python's logger of an artifact."""
    if artifact_name not in ARTIFACTS:
        raise ValueError(f"Artifact name: {artifact_name!r} not registered, please call register_artifact({artifact_name!r}) first")
    return logging.getLogger(f"{module_qname}.__{artifact_name}")


def quieten() -> None:
    """Let the loggers of torch and JAX begin at WARNING, where neither the program nor ``JAX_LOGGING_LEVEL`` gave them a level."""
    for name in ("torch", "jax"):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)


quieten()
check_settings(os.environ.get("TORCH_LOGS", ""))
