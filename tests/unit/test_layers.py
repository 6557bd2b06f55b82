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
        "chatd.client.address",
        "chatd.client.settingkinds",
        "chatd.client.settings",
        "chatd.client.settingsfile",
        "chatd.client.historytime",
        "chatd.client.historyfile",
        "chatd.client.historyrows",
        "chatd.client.folding",
        "chatd.client.searchindex",
        "chatd.client.search",
        "chatd.client.historyoutput",
        "chatd.client.completion",
        "chatd.client.frontend",
        "chatd.client.events",
        "chatd.client.bell",
        "chatd.client.rows",
        "chatd.client.standardterminal",
        "chatd.client.layout",
        "chatd.client.transcript",
        "chatd.client.colours",
        "chatd.client.conversation",
        "chatd.client.toolbar",
        "chatd.client.drawing",
        "chatd.client.keys",
        "chatd.client.screen",
        "chatd.client.plain",
        "chatd.client.names",
        "chatd.client.destination",
        "chatd.client.unread",
        "chatd.client.watching",
        "chatd.client.people",
        "chatd.client.helptopics",
        "chatd.client.sharedhistory",
        "chatd.client.waitingrows",
        "chatd.client.history",
        "chatd.client.pins",
        "chatd.client.trust",
        "chatd.client.account",
        "chatd.client.tls",
        "chatd.client.reasons",
        "chatd.client.secrets",
        "chatd.client.connection",
        "chatd.client.link",
        "chatd.client.greeting",
        "chatd.client.output",
        "chatd.client.keeping",
        "chatd.client.news",
        "chatd.client.readahead",
        "chatd.client.questions",
        "chatd.client.lookups",
        "chatd.client.commanding",
        "chatd.client.input",
        "chatd.client.passwordchange",
        "chatd.client.outbox",
        "chatd.client.receipts",
        "chatd.client.arrivals",
        "chatd.client.sending",
        "chatd.client.requests",
        "chatd.client.lifetime",
        "chatd.client.reception",
        "chatd.client.neighbours",
        "chatd.client.beginning",
        "chatd.client.core",
        "chatd.client.past",
        "chatd.client.running",
        "chatd.client.record",
        "chatd.client.unconfirmed",
        "chatd.client.sender",
        "chatd.client.feeding",
        "chatd.client.listening",
        "chatd.client.execution",
        "chatd.client.printing",
        "chatd.client.scripting",
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
    "client": {
        "package",
        "time",
        "fingerprints",
        "shells",
        "wire",
        "store",
        "client",
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
    "chatd.client.history",
    "chatd.client.historyfile",
    "chatd.client.historyrows",
    "chatd.client.search",
    "chatd.client.searchindex",
    "chatd.client.sharedhistory",
    "chatd.client.waitingrows",
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
        if layer(importer) == "client" and layer(imported) == "store"
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
        "chatd.client.screen",
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
        "chatd.client.tls",
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
