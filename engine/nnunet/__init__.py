"""nnU-Net through its command line: our manifest in, its log as our events, its predictions scored with our metrics."""
