"""The engine behind funnn.torch: memory, tape, tensors, dispatch, programs and operations. It knows nothing of torch's namespace."""
