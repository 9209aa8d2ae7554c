"""`python -m trapd` and the `trapd` command."""

from trapd.cli import main

if __name__ == "__main__":
    main()
