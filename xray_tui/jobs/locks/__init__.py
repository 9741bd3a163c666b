"""flock files: one per GPU, queue, supervisor and engine."""
