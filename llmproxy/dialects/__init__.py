"""The wire languages, one folder each; `endpoints.py` lists the calls that clients make in them."""
