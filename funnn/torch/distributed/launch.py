"""``python -m torch.distributed.launch``: torchrun's former name."""

from funnn.torch.distributed.run import main as main

if __name__ == "__main__":
    main()
