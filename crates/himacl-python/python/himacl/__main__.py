"""``python -m himacl``."""

from ._cli import main

main()
