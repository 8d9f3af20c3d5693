"""Optimizers, learning-rate schedules and gradient clipping, from scratch."""

from optim.adamw import AdamW as AdamW
from optim.adamw import adamw_update as adamw_update
from optim.clipping import clip_grad_norm as clip_grad_norm
from optim.groups import ParameterGroups as ParameterGroups
from optim.groups import parameter_groups as parameter_groups
from optim.muon import Muon as Muon
from optim.muon import newton_schulz as newton_schulz
from optim.schedules import constant_lr as constant_lr
from optim.schedules import cosine_lr as cosine_lr
from optim.schedules import linear_lr as linear_lr
from optim.schedules import wsd_lr as wsd_lr
