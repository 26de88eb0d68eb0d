"""python -m filmcolorizer_cli, and what the installed command calls."""

import os
import signal
import sys


def main() -> None:
    """Run the program."""
    # Idle torch threads must sleep: ffmpeg encodes on the same cores, and spinning ones starve it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # The matrices of sync are small: threads would cost more than they bring.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # A polite kill unwinds like an error, so that nothing half-written stays.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))

    from filmcolorizer_cli.cli import app

    app(prog_name="filmcolorizer")


if __name__ == "__main__":
    main()
