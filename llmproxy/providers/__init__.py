"""The places that requests are sent to, a file each; `base.py` has what they share.

A new one is a file here and a line in the list of `registry.py`. Vendors' names, addresses and quirks stand in their
own files and nowhere else. Begin reading at `base.HttpProvider`.
"""
