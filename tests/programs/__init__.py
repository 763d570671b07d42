"""Small training programs as people write them, each written once and run with PyTorch and with ``funnn.torch``, whose numbers must be equal.

A program is a function of ``(torch, nn, F, compiled)``: the library, its two usual names, and ``torch.compile`` or a function that gives back what it
gets, so that a program runs as a plain loop and compiled. It returns numbers, tensors, modules and containers of them, which :mod:`._comparing`
compares item by item. PyTorch always runs plain: whatever is compiled has to do what the plain loop does.

    python -m tests.programs                        all of them, plain and compiled; prints those that differ
    python -m tests.programs plain state.counter    some, as a plain loop

A new program stands in the file of its topic, below ``@program``, and takes around ten steps of a tiny model.
"""
