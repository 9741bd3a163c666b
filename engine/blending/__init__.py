"""Blending: weights, threshold and presence source of several runs, chosen jointly on validation."""
