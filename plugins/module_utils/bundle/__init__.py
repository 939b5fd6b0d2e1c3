"""Gather what a site without internet access needs: wheels, packages, weights, and the manifest that lists them.

The room runs pip, apt and dnf on the control node, and writes below the bundle's directory. Only manifest.py also runs
on mirrors.
"""
