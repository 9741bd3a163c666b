"""Radiographs and their masks: manifests, readers, the synthetic set, preparation, and what feeds the network."""
