"""One source for every value that two languages share: `tables/*.toml`, and what `generate.py` makes of them."""
