"""The table of an encoder's fidelity to its teachers on its model card."""

from m2e.errors import PublishError

FIDELITY = "fidelity.json"  # source of clips, "all" = together -> teacher -> mean correlation


def fidelity_section(fidelity: dict[str, dict[str, float]]) -> str:
    """A Markdown table: a row for each source of clips, a column for each teacher. Raises PublishError."""
    if not fidelity:
        return "Not measured."
    try:
        teachers = list(fidelity["all"])
        rows = [
            [source, *(f"{scores[name]:.2f}" if name in scores else "" for name in teachers)]
            for source, scores in sorted(fidelity.items(), key=lambda item: (item[0] != "all", item[0]))
        ]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise PublishError(f"{FIDELITY} does not hold a fidelity to each teacher: train again.") from error
    lines = [["clips", *teachers], ["---"] * (len(teachers) + 1), *rows]
    return (
        "Fidelity: the correlation with a teacher's embedding, averaged over its dimensions, on whole clips of artists "
        "that training left out.\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines)
    )
