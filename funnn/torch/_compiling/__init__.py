"""What torch.compile, torch.compiler, torch._dynamo and torch._inductor are made of, below torch.nn: settings, errors, backends, stances, functions."""
