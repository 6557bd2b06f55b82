"""The bundled client, ``chat``: a connection, a history, and front ends over them."""
