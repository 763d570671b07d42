"""Operations on sparse tensors, put together from operations on the dense tensors that they are made of."""
