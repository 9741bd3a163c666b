"""Evaluation: cached probabilities in, test_metrics v1 out; whatever is chosen is chosen on validation."""
