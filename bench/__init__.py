"""What is measured, and beside what: `python -m bench`.  It reports and does not judge; docs/benchmarks.md explains.

It uses `builder` as any program would; `builder` knows nothing of it.
"""
