"""Files of a raw folder and of archives in it; archives of strangers stay closed and bounded."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import pytest

from skelray.platform import raw
from skelray.platform.errors import DataError
from skelray.platform.raw import RawItem, discover_files


def refusal(stem: str) -> str | None:
    return None if stem.startswith("good") else "the name is not good"


def archive(path: Path, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def test_folders_and_archives_give_the_same_list(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b/good2.txt").write_text("two")
    (tmp_path / "notes.md").touch()
    packed = archive(
        tmp_path / "a.zip", {"in/": "", "in/good3.TXT": "three", "good1.txt": "one", "no.md": ""}
    )
    archive(tmp_path / "z.zip", {"good2.txt": "again", "bad.txt": "?"})
    found = discover_files(tmp_path, ".txt", refusal)
    assert [(item.id, item.read_bytes()) for item in found.items] == [
        ("good1", b"one"),
        ("good2", b"two"),
        ("good3", b"three"),
    ]
    assert [item.where for item in found.items] == [
        f"{packed}: good1.txt",
        f"{tmp_path}/b/good2.txt",
        f"{packed}: in/good3.TXT",
    ]
    assert found.skipped == {
        "z.zip: bad.txt": "the name is not good",
        "z.zip: good2.txt": f"the same recording as {tmp_path}/b/good2.txt",
    }
    alone = discover_files(packed, ".txt", refusal)
    assert [item.id for item in alone.items] == ["good1", "good3"]


def test_several_endings_at_once(tmp_path: Path) -> None:
    for name in ("good1.txt", "good2.CSV", "good3.md"):
        (tmp_path / name).write_text(name)
    archive(tmp_path / "a.zip", {"good4.csv": "four", "good5.zip": "an archive in an archive"})
    found = discover_files(tmp_path, (".txt", ".csv"), refusal)
    assert [item.id for item in found.items] == ["good1", "good2", "good4"]
    assert not found.skipped


def test_the_stamp_changes_with_the_content(tmp_path: Path) -> None:
    def stamps() -> list[str]:
        return [item.stamp for item in discover_files(tmp_path, ".txt", refusal).items]

    file = tmp_path / "good1.txt"
    file.write_text("one")
    archive(tmp_path / "a.zip", {"good2.txt": "two"})
    before = stamps()
    assert stamps() == before
    file.write_text("another")
    archive(tmp_path / "a.zip", {"good2.txt": "owt"})
    after = stamps()
    assert before[0] != after[0] and before[1] != after[1]


def test_members_that_would_leave_the_archive_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for name in ("../good1.txt", "/etc/good2.txt", "in/../../good3.txt", "..\\good4.txt"):
            info = zipfile.ZipInfo("x")
            info.filename = name
            file.writestr(info, "out")
        link = zipfile.ZipInfo("good5.txt")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/passwd")
        file.writestr("good6.txt", "fine")
    found = discover_files(tmp_path, ".txt", refusal)
    assert [item.id for item in found.items] == ["good6"]
    assert sorted(found.skipped.values()) == [
        "a symbolic link inside the archive",
        *["its name leads out of the archive"] * 4,
    ]
    assert [file.name for file in tmp_path.iterdir()] == ["a.zip"]


def test_a_member_without_a_name_is_no_recording(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        nameless = zipfile.ZipInfo("x")
        nameless.filename = "\0good1.txt"  # zipfile ends a name at a zero
        file.writestr(nameless, "one")
        file.writestr("good2.txt", "two")
    found = discover_files(tmp_path, ".txt", refusal)
    assert [item.id for item in found.items] == ["good2"] and not found.skipped


def test_an_archive_that_is_none_is_listed(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 not an archive")
    whole = archive(tmp_path / "b.zip", {"good1.txt": "one" * 1000}).read_bytes()
    (tmp_path / "b.zip").write_bytes(whole[:-30])
    found = discover_files(tmp_path, ".txt", refusal)
    assert not found.items
    assert sorted(found.skipped) == ["a.zip", "b.zip"]
    assert all("not a readable zip archive" in reason for reason in found.skipped.values())


def test_a_garbled_member_is_named(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", {"good1.txt": "one two three " * 50})
    content = bytearray(path.read_bytes())
    content[45] ^= 0xFF
    path.write_bytes(content)
    (item,) = discover_files(tmp_path, ".txt", refusal).items
    with pytest.raises(DataError, match=r"a\.zip: good1\.txt: cannot be read"):
        item.read_bytes()


def test_a_bomb_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw, "LARGEST", 1000)
    archive(tmp_path / "a.zip", {"good1.txt": "0" * 1001, "good2.txt": "0" * 1000})
    (tmp_path / "good3.txt").write_text("0" * 1001)
    bomb, fits, large = discover_files(tmp_path, ".txt", refusal).items
    assert len(fits.read_bytes()) == 1000
    for item in (bomb, large):
        with pytest.raises(DataError, match="larger than 1000 bytes, so not one recording"):
            item.read_bytes()


def test_links_are_followed_once_and_broken_ones_listed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "good1.txt").write_text("one")
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "linked").symlink_to(elsewhere)
    (folder / "again").symlink_to(elsewhere)
    (folder / "round").symlink_to(folder)
    (folder / "good2.txt").symlink_to(elsewhere / "good1.txt")
    (folder / "good3.txt").symlink_to("nowhere")
    (folder / "good4.txt").symlink_to("good4.txt")
    (folder / "good5.txt").symlink_to("/dev/zero")
    os.mkfifo(folder / "good6.txt")
    found = discover_files(folder, ".txt", refusal)
    assert [(item.id, item.read_bytes()) for item in found.items] == [
        ("good1", b"one"),
        ("good2", b"one"),
    ]
    assert sorted(found.skipped) == [f"good{number}.txt" for number in (3, 4, 5, 6)]
    assert found.skipped["good5.txt"] == "not a regular file"


def test_names_and_reasons_fit_into_one_line(tmp_path: Path) -> None:
    packed = archive(tmp_path / "a.zip", {"good1\n.txt": "one", "bad\n.txt": "two"})
    garbled = packed.read_bytes().replace(b"good1\n.txt", b"gone1\n.txt", 1)
    packed.write_bytes(garbled)
    found = discover_files(tmp_path, ".txt", refusal)
    assert found.skipped == {"a.zip: bad\\n.txt": "the name is not good"}
    with pytest.raises(DataError, match=r"a\.zip: good1\\n\.txt: cannot be read") as caught:
        found.items[0].read_bytes()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < len(str(tmp_path)) + 300


def test_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    packed = archive(tmp_path / "a.zip", {"good\xe9.txt": "one"})  # its name is marked as UTF-8
    whole = packed.read_bytes()
    name = "good\xe9.txt".encode()
    listed_wrong = whole[::-1].replace(name[::-1], name[::-1].replace(b"\xc3", b"\xff"), 1)[::-1]
    packed.write_bytes(whole.replace(name, name.replace(b"\xc3", b"\xff"), 1))
    (item,) = discover_files(tmp_path, ".txt", refusal).items
    with pytest.raises(DataError, match=r"a\.zip: goodé\.txt: cannot be read"):
        item.read_bytes()
    packed.write_bytes(listed_wrong)
    found = discover_files(tmp_path, ".txt", refusal)
    assert not found.items and "not a readable zip archive" in found.skipped["a.zip"]


def test_what_is_gone_is_named(tmp_path: Path) -> None:
    packed = archive(tmp_path / "a.zip", {"good1.txt": "one"})
    for item in (
        RawItem("good1", str(tmp_path / "good1.txt")),
        RawItem("good1", "/dev/zero"),
        RawItem("good9", str(packed), member="good9.txt"),
        RawItem("good9", str(tmp_path / "b.zip"), member="good9.txt"),
    ):
        with pytest.raises(DataError, match=r"cannot be read|not a regular file|no such member"):
            item.read_bytes()
