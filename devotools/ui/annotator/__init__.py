"""Where one draws masks: `folder` keeps them on the disk, `history` takes strokes back, `panel`
is what one sees.
"""
