"""nnU-Net around its own command line: our manifest in, its log on our curve, its predictions through our scoring."""
