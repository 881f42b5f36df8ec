"""Data sets from the command line: what is recorded, by whom, and what a data set holds."""
