"""Code that several services share. It needs only the standard library."""
