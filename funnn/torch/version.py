"""torch.version: what scripts print about the build."""

__all__ = ["__version__", "cuda", "debug", "git_version", "hip", "rocm", "xpu"]

__version__ = "2.13.0+funnn"
debug = False
cuda = git_version = hip = rocm = xpu = None
