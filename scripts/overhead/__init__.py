"""Measure the overhead of llmproxy compared with nginx as a reverse proxy. scripts/bench runs it. Begin reading at
`__main__.py`.
"""
