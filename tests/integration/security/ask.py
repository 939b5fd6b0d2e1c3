# ruff: noqa: F821  (`asked` is put before this script, which runs on a host)
"""Send requests to the gateway; print [status, body, seconds at which each piece came] of each."""

import http.client
import json
import ssl
import time

context = ssl._create_unverified_context()  # noqa: S323  (other tests check whose certificate it is)
found = []
for request in asked["requests"]:
    connection = http.client.HTTPSConnection(asked["host"], 443, timeout=300, context=context)
    body = request["body"]
    data = body if isinstance(body, (str, type(None))) else json.dumps(body)
    pieces, times, began = [], [], time.monotonic()
    try:
        connection.request(request["method"], request["path"], data, request["headers"])
        answer = connection.getresponse()
        while piece := answer.read1(65536):
            pieces.append(piece)
            times.append(round(time.monotonic() - began, 2))
        found.append([answer.status, b"".join(pieces).decode(), times])
    except (OSError, http.client.HTTPException) as error:
        found.append([0, repr(error), times])
print(json.dumps(found))
