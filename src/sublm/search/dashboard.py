"""Optuna's dashboard on the study of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from sublm.errors import RunError
from sublm.optional import try_import
from sublm.search.mirror import JOURNAL, quiet
from sublm.search.shared import open_storage, reached


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: a line per request tells a user nothing."""


def open_dashboard(
    run: Path, *, storage: str | None = None, host: str = "127.0.0.1", port: int = 8080
) -> tuple[WSGIServer, str]:
    """Opens the dashboard; nothing is served before `serve_forever` of the server.

    Args:
        run: A run directory whose search has begun; it may be going on.
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
    journal = run / "search" / JOURNAL
    source: Any
    if storage is not None:
        with reached(storage), quiet():
            source = open_storage(storage)
    elif journal.exists():
        with quiet():
            source = JournalStorage(JournalFileBackend(str(journal), JournalFileOpenLock(str(journal))))
    elif (run / "search" / "shared.json").exists():
        raise RunError(f"The search of {run} keeps its study in a database; give its URL with --storage.")
    else:
        raise RunError(f"{run} has no search yet; start one with `sublm compress` or `sublm search {run}`.")
    try:
        server = make_server(host, port, dashboard.wsgi(source), handler_class=_Handler)
    except OSError as error:
        raise RunError(
            f"Nothing can listen on {host}:{port}: {error.strerror or error}; give another --port, or 0 for a free one."
        ) from None
    return server, f"http://{host}:{server.server_port}/"
