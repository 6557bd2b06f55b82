"""What the benchmarks share: the daemon as a process, connections to it, figures."""
