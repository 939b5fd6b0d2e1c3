"""What the API says of itself (`/openapi.json`) is true at the gateway: schemathesis asks rightly and wrongly."""

import json
import os
import re
import subprocess

from clients_site import HERE, MODEL, STATE

from testbed import environment

# What FastChat's own worker refuses although a worker of vLLM would do it: the schema is the same for both.
BY_VLLM_ALONE = {"presence_penalty": 0, "frequency_penalty": 0, "best_of": 1, "use_beam_search": False}
EXAMPLES = os.environ.get("EXAMPLES", "40")


def without_bounds(schema):
    """Return a schema without its large bounds: what is as long as they allow would take the worker minutes."""
    if isinstance(schema, list):
        return [without_bounds(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    large = {"maxLength": 256, "maxItems": 17}
    kept = {key: one for key, one in schema.items() if not (key in large and one > large[key])}
    return {key: without_bounds(one) for key, one in kept.items()}


def served(site):
    """Return the schema of an API server, with the model that is served and what its worker can do."""
    code = "import urllib.request as web; print(web.urlopen('http://ctl01:8000/openapi.json').read().decode())"
    schema = without_bounds(json.loads(site.on("ctl01", "python3", "-c", code)))
    for path, methods in schema["paths"].items():
        if "post" in methods:
            known = methods["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]
            known["model"] = {"enum": [MODEL]}
            known.update({name: {"enum": [value, None]} for name, value in BY_VLLM_ALONE.items() if name in known})
        for one in methods.get("get", {}).get("parameters", ()):
            assert path == "/v1/models/{id}" and one["name"] == "id"
            one["schema"] = {"enum": [MODEL]}
    return schema


def test_the_gateway_does_what_the_schema_says(site):
    schema = site.state / "openapi.json"
    schema.write_text(json.dumps(served(site)))
    program = environment.ensure("security", ("security",)) / "bin" / "schemathesis"
    command = [str(program), "--config-file", str(HERE / "schemathesis.toml"), "run", str(schema)]
    command += ["--checks=all", f"--max-examples={EXAMPLES}", "--continue-on-failure", "--max-response-time=300"]
    variables = {**site.environment(), "GATEWAY": site.url.removesuffix("/v1"), "HOOKS": str(HERE / "schema_hooks.py")}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, cwd=STATE / "clients")
    said = "\n".join(line[:400] for line in (done.stdout + done.stderr).splitlines())
    (site.state / "schemathesis.log").write_text(said)
    assert done.returncode == 0, said[-20000:]
    assert site.key() not in done.stdout
    assert int(re.search(r"(\d+) generated", done.stdout)[1]) > 500, done.stdout[-2000:]
    site.wait_until_free()
