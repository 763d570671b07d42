"""torch.__config__: what computes here, as text."""

import jax
import jaxlib

from funnn.torch import version


def show() -> str:
    """What this is made of."""
    lines = [f"funnn.torch {version.__version__}", f"JAX {jax.__version__}", f"jaxlib {jaxlib.__version__} (XLA)"]
    return "PyTorch built with:\n" + "".join(f"  - {line}\n" for line in lines)


def parallel_info() -> str:
    """Who computes in parallel: XLA, on the devices that JAX sees."""
    return "Parallel:\n" + "".join(f"\t{device.platform}:{device.id} ({device.device_kind})\n" for device in jax.local_devices())
