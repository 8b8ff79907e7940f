"""Nix: its command line, its literals, its log."""
