"""The ledger of runs: records them with ARA, and shows one as a page."""
