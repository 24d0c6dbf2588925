"""The commands `benchmark` and `compare-benchmarks`: measure orchestrators of the exercise."""
