"""Let browsers load and request only what a chat needs, and only from this server."""

import re

# A browser loads for this page from its own server only, also when an answer names a picture on another server.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'"
)
ELSEWHERE = re.compile(r"<(?:link|script)\b[^>]*=\"https?://[^>]*>(?:\s*</script>)?")
# Uploads, files of the host, and requests to other servers are not part of a chat.
CLOSED = re.compile(
    r"/(?:gradio_api/)?(?:upload|upload_progress|file|proxy|stream|deep_link|component_server)(?:[/=]|$)"
)


class OnlyChat:
    """ASGI middleware that passes what a chat needs, and tells browsers to load nothing from other servers."""

    def __init__(self, app):
        """Wrap an ASGI application."""
        self.app = app

    async def __call__(self, scope, receive, send):
        """Answer 404 for a closed path; pass on any other, and add the policy to the answer's headers."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_policy(message):
            if message["type"] == "http.response.start":
                head = [*message.get("headers", []), (b"content-security-policy", POLICY.encode())]
                message = {**message, "headers": [*head, (b"referrer-policy", b"same-origin")]}
            await send(message)

        if CLOSED.search(scope["path"]):
            await with_policy({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return
        await self.app(scope, receive, with_policy)


def without_elsewhere(page):
    """Return a page's template without the tags that name other servers."""
    return ELSEWHERE.sub("", page)
