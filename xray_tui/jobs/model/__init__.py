"""Values: jobs, their requests, the GPU policy."""
