"""The command line: the one boundary where errors become exit codes."""
