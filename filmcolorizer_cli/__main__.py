"""The entry point of ``python -m filmcolorizer_cli`` and of the installed command."""

import gc
import io
import os
import sys

from filmcolorizer_cli.stopping import INTERRUPTED, heed_signals


def main() -> None:
    """Run the program."""
    # File names may not be encodable in the terminal's encoding.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # Idle torch threads must sleep: ffmpeg encodes on the same cores, and spinning ones starve it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # The matrices of sync are so small that threads cost more than they gain.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    heed_signals()
    try:
        from filmcolorizer_cli.cli import app

        app(prog_name="filmcolorizer")
    except KeyboardInterrupt:  # during startup; commands handle it themselves
        raise SystemExit(INTERRUPTED) from None
    finally:
        gc.freeze()  # avoids a final collection over all of torch, a third of a second


if __name__ == "__main__":
    main()
