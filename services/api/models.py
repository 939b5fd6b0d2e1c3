"""One model of those that are served: ``GET /v1/models/{id}``, which FastChat does not have."""

from .errors import reply, unknown_model
from .parameters import MODELS
from .stream import Kept


async def one_model(ask, scope, send, name):
    """Answer with the model of this name; ``ask`` as ``embed`` has it."""
    kept = Kept()
    await ask({**scope, "path": MODELS, "raw_path": MODELS.encode()}, kept, None)
    listed = kept.value()
    if listed is None:
        return
    for model in listed["data"]:
        if model["id"] == name:
            await reply(send, 200, model)
            return
    raise unknown_model(name)
