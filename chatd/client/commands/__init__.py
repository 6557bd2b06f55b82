"""The commands of ``chat``, a module each. None needs Twisted to be imported."""
