"""The hub: who is online, and where a message goes."""
