"""torch.autograd.grad_mode: whether operations are recorded."""

from funnn.engine.tape.grad_mode import enable_grad as enable_grad
from funnn.engine.tape.grad_mode import inference_mode as inference_mode
from funnn.engine.tape.grad_mode import no_grad as no_grad
from funnn.engine.tape.grad_mode import set_grad_enabled as set_grad_enabled
