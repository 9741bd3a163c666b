"""Evaluation: cached probabilities in, test_metrics v1 out; every choice is made on validation."""
