"""The settings of ``chat``: what there is, how it is written, where it comes from."""
