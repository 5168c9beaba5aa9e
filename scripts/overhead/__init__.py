"""What llmproxy costs next to nginx as a plain reverse proxy: scripts/bench runs it. Begin reading at `__main__.py`."""
