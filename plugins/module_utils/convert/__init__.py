"""Add a delta to a base: plan (writes nothing), then stream tensors into staging and rename what is finished."""
