"""What torch.distributed has on top of its operations."""
