"""FastChat's own application, told where the controller is and how patient it may be."""


class Forgetful(dict):
    """Keeps nothing. FastChat keeps a worker's prompt template for ever, also the error it once got instead."""

    def __setitem__(self, key, value):
        """Do not keep it."""


def fastchat(controller):
    """Return FastChat's application, told where the controller is."""
    from fastchat.serve import openai_api_server as server  # noqa: PLC0415  (the tests of the checks have no FastChat)

    server.app_settings.controller_address = controller
    server.conv_template_map = Forgetful()
    # Its own patience with a host that is gone is the kernel's two minutes. 0.2.15 asks by httpx alone.
    if hasattr(server, "fetch_timeout"):
        import aiohttp  # noqa: PLC0415

        server.fetch_timeout = aiohttp.ClientTimeout(total=3 * 3600, sock_connect=3)
    import httpx  # noqa: PLC0415

    server.WORKER_API_TIMEOUT = httpx.Timeout(float(server.WORKER_API_TIMEOUT), connect=3.0)
    return server.app
