"""What every test shares. The lab is one per run: see tests/lab/conftest.py."""
