"""Read the sentences out of the code by which it refuses or fails, so that a test can hold a document to them.

What is found, and so what the document must have:
- Python below ``plugins/``, ``services/``, ``fleet/`` and ``report/``: each text of a ``raise`` of a class that is not
  Python's own, of a ``fail_json``, of a ``print`` or a log's line of a service, and, wherever it stands, each text
  that ends as a sentence does or says what is wanted. Docstrings, the documentation of modules, and the help of
  commands and metrics are left out, and so are the tables in ``SAY_NO_FAULT``.
- YAML below ``roles/`` and ``playbooks/``: each ``fail_msg``, each ``msg`` of ``fail``, and each text in a variable
  whose name has ``fault`` in it, also inside Jinja.
- The gateway's errors, which are a mapping in its nginx template, and what a shell template says on stderr.

What varies in a sentence stands as an ellipsis.

What is not found: fragments of three words or less that Python raises, sentences that are put together from such
fragments only, and what programs of others say (Ansible, systemd, nginx, FastChat).
"""

import ast
import builtins
import re
from collections.abc import Iterator
from pathlib import Path

import jinja2
import yaml

HOLE = "…"
# Files, or rooms, whose sentences say what is well, what a thing is, or how a command is used.
SAY_NO_FAULT = {
    "fleet/commands.py": "help of the command fleet",
    "fleet/options.py": "help of the command fleet",
    "plugins/callback/live.py": "how a run goes on",
    "plugins/module_utils/units/api.py": "the description of the API, which docs/API.md has",
    "plugins/module_utils/view/": "how a run goes on",
    "report/page.py": "what the page of a run shows",
    "services/exporter/fleet.py": "help of metrics",
    "services/exporter/gateway.py": "help of metrics",
    "services/exporter/host.py": "help of metrics",
    "services/api/parameters.py": "the table of parameters, which docs/API.md has",
    "services/api/schema.py": "the description of the API, which docs/API.md has",
}
# Parts of other sentences, and what is no fault.
PARTS = {
    "'fleet …' of … (process …) since …",
    "… MiB of weights in … + … for … + …",
    "… The fleet serves what it did. …",
    "Origin: fastchat-fleet Label: fastchat-fleet Suite: … Codename: … Architectures: … Date: … SHA256: … … …",
    "Memory of a GPU.",
    "The ledger of runs: …",
    "a file name pattern",
    "a tensor of shape … reaches element … of a storage of …",
    "empty or one of …",
    "is cut into … MIG instance…",
    "the page is at http://…:…",
    "{name, sha256} for kind http",
}
# Calls whose texts are help: of a command's options, and of metrics.
HELPED = {"add_argument", "ArgumentParser", "Typer", "Option", "gauge", "counter", "histogram", "states"}
DOCUMENTATION = {"DOCUMENTATION", "EXAMPLES", "RETURN"}
JOURNALS = ("services/worker/", "services/controller/", "services/common/", "services/web/")


def tidy(text: str) -> str:
    """Return a text on one line, with one ellipsis for each thing that varies."""
    text = re.sub(r"%\(\w+\)[sd]|%[-+0-9.]*[sdrf]|\{[a-z_]+\}", HOLE, text).replace("%%", "%")
    return re.sub(rf"{HOLE}+", HOLE, " ".join(text.split()))


def words(text: str) -> int:
    """Return how many words a text has."""
    return sum(bool(re.search("[A-Za-z]", word)) for word in text.split())


def is_sentence(text: str) -> bool:
    """Return whether a text that stands anywhere is one that people are told."""
    return words(text) >= 4 and (text.endswith((".", HOLE)) or ", wanted " in text)


def python_text(node: ast.AST) -> str | None:
    """Return the text that an expression makes, with ellipses; None where it makes none."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(python_text(part) or HOLE for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return python_text(node.left)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        both = [python_text(node.left), python_text(node.right)]
        return None if both == [None, None] else "".join(HOLE if one is None else one for one in both)
    return None


def holes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what stands in the ellipses of an expression: a sentence may be in there too."""
    if isinstance(node, ast.JoinedStr):
        yield from (part.value for part in node.values if isinstance(part, ast.FormattedValue))
    elif isinstance(node, ast.BinOp):
        for side in (node.left, node.right):
            yield from holes(side) if python_text(side) is not None else [side]


def called(node: ast.Call) -> str:
    """Return the last name of what is called."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


class Reader(ast.NodeVisitor):
    """Collect the sentences of one file; ``told`` says whether any text in here is told to people."""

    def __init__(self, journal: bool) -> None:
        """Take whether what the file prints goes to a journal."""
        self.journal, self.told, self.found = journal, False, []

    def visit(self, node: ast.AST) -> None:
        """Read a node, or what is in it."""
        text = python_text(node)
        if text is not None:
            said = tidy(text)
            if "(?" not in said and (is_sentence(said) or (self.told and words(said) >= 4)):
                self.found.append((node.lineno, said))
            for inner in holes(node):
                self.visit(inner)
            return
        super().visit(node)

    def visit_body(self, node: ast.AST) -> None:
        """Read a module, a class or a function without its docstring."""
        for index, one in enumerate(node.body):
            docstring = index == 0 and isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant)
            names = {getattr(target, "id", "") for target in getattr(one, "targets", [])}
            if not docstring and not names & DOCUMENTATION:
                self.visit(one)

    visit_Module = visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = visit_body  # noqa: N815  ast's names

    def visit_told(self, node: ast.AST) -> None:
        """Read what is told to people whatever it looks like."""
        before, self.told = self.told, True
        self.generic_visit(node)
        self.told = before

    def visit_Raise(self, node: ast.Raise) -> None:  # noqa: N802  ast's name
        """Read what is raised: whole where the class is the project's, sentences where it is Python's own."""
        own = isinstance(node.exc, ast.Call) and not hasattr(builtins, called(node.exc))
        (self.visit_told if own else self.generic_visit)(node)

    def visit_Call(self, node: ast.Call) -> None:  # noqa: N802  ast's name
        """Read a call; the help of a command or of a metric says no fault."""
        if called(node) in HELPED:
            return
        told = called(node) == "fail_json" or (self.journal and called(node) in ("print", "warning", "update"))
        (self.visit_told if told else self.generic_visit)(node)


def of_python(text: str, journal: bool = False) -> list[tuple[int, str]]:
    """Return (line, sentence) of a Python file's text."""
    reader = Reader(journal)
    for node in ast.parse(text).body:
        if not isinstance(node, ast.Expr):
            reader.visit_body(ast.Module([node], []))
    return reader.found


def jinja_texts(node: jinja2.nodes.Node) -> Iterator[str]:
    """Yield the texts that a Jinja expression may make, each with ellipses."""
    if isinstance(node, (jinja2.nodes.Concat, jinja2.nodes.Output)):
        parts = []
        for part in node.nodes:
            plain = isinstance(part, (jinja2.nodes.Const, jinja2.nodes.TemplateData))
            parts.append(str(getattr(part, "data", getattr(part, "value", ""))) if plain else HOLE)
            if not plain:
                yield from jinja_texts(part)
        yield "".join(parts)
    elif isinstance(node, jinja2.nodes.Const):
        yield str(node.value)
    else:
        for child in node.iter_child_nodes():
            yield from jinja_texts(child)


def yaml_texts(value: object) -> Iterator[str]:
    """Yield the texts in a YAML value, also those inside Jinja."""
    if isinstance(value, str):
        yield from map(tidy, jinja_texts(jinja2.Environment(autoescape=False).parse(value)))  # noqa: S701  nothing is rendered
    elif isinstance(value, (list, dict)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from yaml_texts(one)


def of_yaml(value: object) -> Iterator[str]:
    """Yield the sentences of what a YAML file holds."""
    for key, one in value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else []):
        if str(key) in ("fail_msg", "ansible.builtin.fail") or "fault" in str(key):
            yield from (text for text in yaml_texts(one) if words(text) >= 4)
        else:
            yield from of_yaml(one)


def of_shell(text: str) -> list[str]:
    """Return what a shell template says on stderr."""
    return [tidy(re.sub(r"\$\w+|{{.*?}}", HOLE, said)) for said in re.findall(r'echo "([^"]*)" >&2', text)]


def of_nginx(text: str) -> list[str]:
    """Return the messages of the mapping ``errors`` of the gateway's template."""
    mapping = re.search(r"set errors = \{(.*?)\n\} %\}", text, re.DOTALL)[1]
    said = [re.sub(r"' ~ \w+ ~ '", HOLE, line) for line in mapping.splitlines()]
    return [tidy(one) for line in said for one in re.findall(r"^ *\d+: \['\w+', '(.*)'\],$", line)]


def everything(root: Path) -> list[tuple[str, str]]:
    """Return (where, sentence) of all that is found in a project's code, the parts of sentences among them."""
    found = []
    for path in sorted(
        path for room in ("plugins", "services", "fleet", "report") for path in root.glob(f"{room}/**/*.py")
    ):
        name = path.relative_to(root).as_posix()
        if not name.startswith(tuple(SAY_NO_FAULT)):
            text = path.read_text(encoding="utf-8")
            found += [(f"{name}:{line}", said) for line, said in of_python(text, name.startswith(JOURNALS))]
    readers = {
        "roles/*/tasks/*.yml": lambda text: of_yaml(yaml.safe_load(text)),
        "roles/*/vars/*.yml": lambda text: of_yaml(yaml.safe_load(text)),
        "playbooks/*.yml": lambda text: of_yaml(yaml.safe_load(text)),
        "playbooks/tasks/*.yml": lambda text: of_yaml(yaml.safe_load(text)),
        "roles/*/templates/*.j2": of_shell,
        "roles/fastchat_gateway/templates/nginx.conf.j2": of_nginx,
    }
    for pattern, reader in readers.items():
        for path in sorted(root.glob(pattern)):
            said = reader(path.read_text(encoding="utf-8"))
            found += [(path.relative_to(root).as_posix(), one) for one in said]
    return found
