"""What becomes of gradients in DistributedDataParallel: hooks for its ``register_comm_hook``."""

from funnn.torch.distributed.algorithms.ddp_comm_hooks import default_hooks as default_hooks
