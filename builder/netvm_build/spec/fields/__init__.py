"""Readers of the values of the spec's keys, one module for each subject."""
