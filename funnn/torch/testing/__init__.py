"""torch.testing: comparing tensors, and making them at random."""

from funnn.torch.testing._comparison import assert_allclose as assert_allclose
from funnn.torch.testing._comparison import assert_close as assert_close
from funnn.torch.testing._creation import make_tensor as make_tensor
