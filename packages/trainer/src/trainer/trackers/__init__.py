"""Send what a run logs to Weights & Biases, TensorBoard or trackio too."""

from trainer.trackers.tracking import Tracking as Tracking
from trainer.trackers.tracking import check_trackers as check_trackers
