"""A running agent: builds the parts of dpu_app and puts them together. Like `__main__`, it may import all of them."""
