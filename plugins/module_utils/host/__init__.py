"""Read one host: its GPUs, its units, what runs on it and what it could run. Python 2.7 and 3.

``nvidia_smi``, ``driver_faults``, ``products`` and ``ssh_keys`` read texts that are given to them; ``gpus``,
``probe`` and ``running`` read the host. Only ``units`` changes anything: it stops, disables and removes units.
"""
