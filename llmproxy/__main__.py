"""`python -m llmproxy` is `llmproxy`."""

from llmproxy.cli import main

if __name__ == "__main__":
    main()
