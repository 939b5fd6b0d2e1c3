"""The ledger of runs, as a run sees it: what is kept of it, without secrets, and the file that is written meanwhile."""
