"""What an operator sees of a run: plain functions over plain data. Runs on the control node. Python >= 3.10."""
