"""`python -m canon`: the command, where it is not on the PATH, as in pods."""

from canon.cli.main import main

if __name__ == "__main__":
    main()
