"""Optuna's dashboard on the study of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from sublm.errors import RunError
from sublm.optional import try_import
from sublm.search.mirror import JOURNAL, quiet
from sublm.search.shared import RECORD, open_storage, reached

FOLDERS = ("search", "standalone", "search/search")
"""Where a run has its search: of a super-network, of candidates trained alone, and of a pre-trained super-network."""


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: a line per request tells a user nothing."""


def open_dashboard(
    run: Path, *, storage: str | None = None, host: str = "127.0.0.1", port: int = 8080
) -> tuple[WSGIServer, str]:
    """Opens the dashboard; nothing is served before `serve_forever` of the server.

    Args:
        run: A run directory whose search has begun; it may be going on. Of several searches the latest is shown.
        storage: URL of the database instead, if the search shares its study there.
        host: Where to listen; other machines reach it only under an address of this one.
        port: Where to listen; 0 takes a free one.

    Returns:
        The server and its address.

    Raises:
        MissingPackageError: If the dashboard is not installed.
        RunError: If the run has no study, the storage cannot be used, or the port is taken.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    dashboard = try_import("optuna_dashboard", extra="dashboard", purpose="The dashboard")
    records = [path for folder in FOLDERS for name in (JOURNAL, RECORD) if (path := run / folder / name).exists()]
    latest = max(records, key=lambda path: path.stat().st_mtime_ns, default=None)
    source: Any
    if storage is not None:
        with reached(storage), quiet():
            source = open_storage(storage)
    elif latest is None:
        raise RunError(f"{run} has no search yet; start one with `sublm compress` or `sublm search {run}`.")
    elif latest.name == RECORD:
        raise RunError(f"The search of {run} keeps its study in a database; give its URL with --storage.")
    else:
        with quiet():
            source = JournalStorage(JournalFileBackend(str(latest), JournalFileOpenLock(str(latest))))
    try:
        server = make_server(host, port, dashboard.wsgi(source), handler_class=_Handler)
    except OSError as error:
        raise RunError(
            f"Nothing can listen on {host}:{port}: {error.strerror or error}; give another --port, or 0 for a free one."
        ) from None
    return server, f"http://{host}:{server.server_port}/"
