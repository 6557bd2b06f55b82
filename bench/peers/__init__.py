"""The servers that are measured, a module each."""
