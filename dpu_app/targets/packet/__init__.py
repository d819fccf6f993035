"""The parts of the XDP target: source, layout, contents of maps, attachment, flows. BCC is in `targets/xdp.py`."""
