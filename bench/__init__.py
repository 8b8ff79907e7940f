"""Benchmarks, and what each is compared with: `python -m bench`.  docs/reference/benchmarks.md explains the rows.

It uses `builder` as any program would; `builder` knows nothing of it.
"""
