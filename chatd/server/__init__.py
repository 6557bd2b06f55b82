"""The server: bytes in, bytes out."""
