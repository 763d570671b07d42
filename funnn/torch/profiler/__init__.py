"""torch.profiler: where a program's time goes, over the steps that a schedule chooses."""

from funnn.torch.autograd.profiler import record_function as record_function
from funnn.torch.profiler import profiler as profiler
from funnn.torch.profiler.profiler import ProfilerAction as ProfilerAction
from funnn.torch.profiler.profiler import ProfilerActivity as ProfilerActivity
from funnn.torch.profiler.profiler import kineto_available as kineto_available
from funnn.torch.profiler.profiler import profile as profile
from funnn.torch.profiler.profiler import schedule as schedule
from funnn.torch.profiler.profiler import supported_activities as supported_activities
from funnn.torch.profiler.profiler import tensorboard_trace_handler as tensorboard_trace_handler
