"""Four controls that ipywidgets lacks: a slider with a name, a table to choose from, and files.

Each is a page of Python and a page of JavaScript: `slider`, `table`, `upload` (files of any size,
in pieces), `download`.
"""
