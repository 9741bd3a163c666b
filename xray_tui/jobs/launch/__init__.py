"""Launch: from a request to a submitted job."""
