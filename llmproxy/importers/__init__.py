"""Configurations of other gateways, and older ones of this program's predecessors, as configurations of llmproxy.

An importer reads the tree of a file, puts what it understands into a `Draft`, and grades each line of the source; what
it leaves alone is graded unsupported. Importers know their own gateway only. Begin reading at `conversion.py`.
"""
