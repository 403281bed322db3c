"""`sublm dashboard`."""

from __future__ import annotations

from pathlib import Path


def dashboard(
    run: Path, *, storage: str | None = None, host: str = "127.0.0.1", port: int = 8080, quiet: bool = False
) -> None:
    """Watch the search of a run in a browser.

    Serves optuna-dashboard (the extra dashboard) until it is stopped with Ctrl-C. The search may be going on.

    Args:
        run: The run directory.
        storage: The database, if the search was given one.
        host: Address to listen on; 0.0.0.0 lets other machines in.
        port: Port to listen on; 0 takes a free one.
        quiet: Show nothing but errors.

    Examples:
        sublm dashboard runs/sst2
    """
    import contextlib
    import sys

    from sublm.search.dashboard import open_dashboard

    server, address = open_dashboard(run, storage=storage, host=host, port=port)
    if not quiet:
        print(f"The search of {run} is shown at {address} (Ctrl-C ends it)", file=sys.stderr, flush=True)
    with server, contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
