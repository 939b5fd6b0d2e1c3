"""FastChat's controller, unpatched, behind an application that knows which workers can really answer.

FastChat (0.2.15 to 0.2.36) lists a worker from the moment it registers, before its port is open, goes on dispatching to
a dead one for 90 to 180 s, blocks while it refreshes, and forgets everything when it restarts. So this process:

- lists a worker only after it generated a token, and takes it out as soon as it does not answer (asked every second);
- answers ``/refresh_all_workers`` without doing anything, because it refreshes all the time;
- takes a worker out of dispatch on ``/fleet/leave``, and keeps it out until another process registers in its place;
- writes down the workers that it knows, and asks them again before it answers its first request;
- serves on the socket that systemd holds, so that requests wait while it restarts.

``GET /fleet`` says what it knows of every worker; ``POST /fleet/state``, ``leave``, ``join`` and ``forget`` take
``{"worker": URL}``: see ``requests``. ``fleet`` decides which workers get requests, and ``state_file`` remembers it.
Nothing here checks who asks: the firewall must let only the fleet reach it.
"""
