"""torchvision.ops: boxes, regions, losses, and modules that networks are made of."""

from typing import NoReturn

from funnn.torchvision._missing import missing as _missing
from funnn.torchvision.ops import boxes as boxes
from funnn.torchvision.ops import misc as misc
from funnn.torchvision.ops.boxes import batched_nms as batched_nms
from funnn.torchvision.ops.boxes import box_area as box_area
from funnn.torchvision.ops.boxes import box_convert as box_convert
from funnn.torchvision.ops.boxes import box_iou as box_iou
from funnn.torchvision.ops.boxes import clip_boxes_to_image as clip_boxes_to_image
from funnn.torchvision.ops.boxes import complete_box_iou as complete_box_iou
from funnn.torchvision.ops.boxes import distance_box_iou as distance_box_iou
from funnn.torchvision.ops.boxes import generalized_box_iou as generalized_box_iou
from funnn.torchvision.ops.boxes import masks_to_boxes as masks_to_boxes
from funnn.torchvision.ops.boxes import nms as nms
from funnn.torchvision.ops.boxes import remove_small_boxes as remove_small_boxes
from funnn.torchvision.ops.losses import complete_box_iou_loss as complete_box_iou_loss
from funnn.torchvision.ops.losses import distance_box_iou_loss as distance_box_iou_loss
from funnn.torchvision.ops.losses import generalized_box_iou_loss as generalized_box_iou_loss
from funnn.torchvision.ops.losses import sigmoid_focal_loss as sigmoid_focal_loss
from funnn.torchvision.ops.misc import MLP as MLP
from funnn.torchvision.ops.misc import Conv2dNormActivation as Conv2dNormActivation
from funnn.torchvision.ops.misc import Conv3dNormActivation as Conv3dNormActivation
from funnn.torchvision.ops.misc import FrozenBatchNorm2d as FrozenBatchNorm2d
from funnn.torchvision.ops.misc import Permute as Permute
from funnn.torchvision.ops.misc import SqueezeExcitation as SqueezeExcitation
from funnn.torchvision.ops.misc import StochasticDepth as StochasticDepth
from funnn.torchvision.ops.misc import stochastic_depth as stochastic_depth
from funnn.torchvision.ops.regions import RoIAlign as RoIAlign
from funnn.torchvision.ops.regions import RoIPool as RoIPool
from funnn.torchvision.ops.regions import roi_align as roi_align
from funnn.torchvision.ops.regions import roi_pool as roi_pool

_POOL = "pool with roi_align or roi_pool"
_REASONS = {
    **dict.fromkeys(("deform_conv2d", "DeformConv2d"), "sample with torch.nn.functional.grid_sample, then convolve"),
    **dict.fromkeys(("ps_roi_align", "ps_roi_pool", "PSRoIAlign", "PSRoIPool", "MultiScaleRoIAlign"), _POOL),
    **dict.fromkeys(("drop_block2d", "drop_block3d", "DropBlock2d", "DropBlock3d"), "use torch.nn.Dropout2d"),
    "FeaturePyramidNetwork": "write it with torch.nn.Conv2d and torch.nn.functional.interpolate",
}


def __getattr__(name: str) -> NoReturn:
    """For what is not there: the reason, where torchvision has it."""
    _missing("torchvision.ops", name, _REASONS)
