"""Fuzz the running program and the files that it reads: see scripts/fuzz. Begin reading at `__main__.py`."""
