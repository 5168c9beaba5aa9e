"""Make the one-file executable, test it, and list what is in it. `build.py` is the command."""
