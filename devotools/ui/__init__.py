"""What one moves with the mouse: the explorers of the lessons. The door of this wing."""

from .augmentation import explore_augmentation
from .explorer import Explorer
from .label_noise import explore_label_noise
from .sections import explore_series
from .threshold import explore_threshold

__all__ = [
    "Explorer",
    "explore_augmentation",
    "explore_label_noise",
    "explore_series",
    "explore_threshold",
]
