"""What `dvc repro` does, stage by stage, with the commands left to the caller: DVC's own calls, in the order of dvc/stage/__init__.py.

The private ones among them were read in DVC 3.63 and 3.67.
"""
