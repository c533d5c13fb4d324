"""From several interests to one score per item, or one loss per interest: what the objective sees in training."""

from graphmi.nn.readout.base import Readout, Scores
from graphmi.nn.readout.expected import ExpectedReadout
from graphmi.nn.readout.joint import JointReadout
from graphmi.nn.readout.logsumexp import LogSumExpReadout
from graphmi.nn.readout.mixture import MixtureReadout
from graphmi.nn.readout.select import SelectReadout

__all__ = [
    "ExpectedReadout",
    "JointReadout",
    "LogSumExpReadout",
    "MixtureReadout",
    "Readout",
    "Scores",
    "SelectReadout",
]
