"""`python -m mmsteer` is `mmsteer`."""

from mmsteer.cli import main

if __name__ == "__main__":
    main()
