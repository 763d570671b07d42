"""Processes of torch.distributed.elastic."""
