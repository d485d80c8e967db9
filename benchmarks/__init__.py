"""What is measured side by side, each by one command: ``python -m benchmarks.NAME``."""
