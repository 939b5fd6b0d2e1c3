"""Gather what a site without a way out needs: wheels, packages, weights, and the manifest that lists them."""
