"""What scripts ask for: a message sent, messages handled, and a status that is true."""
