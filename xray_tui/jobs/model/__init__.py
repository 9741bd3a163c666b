"""Values: the job, its request, its GPU policy and its code version."""
