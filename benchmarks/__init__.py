"""Speed, one file a question: `python -m benchmarks` runs all of them."""
