"""A folder of results is all of one command, and what is not a result stays in it."""

from __future__ import annotations

import fcntl
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from qnet.errors import EnvironmentMissing
from qnet.files import folder as folder_module
from qnet.files.folder import whole_folder
from qnet.files.write import remove_leftovers, write_text, writing

OWN = ("verdict.json", "run.json", "inputs/a.yaml", "tables/x.parquet")


def leave(target: Path, mark: str, *names: str) -> None:
    with whole_folder(target, OWN) as new:
        for name in names:
            (new / name).parent.mkdir(exist_ok=True)
            (new / name).write_text(mark)


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(params=["exchanged", "one by one", "stands in it"])
def target(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    out = tmp_path / "deep" / "out"
    if request.param == "one by one":

        def refuse(*_: Path) -> None:
            raise OSError(22, "Invalid argument")

        monkeypatch.setattr(folder_module, "_exchange", refuse)
    elif request.param == "stands in it":
        out.mkdir(parents=True)
        monkeypatch.chdir(out)
    yield out
    everything = [path.name for path in tmp_path.rglob(".*")]
    assert everything in ([], [".hidden"]), "nothing of ours is left"


def test_the_next_result_takes_the_place_of_all_of_the_last(target: Path) -> None:
    leave(target, "1", *OWN)
    assert content(target) == dict.fromkeys(sorted(OWN), "1")
    leave(target, "2", "verdict.json", "inputs/a.yaml")
    assert content(target) == {"inputs/a.yaml": "2", "verdict.json": "2"}
    assert not (target / "tables").exists()


def test_what_is_the_users_stays(target: Path) -> None:
    leave(target, "1", *OWN)
    (target / "notes.txt").write_text("mine")
    (target / ".hidden").write_text("mine")
    (target / "tables" / "mine.txt").write_text("mine")
    (target / "empty" / "inner").mkdir(parents=True)
    (target / "way").symlink_to("notes.txt")
    (target / "gone").symlink_to("nowhere")
    (target / "folder").symlink_to("tables")
    target.chmod(0o750)
    kept = (target / "notes.txt").stat().st_ino
    leave(target, "2", "verdict.json")
    assert content(target) == {
        "verdict.json": "2",
        "notes.txt": "mine",
        "way": "mine",
        ".hidden": "mine",
        "tables/mine.txt": "mine",
    }
    assert (target / "notes.txt").stat().st_ino == kept
    assert (target / "gone").readlink() == Path("nowhere")
    assert (target / "folder").is_symlink()
    assert (target / "empty" / "inner").is_dir()
    assert target.stat().st_mode & 0o777 == 0o750


def test_a_result_that_fails_leaves_the_old_one(target: Path) -> None:
    leave(target, "1", *OWN)
    for error in (OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError()):
        wanted = EnvironmentMissing if isinstance(error, OSError) else type(error)

        def fail(error: BaseException = error) -> None:
            with whole_folder(target, OWN) as new:
                (new / "verdict.json").write_text("2")
                raise error

        with pytest.raises(wanted):
            fail()
        assert content(target) == dict.fromkeys(sorted(OWN), "1")


def test_a_full_disk_leaves_the_old_result(target: Path) -> None:
    leave(target, "1", *OWN)
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, usual[1]))
    try:
        with pytest.raises(EnvironmentMissing, match="file too large"):
            leave(target, "2" * 2000, "verdict.json")
        with pytest.raises(EnvironmentMissing, match="file too large"):
            write_text(target / "verdict.json", "2" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert content(target) == dict.fromkeys(sorted(OWN), "1")


def test_what_comes_while_folders_change_places_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    leave(out, "1", *OWN)
    (out / "log").write_text("mine")
    exchange = folder_module._exchange

    def late(one: Path, other: Path) -> None:
        (out / "late.txt").write_text("mine")
        (out / "log").unlink()
        (out / "log").write_text("mine, again")
        exchange(one, other)

    monkeypatch.setattr(folder_module, "_exchange", late)
    leave(out, "2", "verdict.json")
    assert content(out) == {"verdict.json": "2", "late.txt": "mine", "log": "mine, again"}


def test_leftovers_of_the_killed_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    dead, folder = tmp_path / ".c.0123456789ab.qnet-part", tmp_path / ".c.ba9876543210.qnet-part"
    other, mine = tmp_path / ".d.0123456789ab.qnet-part", tmp_path / ".c.x1y2z3"
    for path in (dead, other, mine):
        path.touch()
    folder.mkdir()
    (folder / "verdict.json").touch()
    alive = os.open(tmp_path / ".c.aaaaaaaaaaaa.qnet-part", os.O_CREAT | os.O_WRONLY)
    fcntl.flock(alive, fcntl.LOCK_EX)
    write_text(tmp_path / "c", "new")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"c", other.name, mine.name, ".c.aaaaaaaaaaaa.qnet-part"}
    os.close(alive)
    assert len(remove_leftovers(tmp_path)) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"c", mine.name}


def test_rights_are_those_of_any_file_and_links_are_followed(tmp_path: Path) -> None:
    usual = os.umask(0o027)  # noqa: TID251
    try:
        write_text(tmp_path / "new", "1")
        leave(tmp_path / "out", "1", "verdict.json")
    finally:
        os.umask(usual)  # noqa: TID251
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o750
    (tmp_path / "new").chmod(0o600)
    (tmp_path / "way").symlink_to("new")
    write_text(tmp_path / "way", "2")
    assert (tmp_path / "way").is_symlink()
    assert (tmp_path / "new").read_text() == "2"
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600
    (tmp_path / "link").symlink_to("out")
    leave(tmp_path / "link", "2", "run.json")
    assert (tmp_path / "link").is_symlink()
    assert content(tmp_path / "out") == {"run.json": "2"}


def test_two_write_one_file_at_once(tmp_path: Path) -> None:
    with writing(tmp_path / "c") as one:
        one.write(b"one")
        with writing(tmp_path / "c") as other:
            other.write(b"other")
        assert (tmp_path / "c").read_text() == "other"
    assert (tmp_path / "c").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
