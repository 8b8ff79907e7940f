"""The image folder."""
