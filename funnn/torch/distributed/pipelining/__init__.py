"""Pipelines: a module's stages in several processes, through which the parts of a batch go one after the other."""

import sys

from funnn.torch._unsupported import watch
from funnn.torch.distributed.pipelining._split import Pipe as Pipe
from funnn.torch.distributed.pipelining._split import SplitPoint as SplitPoint
from funnn.torch.distributed.pipelining._split import pipe_split as pipe_split
from funnn.torch.distributed.pipelining._split import pipeline as pipeline
from funnn.torch.distributed.pipelining.schedules import Schedule1F1B as Schedule1F1B
from funnn.torch.distributed.pipelining.schedules import ScheduleGPipe as ScheduleGPipe
from funnn.torch.distributed.pipelining.schedules import ScheduleInterleaved1F1B as ScheduleInterleaved1F1B
from funnn.torch.distributed.pipelining.schedules import ScheduleLoopedBFS as ScheduleLoopedBFS
from funnn.torch.distributed.pipelining.stage import PipelineStage as PipelineStage

watch(sys.modules[__name__])
