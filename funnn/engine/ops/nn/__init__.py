"""The functions of funnn.functional on Tensors."""
