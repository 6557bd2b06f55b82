"""chatd: a message daemon that anyone can talk to with nc."""

__version__ = "0.1.0"
