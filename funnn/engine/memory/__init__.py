"""Storages, the windows through which tensors see them, and strides."""
