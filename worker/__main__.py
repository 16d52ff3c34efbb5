"""``python -m worker`` is the command ``worker``."""

from dynamic_streams_worker import main

if __name__ == "__main__":
    main()
