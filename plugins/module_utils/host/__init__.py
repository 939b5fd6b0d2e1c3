"""Read one host: its GPUs, its units, what runs, what it could run. Only the units are ever changed from here."""
