"""The requests of the page to the controller and the workers."""

import json

from services.common.asking import post

SECONDS = 10


def answer_of(url, **body):
    """Return the answer of a controller or worker to a POST; raises OSError."""
    return json.loads(post(url, body, SECONDS))


def models_of(controller):
    """Return the sorted names of the models that a controller has; raises OSError."""
    return sorted(set(answer_of(controller + "/list_models")["models"]))


def template_of(controller, model):
    """Return the fields of the template that a worker of this model has, as the API reads them; {} without a worker.

    Raises OSError.
    """
    worker = answer_of(controller + "/get_worker_address", model=model)["address"]
    return answer_of(worker + "/worker_get_conv_template", model=model)["conv"] if worker else {}
