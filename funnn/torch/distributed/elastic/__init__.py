"""What of torch.distributed.elastic programs name that its launcher starts."""
