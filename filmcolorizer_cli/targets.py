"""Output files and folders of commands: their default names, and checks before writing.

Commands import this module before parsing their options, so slow imports are made inside functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from filmcolorizer_cli.errors import FilmColorizerError, OptionError
from filmcolorizer_cli.files import check_folder, followed, put_back

# Patterns of files that file managers leave in folders they display.
LEFT_BY_SYSTEMS = (".DS_Store", "._*", ".directory", "Thumbs.db", "desktop.ini")


def default_target(film: Path, ending: str = ".mp4") -> Path:
    """Return the default path of the coloured film."""
    return beside(film, f"-color{ending}")


def beside(film: Path, ending: str) -> Path:
    """Return a path beside a film, or beside the folder of numbered pictures, named after it."""
    from filmcolorizer_cli.video import is_sequence

    if is_sequence(film):
        folder = film.parent if film.parent.name.strip(".") else film.parent.resolve()
        return folder.with_name(f"{folder.name}{ending}")
    return film.with_name(f"{film.stem}{ending}")


def render_targets(folder: Path) -> tuple[Path, Path]:
    """Return the paths of both aligned films, the black-and-white one first."""
    return folder / "bw.mp4", folder / "color.mp4"


def check_target(
    target: Path, sources: list[Path], overwrite: bool, option: str = "-o", what: str = "file"
) -> None:
    """Refuse to overwrite a source, or anything else without ``overwrite``.

    Args:
        option: the option that names the target.
        what: what that option names, for the message.

    Raises:
        FilmColorizerError: the target may not be written.
    """
    check_folder(target.parent, option)
    check_folder(followed(target).parent, option)
    if target.is_dir():
        raise FilmColorizerError(f"{target} is a folder; name a file with {option}")
    if not target.exists():
        return
    if any(source.exists() and target.samefile(source) for source in _files_of(sources)):
        raise FilmColorizerError(
            f"{target} is the source itself; name another {what} with {option}"
        )
    if not overwrite:
        raise FilmColorizerError(
            f"{target} exists already; name another {what} with {option}, or give --overwrite"
        )


def _files_of(sources: list[Path]) -> Iterator[Path]:
    """Yield the files that sources consist of, including each numbered picture."""
    from filmcolorizer_cli.video import is_sequence, sequence_files

    for source in sources:
        yield from sequence_files(source).values() if is_sequence(source) else [source]


def check_ending(target: Path, *endings: str, option: str = "-o") -> None:
    """Refuse a target whose extension does not match the kind of file.

    Raises:
        OptionError: it has none of the endings.
    """
    if target.suffix.lower() not in endings:
        *others, last = endings
        listed = f"{', '.join(others)} or {last}" if others else last
        raise OptionError(f"{target} does not end in {listed}; name a file that does with {option}")


def check_folder_target(folder: Path, overwrite: bool) -> None:
    """Refuse to replace a folder without ``overwrite``.

    The current folder, and folders with anything but unchanged pairs, are never replaced.

    Raises:
        FilmColorizerError: the folder may not be replaced.
    """
    check_folder(folder.parent)
    check_folder(followed(folder).parent)
    put_back(folder)
    is_empty = folder.is_dir() and not any(folder.iterdir())
    if not folder.exists() or (is_empty and folder.resolve() != Path.cwd()):
        return
    if not (folder / "pairs.json").is_file():
        raise FilmColorizerError(
            f"{folder} exists and is not a folder of pairs; name another folder with -o"
        )
    ours = {folder / "bw", folder / "color", folder / "pairs.json"}
    stills = {path for side in ("bw", "color") for path in (folder / side).glob("*.png")}
    others = sorted(set(folder.rglob("*")) - ours - stills)
    foreign = [path for path in others if not any(map(path.match, LEFT_BY_SYSTEMS))]
    if foreign or folder.resolve() == Path.cwd():
        reason = f"holds more than pairs ({foreign[0]})" if foreign else "is the current folder"
        raise FilmColorizerError(f"{folder} {reason}; name another folder with -o")
    if not overwrite:
        raise FilmColorizerError(
            f"{folder} exists already; name another folder with -o, or give --overwrite"
        )
    from filmcolorizer_cli.pairs import changed_stills

    changed = changed_stills(folder)
    if changed:
        raise FilmColorizerError(
            f"{changed[0]} was changed since it was extracted, for example painted by hand; name"
            f" another folder with -o, or delete {folder} if nothing in it is worth keeping"
        )


def check_training_targets(
    outputs: list[Path], checkpoint: Path, resume: bool, overwrite: bool
) -> None:
    """Refuse to overwrite trained weights, the files beside them, or an interrupted training.

    Args:
        outputs: the weights, then the files beside them.

    Raises:
        FilmColorizerError: one of them would be lost, or cannot be written.
        OptionError: the weights' file does not end in .safetensors.
    """
    check_ending(outputs[0], ".safetensors")
    check_folder(outputs[0].parent)
    check_folder(followed(outputs[0]).parent)
    for output in outputs:
        if output.is_dir():
            raise FilmColorizerError(f"{output} is a folder; name a file with -o")
    if resume or overwrite:
        return
    if checkpoint.exists():
        raise FilmColorizerError(
            f"an interrupted training is kept in {checkpoint}; continue with --resume, or start"
            " over with --overwrite"
        )
    for output in outputs:
        if output.exists():
            raise FilmColorizerError(
                f"{output} exists already; name another file with -o, or give --overwrite"
            )


def check_pictures(
    preview: Path | None,
    render: Path | None,
    sources: list[Path],
    overwrite: bool,
    output: Path | None,
) -> None:
    """Check the targets of --preview and --render before any work is done.

    Raises:
        FilmColorizerError: a target may not be written.
        OptionError: two targets collide, or the preview does not end in .png.
    """
    targets = [target.resolve() for target in (output, preview) if target is not None]
    if preview is not None:
        check_ending(preview, ".png", option="--preview")
        check_target(preview, sources, overwrite, "--preview")
    if render is not None:
        check_folder(render.parent, "--render")
        if render.exists() and not render.is_dir():
            raise FilmColorizerError(f"{render} is a file; name a folder with --render")
        targets += [target.resolve() for target in render_targets(render)]
        for target in render_targets(render) if render.is_dir() else ():
            check_target(target, sources, overwrite, "--render", "folder")
    for target in targets:
        if targets.count(target) > 1:
            raise OptionError(
                f"{target} would be written twice; name different files with -o, --preview and"
                " --render"
            )
        if target.parent in targets:
            raise OptionError(
                f"{target.parent} would be a file and a folder; name different ones with -o,"
                " --preview and --render"
            )


def check_report(folder: Path, overwrite: bool) -> None:
    """Check the target of --report before any work is done.

    Raises:
        FilmColorizerError: it may not be written.
    """
    check_folder(folder.parent, "--report")
    if folder.exists() and not folder.is_dir():
        raise FilmColorizerError(f"{folder} is a file; name a folder with --report")
    if folder.exists():
        check_target(folder / "index.html", [], overwrite, "--report", what="folder")
