"""The administrator's program, ``chatctl``."""
