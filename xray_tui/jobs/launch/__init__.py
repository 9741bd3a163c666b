"""From a request to a submitted job."""
