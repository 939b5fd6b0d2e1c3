"""What several services use. It needs the standard library alone."""
