"""The pipelines of this repository: declarations (`*.yaml`), pins, and a package of code each."""
