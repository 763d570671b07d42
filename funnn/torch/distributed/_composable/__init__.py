"""torch.distributed.fsdp's fully_shard under its former name."""
