"""``python -m funnn port``: a PyTorch script that imports funnn.torch, or whose modules are layers."""
