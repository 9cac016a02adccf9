"""A picture to zoom, point at and paint on, drawn in the browser: shared by app and annotator.

`widget` is the Python side. The browser's side is plain JavaScript, joined in this order and used
as it stands: `labels.js` (which pixel is which nucleus), `view.js` (how it is drawn), `canvas.js`
(what hands and keys do).
"""
