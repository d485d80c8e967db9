"""Those who answer frames, each a program of its own; see `benchmarks.speed.contest`."""
