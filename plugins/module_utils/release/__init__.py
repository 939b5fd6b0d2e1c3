"""One published directory of weights and its manifest: publish, flip, verify, repair, roll back, remove."""
