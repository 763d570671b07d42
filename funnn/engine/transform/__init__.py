"""Whole functions of Tensors as programs: compiled, mapped, differentiated."""
