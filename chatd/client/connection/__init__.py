"""The connection: to the right server, as the right user, and again when it is lost."""
