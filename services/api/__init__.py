"""FastChat's OpenAI API server, unpatched, behind a guard: ``python -m services.api``.

FastChat (0.2.15 to 0.2.36) hands a request on to a worker nearly as it came. There a wrong type or an empty prompt ends
in an exception that nobody catches, and each one loses a concurrency slot of that worker for ever. The guard reads each
request first and forwards only what it understood, so that workers get well-formed requests whatever clients send.

When the controller, or the worker that it chose, can not be reached, FastChat answers an error at once although another
worker would do. As long as nothing was sent to the client, the guard asks again: the controller takes a dead worker out
of dispatch within a second.

The life of a request: ``dispatch`` takes it, ``request`` reads it, ``parameters`` is the table of what it may ask
for, and ``checks`` says with which values. ``retry`` asks FastChat (``fastchat_app``) until a worker answers,
``generation`` has the worker generate and counts what it made, and ``stream`` holds the answer back until the client
shall see it, in OpenAI's form. ``errors`` says what went wrong. ``embeddings`` asks in parts, ``models`` finds one
model, and ``connections`` notices hosts that are gone. ``docs/API.md`` says what a client sees of all this.
"""
