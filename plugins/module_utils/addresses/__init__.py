"""Join hosts and ports, wherever an address stands in a URL, an option or a configuration. Python 2.7 and 3."""
