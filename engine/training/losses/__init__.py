"""Training losses: the weighted sum of the terms that a config switches on, all in float32.

A new term is one function beside the others, `@term(LossConfig)`, and its field in engine/contract/losses.py.
"""

from engine.training.losses.overlap import soft_dice_on_positives
from engine.training.losses.term import Across, Said, term
from engine.training.losses.total import training_loss

__all__ = ["Across", "Said", "soft_dice_on_positives", "term", "training_loss"]
