"""The front ends: a conversation on a terminal, and plain lines."""
