"""`bench`: what a worker takes of words, time, processor and memory, on any broker, its output checked."""
