"""``python -m lesionstream``."""

from lesionstream.cli import main

if __name__ == "__main__":
    main()
