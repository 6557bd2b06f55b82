"""The grammar of lines, in both forms: pure functions and small types, no I/O."""
