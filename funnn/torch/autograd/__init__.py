"""torch.autograd: backward, grad, functions with a derivative of one's own, and what belongs to them."""

from funnn.engine.tape.grad_mode import enable_grad as enable_grad
from funnn.engine.tape.grad_mode import inference_mode as inference_mode
from funnn.engine.tape.grad_mode import is_grad_enabled as is_grad_enabled
from funnn.engine.tape.grad_mode import no_grad as no_grad
from funnn.engine.tape.grad_mode import set_grad_enabled as set_grad_enabled
from funnn.engine.transform.differentiate import backward as backward
from funnn.engine.transform.differentiate import grad as grad
from funnn.torch.autograd import anomaly_mode as anomaly_mode
from funnn.torch.autograd import forward_ad as forward_ad
from funnn.torch.autograd import function as function
from funnn.torch.autograd import functional as functional
from funnn.torch.autograd import grad_mode as grad_mode
from funnn.torch.autograd import graph as graph
from funnn.torch.autograd.anomaly_mode import detect_anomaly as detect_anomaly
from funnn.torch.autograd.anomaly_mode import set_detect_anomaly as set_detect_anomaly
from funnn.torch.autograd.function import Function as Function
from funnn.torch.autograd.function import FunctionCtx as FunctionCtx
from funnn.torch.autograd.gradcheck import GradcheckError as GradcheckError
from funnn.torch.autograd.gradcheck import gradcheck as gradcheck
from funnn.torch.autograd.gradcheck import gradgradcheck as gradgradcheck
from funnn.torch.autograd.variable import Variable as Variable
