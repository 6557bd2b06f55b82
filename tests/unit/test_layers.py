"""Who may import whom. docs/architecture.md shows the same layers, and says why."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import pytest

pytestmark = pytest.mark.unmeasured

ROOT: Final = Path(__file__).parents[2]

LAYERS: Final = {
    "package": ["chatd"],
    "time": ["chatd.clock"],
    "fingerprints": ["chatd.fingerprint"],
    "shells": ["chatd.shellcompletion"],
    "wire": [
        "chatd.wire",
        "chatd.wire.answers",
        "chatd.wire.display",
        "chatd.wire.names",
        "chatd.wire.foreign",
        "chatd.wire.telnet",
        "chatd.wire.proxy",
        "chatd.wire.message",
        "chatd.wire.block",
        "chatd.wire.text",
        "chatd.wire.fields",
        "chatd.wire.objects",
        "chatd.wire.objectlines",
    ],
    "store": [
        "chatd.store",
        "chatd.store.records",
        "chatd.store.statements",
        "chatd.store.queues",
        "chatd.store.transactions",
        "chatd.store.room",
        "chatd.store.migrations",
        "chatd.store.administration",
        "chatd.store.legacy",
        "chatd.store.opening",
        "chatd.store.beside",
        "chatd.store.store",
    ],
    "between": [
        "chatd.limits",
        "chatd.background",
        "chatd.notes",
        "chatd.turn",
        "chatd.backlog",
        "chatd.entry",
        "chatd.journal",
        "chatd.accounts",
        "chatd.passwords",
        "chatd.throttle",
        "chatd.credentials",
    ],
    "hub": [
        "chatd.hub",
        "chatd.hub.recent",
        "chatd.hub.book",
        "chatd.hub.accepted",
        "chatd.hub.watches",
        "chatd.hub.queues",
        "chatd.hub.receiver",
        "chatd.hub.online",
        "chatd.hub.presence",
        "chatd.hub.acceptance",
        "chatd.hub.resends",
        "chatd.hub.interruptions",
        "chatd.hub.unconfirmed",
        "chatd.hub.patience",
        "chatd.hub.peer",
        "chatd.hub.pages",
        "chatd.hub.state",
        "chatd.hub.window",
        "chatd.hub.delivery",
        "chatd.hub.pending",
        "chatd.hub.session",
        "chatd.hub.run",
        "chatd.hub.linerun",
        "chatd.hub.keyedrun",
        "chatd.hub.runs",
        "chatd.hub.realm",
        "chatd.hub.hub",
        "chatd.hub.gate",
    ],
    "server": [
        "chatd.server",
        "chatd.server.tcp",
        "chatd.server.lines",
        "chatd.server.answers",
        "chatd.server.form",
        "chatd.server.deadlines",
        "chatd.server.gauges",
        "chatd.server.tls",
        "chatd.server.ticker",
        "chatd.server.outlet",
        "chatd.server.owner",
        "chatd.server.pace",
        "chatd.server.refusals",
        "chatd.server.linger",
        "chatd.server.connection",
        "chatd.server.entrance",
        "chatd.server.dialog",
        "chatd.server.language",
        "chatd.server.speaking",
        "chatd.server.bulk",
        "chatd.server.objectbulk",
        "chatd.server.commands",
        "chatd.server.textform",
        "chatd.server.objectform",
        "chatd.server.greeting",
        "chatd.server.factory",
        "chatd.server.proxied",
    ],
    "outside": [
        "chatd.ports",
        "chatd.certificates",
        "chatd.listening",
        "chatd.service",
        "chatd.logtext",
        "chatd.tap",
    ],
    "client": [
        "chatd.client",
        "chatd.client.statuses",
    ],
    "client settings": [
        "chatd.client.settings",
        "chatd.client.settings.address",
        "chatd.client.settings.kinds",
        "chatd.client.settings.settings",
        "chatd.client.settings.file",
    ],
    "client history": [
        "chatd.client.history",
        "chatd.client.history.times",
        "chatd.client.history.places",
        "chatd.client.history.file",
        "chatd.client.history.rows",
        "chatd.client.history.folding",
        "chatd.client.history.index",
        "chatd.client.history.search",
        "chatd.client.history.printed",
        "chatd.client.history.shared",
        "chatd.client.history.waiting",
        "chatd.client.history.batches",
        "chatd.client.history.history",
    ],
    "connection": [
        "chatd.client.connection",
        "chatd.client.connection.events",
        "chatd.client.connection.pins",
        "chatd.client.connection.trust",
        "chatd.client.connection.account",
        "chatd.client.connection.tls",
        "chatd.client.connection.reasons",
        "chatd.client.connection.secrets",
        "chatd.client.connection.connection",
        "chatd.client.connection.link",
    ],
    "front ends": [
        "chatd.client.frontends",
        "chatd.client.frontends.completion",
        "chatd.client.frontends.frontend",
        "chatd.client.frontends.bell",
        "chatd.client.frontends.rows",
        "chatd.client.frontends.standard",
        "chatd.client.frontends.layout",
        "chatd.client.frontends.transcript",
        "chatd.client.frontends.colours",
        "chatd.client.frontends.conversation",
        "chatd.client.frontends.toolbar",
        "chatd.client.frontends.drawing",
        "chatd.client.frontends.keys",
        "chatd.client.frontends.screen",
        "chatd.client.frontends.plain",
    ],
    "talk": [
        "chatd.client.talk",
        "chatd.client.talk.names",
        "chatd.client.talk.destination",
        "chatd.client.talk.unread",
        "chatd.client.talk.watching",
        "chatd.client.talk.people",
        "chatd.client.talk.helptopics",
        "chatd.client.talk.greeting",
        "chatd.client.talk.output",
        "chatd.client.talk.keeping",
        "chatd.client.talk.news",
        "chatd.client.talk.readahead",
        "chatd.client.talk.questions",
        "chatd.client.talk.lookups",
        "chatd.client.talk.commanding",
        "chatd.client.talk.input",
        "chatd.client.talk.passwordchange",
        "chatd.client.talk.outbox",
        "chatd.client.talk.receipts",
        "chatd.client.talk.arrivals",
        "chatd.client.talk.sending",
        "chatd.client.talk.requests",
        "chatd.client.talk.lifetime",
        "chatd.client.talk.reception",
        "chatd.client.talk.neighbours",
        "chatd.client.talk.beginning",
        "chatd.client.talk.core",
        "chatd.client.talk.past",
        "chatd.client.talk.running",
    ],
    "scripts": [
        "chatd.client.script",
        "chatd.client.script.record",
        "chatd.client.script.unconfirmed",
        "chatd.client.script.sender",
        "chatd.client.script.feeding",
        "chatd.client.script.listening",
        "chatd.client.script.execution",
        "chatd.client.script.printing",
        "chatd.client.script.scripting",
    ],
    "commands": [
        "chatd.client.commands",
        "chatd.client.commands.options",
        "chatd.client.commands.offered",
        "chatd.client.commands.connecting",
        "chatd.client.commands.talk",
        "chatd.client.commands.given",
        "chatd.client.commands.outbox",
        "chatd.client.commands.send",
        "chatd.client.commands.listen",
        "chatd.client.commands.history",
        "chatd.client.commands.config",
        "chatd.client.main",
        "chatd.client.__main__",
    ],
    "control": [
        "chatd.control",
        "chatd.control.certificate",
        "chatd.control.users",
        "chatd.control.main",
    ],
}
"""Every module, in an order in which each imports only those before it."""

ORDER: Final = [module for modules in LAYERS.values() for module in modules]

MAY_KNOW: Final = {
    "time": {"time"},
    "fingerprints": set(),
    "shells": set(),
    "wire": {"wire"},
    "store": {"wire", "store"},
    "between": {"time", "wire", "store", "between"},
    "hub": {"time", "wire", "store", "between", "hub"},
    "server": {"package", "wire", "between", "hub", "server"},
    "outside": {
        "package",
        "time",
        "fingerprints",
        "store",
        "between",
        "hub",
        "server",
        "outside",
    },
    "client": {"client"},
    "client settings": {"fingerprints", "wire", "client", "client settings"},
    "client history": {"wire", "store", "client history"},
    "connection": {
        "package",
        "fingerprints",
        "time",
        "wire",
        "store",
        "client",
        "client settings",
        "client history",
        "connection",
    },
    "front ends": {"wire", "client", "client history", "front ends"},
    "talk": {
        "time",
        "wire",
        "store",
        "client",
        "client history",
        "connection",
        "front ends",
        "talk",
    },
    "scripts": {
        "time",
        "wire",
        "client",
        "client history",
        "connection",
        "front ends",
        "talk",
        "scripts",
    },
    "commands": {
        "package",
        "shells",
        "wire",
        "client",
        "client settings",
        "client history",
        "connection",
        "front ends",
        "talk",
        "scripts",
        "commands",
    },
    "control": {
        "package",
        "fingerprints",
        "shells",
        "wire",
        "store",
        "between",
        "control",
    },
}

HUB_KNOWS_OF_THE_WIRE: Final = {
    "chatd.wire.answers",
    "chatd.wire.block",
    "chatd.wire.message",
    "chatd.wire.names",
}
"""What is said, and to whom; but not how it looks."""

CLIENT_KNOWS_OF_THE_STORE: Final = {
    "chatd.store.legacy",
    "chatd.store.migrations",
    "chatd.store.opening",
}
"""How a database file is claimed and brought up to date; nothing of the daemon's."""

SQL_OUTSIDE_THE_STORE: Final = {
    "chatd.client.history.history",
    "chatd.client.history.file",
    "chatd.client.history.rows",
    "chatd.client.history.search",
    "chatd.client.history.index",
    "chatd.client.history.shared",
    "chatd.client.history.waiting",
}

LONGEST: Final = 400

PURE: Final = [
    *LAYERS["fingerprints"],
    *LAYERS["wire"],
    *(module for module in LAYERS["store"] if module != "chatd.store.store"),
    "chatd.limits",
    "chatd.backlog",
]


@dataclass(frozen=True)
class Module:
    """A module of chatd, not imported."""

    name: str
    source: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @cached_property
    def imported(self) -> list[str]:
        """What any import statement of it names, whenever that would run."""
        return list(self._imported())

    def _imported(self) -> Iterator[str]:
        for node in ast.walk(self.tree):
            match node:
                case ast.Import(names):
                    yield from (each.name for each in names)
                case ast.ImportFrom(module=None) | ast.ImportFrom(level=1 | 2):
                    pytest.fail(f"{self.name} has a relative import")
                case ast.ImportFrom(module, names):
                    assert module is not None
                    for each in names:
                        whole = f"{module}.{each.name}"
                        yield whole if whole in MODULES else module


def modules() -> Iterator[Module]:
    for path in sorted((ROOT / "chatd").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield Module(name, path.read_text(encoding="utf-8"))


MODULES: Final = {module.name: module for module in modules()}


def layer(name: str) -> str:
    return next(layer for layer, names in LAYERS.items() if name in names)


def imports() -> list[tuple[str, str]]:
    """Return which module of chatd imports which."""
    return [
        (module.name, imported)
        for module in MODULES.values()
        for imported in module.imported
        if imported in MODULES
    ]


def run(code: str) -> str:
    """Run code in a Python that has imported nothing."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_has_its_place() -> None:
    assert sorted(ORDER) == sorted(MODULES)


def test_a_module_imports_only_those_before_it() -> None:
    place = {name: index for index, name in enumerate(ORDER)}
    assert [each for each in imports() if place[each[1]] >= place[each[0]]] == []


def test_a_layer_knows_only_those_it_may() -> None:
    assert [
        each for each in imports() if layer(each[1]) not in MAY_KNOW[layer(each[0])]
    ] == []


def test_the_hub_knows_no_grammar() -> None:
    known = {
        imported
        for importer, imported in imports()
        if layer(importer) in ("between", "hub") and layer(imported) == "wire"
    }
    assert known <= HUB_KNOWS_OF_THE_WIRE


def test_the_client_knows_of_the_store_how_a_file_is_opened() -> None:
    known = {
        imported
        for importer, imported in imports()
        if importer.startswith("chatd.client") and layer(imported) == "store"
    }
    assert known == CLIENT_KNOWS_OF_THE_STORE


def test_only_the_store_and_the_clients_history_have_sql() -> None:
    words = ("SELECT ", "INSERT ", "UPDATE ", "DELETE FROM", "PRAGMA ")
    assert [
        (module.name, node.lineno)
        for module in MODULES.values()
        if layer(module.name) != "store" and module.name not in SQL_OUTSIDE_THE_STORE
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and any(word in node.value for word in words)
    ] == []


def test_nobody_imports_the_global_reactor_but_who_puts_all_together() -> None:
    assert [
        module.name
        for module in MODULES.values()
        if any("internet.reactor" in each for each in module.imported)
        or any(
            isinstance(node, ast.ImportFrom)
            and node.module == "twisted.internet"
            and any(each.name == "reactor" for each in node.names)
            for node in ast.walk(module.tree)
        )
    ] == [
        "chatd.client.commands.listen",
        "chatd.client.commands.outbox",
        "chatd.client.commands.send",
        "chatd.client.commands.talk",
        "chatd.client.frontends.screen",
        "chatd.logtext",
        "chatd.tap",
    ]


def test_what_can_do_without_twisted_does() -> None:
    code = f"import sys, {', '.join(PURE)}; print('twisted' in sys.modules)"
    assert run(code) == "False\n"


def test_no_import_installs_a_reactor() -> None:
    code = f"import sys, {', '.join(ORDER)};"
    code += "print('twisted.internet.reactor' in sys.modules)"
    assert run(code) == "False\n"


def test_only_what_speaks_tls_needs_openssl_to_be_imported() -> None:
    packages = {"OpenSSL", "cryptography", "service_identity"}

    def needs(tree: ast.Module) -> bool:
        outermost = [
            Module("", ast.unparse(node))
            for node in tree.body
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        imported = {name for each in outermost for name in each.imported}
        return any(name.partition(".")[0] in packages for name in imported)

    assert [each.name for each in MODULES.values() if needs(each.tree)] == [
        "chatd.client.connection.tls",
        "chatd.server.tls",
    ]


def test_the_plugin_imports_nothing_of_chatd() -> None:
    code = "import sys, twisted.plugins.chatd_plugin;"
    code += "print([name for name in sys.modules if name.startswith('chatd')])"
    assert run(code) == "[]\n"


@pytest.mark.parametrize("module", MODULES.values(), ids=list(MODULES))
def test_a_module_says_what_it_is(module: Module) -> None:
    docstring = ast.get_docstring(module.tree)
    assert docstring
    assert docstring[0].isupper() or module.name == "chatd"


@pytest.mark.parametrize("module", MODULES.values(), ids=list(MODULES))
def test_a_module_can_be_read_at_one_sitting(module: Module) -> None:
    assert len(module.source.splitlines()) <= LONGEST
