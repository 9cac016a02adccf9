"""``python -m devotools`` is the command ``devotools``."""

from devotools.cli import main

main()
