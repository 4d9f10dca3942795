"""The change of a file's tags as a diff."""

from types import SimpleNamespace

from m2e.library.tagging.mapping import Change, Rule
from m2e.views.tags import TagDiff


def plan(*changes, path="a/song.mp3"):
    made = [Change(Rule(tag, "moods"), *values) for tag, *values in changes]
    return SimpleNamespace(path=path, label="ID3v2.4", changes=made, changed=[c for c in made if c.before != c.after])


NEW = ("MOOD", [], ["calm", "happy"], ["calm", "happy"])
SAME = ("VALENCE", ["5.31"], ["5.31"], ["5.31"])
KEPT = ("INITIALKEY", ["8A"], ["8A"], ["Am"])


def test_a_block_of_a_file():
    text = TagDiff().add(plan(NEW, SAME, KEPT, ("AROUSAL", ["2.00"], ["3.00"], ["3.00"])))
    assert text.splitlines() == [
        "a/song.mp3 (ID3v2.4)",
        "  + MOOD        calm; happy",
        "    INITIALKEY  8A  (kept; predicted: Am)",
        "  - AROUSAL     2.00",
        "  + AROUSAL     3.00",
    ]


def test_a_file_without_changes_has_no_block():
    assert TagDiff().add(plan(SAME, KEPT)) == ""


def test_control_characters_and_colors():
    text = TagDiff(color=True).add(plan(("MOOD", ["\x1b[2J\n" + "x" * 300], ["[bold]"], ["[bold]"]), path="a\nb"))
    assert "\x1b[2J" not in text and text.count("\n") == 3 and "x" * 300 in text
    assert "\x1b[32m  + MOOD  [bold]\x1b[0m" in text and "a\ufffdb (ID3v2.4)" in text
