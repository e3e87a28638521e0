"""Training scripts; each is run as ``python -m dsr.training.<name>``."""
