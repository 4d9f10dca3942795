"""What `m2e tag` does to one file: `plan` the change, `write` it, `undo` it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from m2e.errors import AudioError, reason
from m2e.library.content import content_hash
from m2e.library.tagging.formats import AudioTags, open_tags
from m2e.library.tagging.journal import Entry, Journal
from m2e.library.tagging.mapping import Rule, tags_of
from m2e.library.tagging.replace import FileState, Replacement, file_state


class Change(NamedTuple):
    """One tag of a file, before and after; equal where the rule keeps it, or where nothing changes."""

    rule: Rule
    before: list[str]
    after: list[str]
    wanted: list[str]


@dataclass(frozen=True)
class Plan:
    """What would be written into a file.

    label: the kind of its tags, such as `ID3v2.4`.  state: of the file before its tags were read.
    """

    path: str
    label: str
    changes: list[Change]
    state: FileState
    _tags: AudioTags

    @property
    def changed(self) -> list[Change]:
        return [change for change in self.changes if change.before != change.after]


def plan(path: str, record: Mapping[str, Any], rules: Sequence[Rule]) -> Plan:
    """The change of a file's tags by the record of its track. Changes nothing.

    Raises AudioError if the tags cannot be read or written back, and for a record that is none.
    """
    wanted = tags_of(record, rules)
    try:
        state = file_state(path)
    except OSError as error:
        raise AudioError(f"{path}: cannot be read ({error.strerror or reason(error)}).") from error
    tags = open_tags(path, [rule for rule, _ in wanted])
    changes = []
    for rule, values in wanted:
        before = tags.read(rule)
        changes.append(Change(rule, before, _after(rule, before, values), values))
    return Plan(path, tags.label, changes, state, tags)


def _after(rule: Rule, before: list[str], wanted: list[str]) -> list[str]:
    if rule.existing == "keep" and before:
        return before
    if rule.existing == "add":
        known = {value.casefold() for value in before}
        return before + [value for value in wanted if value.casefold() not in known]
    return wanted


def write(planned: Plan, journal: Journal, keep_times: bool = False) -> None:
    """Writes a plan: the whole file is replaced at once, after it is in the journal.

    Raises AudioError if the file is left alone.
    """
    changes = planned.changed
    if not changes:
        return
    with Replacement(planned.path, planned.state) as new:
        for change in changes:
            planned._tags.write(change.rule, change.after)
        with open(new.path, "rb+") as copy:
            planned._tags.save(copy)
        _check(planned, new.path)
        before = {change.rule.tag: change.before for change in changes}
        after = {change.rule.tag: change.after for change in changes}
        journal.add(planned.path, new.earlier, new.content(), new.mtime_ns, before, after)
        new.commit(new.mtime_ns if keep_times else None)


def _check(planned: Plan, path: str) -> None:
    """Raises AudioError if a written file does not have its old audio and its new tags."""
    if content_hash(path) != content_hash(planned.path):
        raise AudioError(f"{planned.path}: its audio would change with its tags, so it is left alone.")
    try:
        written = open_tags(path, [change.rule for change in planned.changes])
    except AudioError as error:
        raise AudioError(str(error).replace(path, planned.path)) from error
    for rule, _, after, _ in planned.changes:
        if (found := written.read(rule)) != after:
            said = f"{'; '.join(found) or 'nothing'} instead of {'; '.join(after)}"
            raise AudioError(f"{planned.path}: {rule.tag} would become {said}, so it is left alone.")


def undo(path: str, journal: Journal, keep_times: bool = False) -> Entry | None:
    """Restores a file as it was before its last write, bit for bit.

    Returns the entry of this write; None if there is nothing to undo.
    keep_times: whether the file gets back the time of its last change, too.
    Raises AudioError for a file that is left alone, such as one that has changed since.
    """
    with Replacement(path) as new:
        entry = journal.last_write(path, new.earlier)
        if entry is None:
            _refuse_changed(path, new.earlier, journal)
            return None
        try:
            new.write(entry.restored(new.earlier))
        except ValueError as error:
            raise AudioError(f"{path}: the journal cannot restore it: {error}.") from error
        new.commit(entry.earlier_mtime_ns if keep_times else None)
    return entry


def _refuse_changed(path: str, content: bytes, journal: Journal) -> None:
    """Raises AudioError for a file that was written, and then changed by another program."""
    last = journal.last_write_to(path)
    if last is not None and not journal.is_earlier(path, content):
        values = ", ".join(f"{tag}: {'; '.join(values) or 'none'}" for tag, values in last.earlier_tags.items())
        raise AudioError(
            f"{path}: another program has changed it since m2e wrote its tags on {last.time[:10]}, so it is left alone;"
            f" the values before were {values}."
        )
