"""Tests of the training losses."""
