"""torch.cuda.amp.common."""

from funnn.engine.types.device import accelerated as _accelerated


def amp_definitely_not_available() -> bool:
    """Whether there is no accelerator that computes with fewer bits."""
    return not _accelerated()
