"""The commands `benchmark` and `compare-benchmarks`: orchestrators of the exercise, measured in process."""
