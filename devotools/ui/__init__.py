"""What one moves with the mouse. The door of this wing.

The explorers of the lessons, one module each; `app` is the app in the browser, `annotator` where
one draws masks. Both stand on `canvas` and `controls`, which are drawn in the browser.
"""

import lazy_loader as _lazy

# Each is loaded when it is first used: the server of the app needs no network in its memory.
__getattr__, __dir__, _ = _lazy.attach(
    __name__,
    submod_attrs={
        "annotator.panel": ["annotate"],
        "app.panel": ["App"],
        "app.server": ["serve_app"],
        "augmentation": ["explore_augmentation"],
        "explorer": ["Explorer"],
        "label_noise": ["explore_label_noise"],
        "sections": ["explore_series"],
        "threshold": ["explore_threshold"],
    },
)

__all__ = [
    "App",
    "Explorer",
    "annotate",
    "explore_augmentation",
    "explore_label_noise",
    "explore_series",
    "explore_threshold",
    "serve_app",
]
