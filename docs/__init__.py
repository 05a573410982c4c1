"""The site: pages in Markdown, and what `python -m docs` makes of them."""
