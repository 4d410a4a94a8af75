"""`python -m bide`."""

from bide.cli import main

main(prog_name="bide")
