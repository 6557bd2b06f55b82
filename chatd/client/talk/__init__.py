"""The talk: what is typed is sent, what comes is shown, and nothing is lost."""
