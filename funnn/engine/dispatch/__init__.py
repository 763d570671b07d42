"""How a pure function runs on Tensors: who is asked first, operands, casts, compiled forms, writing in place."""
