"""`python -m hopsight_cli`."""

from hopsight_cli.main import run

run()
