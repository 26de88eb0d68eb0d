"""python -m filmcolorizer_cli, and what the installed command calls."""

import gc
import io
import os
import sys

from filmcolorizer_cli.stopping import INTERRUPTED, heed_signals


def main() -> None:
    """Run the program."""
    # A file may have a name that the terminal's encoding does not hold.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # Idle torch threads must sleep: ffmpeg encodes on the same cores, and spinning ones starve it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # The matrices of sync are small: threads would cost more than they bring.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    heed_signals()
    try:
        from filmcolorizer_cli.cli import app

        app(prog_name="filmcolorizer")
    except KeyboardInterrupt:  # while it starts; commands end with a sentence of their own
        raise SystemExit(INTERRUPTED) from None
    finally:
        gc.freeze()  # or Python looks for garbage in all of torch at last, for a third of a second


if __name__ == "__main__":
    main()
