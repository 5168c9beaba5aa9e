"""The wire languages, one folder each; `catalog.py` lists them and the calls that clients make in them."""
