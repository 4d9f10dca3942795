"""What `m2e tag` does to one file: `plan` the change, `write` it, `undo` it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from m2e.errors import AudioError, reason
from m2e.library.content import content_hash
from m2e.library.tagging.formats import AudioTags, open_tags
from m2e.library.tagging.journal import Journal
from m2e.library.tagging.mapping import Change, Rule, tags_of
from m2e.library.tagging.replace import FileState, Replacement, file_state


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
    state, tags = _opened(path, [rule for rule, _ in wanted])
    changes = []
    for rule, values in wanted:
        before = tags.read(rule)
        changes.append(Change(rule, before, _after(rule, before, values), values))
    return Plan(path, tags.label, changes, state, tags)


def _opened(path: str, rules: Sequence[Rule]) -> tuple[FileState, AudioTags]:
    """The tags of a file, and its state before they were read. Raises AudioError."""
    try:
        state = file_state(path)
    except OSError as error:
        raise AudioError(f"{path}: cannot be read ({error.strerror or reason(error)}).") from error
    return state, open_tags(path, rules)


def _after(rule: Rule, before: list[str], wanted: list[str]) -> list[str]:
    if rule.existing == "keep" and before:
        return before
    if rule.existing == "add":
        known = {value.casefold() for value in before}
        return before + [value for value in wanted if value.casefold() not in known]
    return wanted


def write(planned: Plan, journal: Journal, keep_times: bool = False, is_undo: bool = False) -> None:
    """Writes a plan: the whole file is replaced at once, after it is in the journal.

    is_undo: whether the journal should say that this undoes an earlier write.
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
        journal.add(planned.path, new.earlier, new.content(), new.mtime_ns, changes, is_undo)
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


class Undone(NamedTuple):
    """What `undo` did.

    time: of the write that is undone.  whole: whether the file is as it was before, bit for bit.
    tags: the names of the tags that have their earlier values again.
    """

    time: str
    whole: bool
    tags: list[str]


def undo(path: str, journal: Journal, keep_times: bool = False) -> Undone | None:
    """Restores a file as it was before its last write, bit for bit; None if there is nothing to undo.

    If another program has changed the file since, only the tags that still have the values of `write` get back those of
    before; everything else stays.
    keep_times: whether the file also gets back the time of its last change, or keeps it.
    Raises AudioError for a file that is left alone.
    """
    with Replacement(path) as new:
        entry = journal.last_write(path, new.earlier)
        if entry is not None and not entry.is_undo:
            try:
                new.write(entry.restored(new.earlier))
            except ValueError as error:
                raise AudioError(f"{path}: the journal cannot restore it: {error}.") from error
            new.commit(entry.earlier_mtime_ns if keep_times else None)
            return Undone(entry.time, True, [change.rule.tag for change in entry.changes])
        if entry is not None or journal.is_earlier(path, new.earlier):
            return None
    return _undo_values(path, journal, keep_times)


def _undo_values(path: str, journal: Journal, keep_times: bool) -> Undone | None:
    history = [entry for entry in journal.writes_to(path) if not entry.is_undo]
    rules = {change.rule.tag: change.rule for entry in history for change in entry.changes}
    if not rules:
        return None
    state, tags = _opened(path, list(rules.values()))
    now = {tag: tags.read(rule) for tag, rule in rules.items()}
    values = dict(now)
    for entry in history:  # from the last write to the first
        for change in entry.changes:
            if values[change.rule.tag] == change.after:
                values[change.rule.tag] = change.before
    changes = [Change(rule, now[tag], values[tag], values[tag]) for tag, rule in rules.items()]
    planned = Plan(path, tags.label, changes, state, tags)
    if not planned.changed:
        return None
    write(planned, journal, keep_times, is_undo=True)
    return Undone(history[0].time, False, [change.rule.tag for change in planned.changed])
