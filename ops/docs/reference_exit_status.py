"""The page of the exit statuses and signals: what the help texts say, and what the code does besides."""

import re
from collections.abc import Iterator, Sequence

from reference_cli import PROGRAM, commands, parameters
from reference_markdown import code, document, marked, paragraph, section, sentences, table

_STATUS = re.compile(r"\bexit status\b", re.IGNORECASE)
_ACCEPTED = (
    "Exit status 1 if a loss was not accepted, or if the confirmation was refused: nothing was changed."
)
_BESIDES_HELP = {  # what no help text says
    "demo": "Exit status 1 if a blob was not counted exactly once.",
    "worker": "Exit status 0 after SIGTERM or Ctrl-C; 1 if the worker cannot continue.",
    "broker": "Exit status 0 after SIGTERM or Ctrl-C; 1 if the broker, or most nodes, ended unexpectedly.",
    "produce": "Exit status 1 if a blob was not delivered.",
    "offsets resume": _ACCEPTED,
    "offsets skip": _ACCEPTED,
    "serve": "Exit status 0 after SIGTERM or Ctrl-C; 1 if the topics can no longer be followed.",
    "start-over": "Exit status 1 if an outcome or a total of the new group is wrong.",
}
_SECOND_SIGNAL = (
    "The worker finishes the open transaction, leaves the group and closes the stores. A second signal stops "
    "it immediately, with 143 (SIGTERM) or 130 (Ctrl-C); the open transaction is then committed as a whole, "
    "or aborted and processed again by the next worker."
)
_HANDLED = (
    # commands, status after SIGTERM, after Ctrl-C, what happens
    (("worker",), "0", "0", _SECOND_SIGNAL),
    (("serve",), "0", "0", "The open requests are finished, within a time limit."),
    (("broker",), "0", "0", "All nodes are stopped."),
    (("verify --follow",), "0 or 1", "0 or 1", "The current audit is finished, and the verdict is printed."),
    (("demo --keep",), "0", "0", "The broker and the worker are stopped. Before the verdict: as `demo`."),
    (("start-over --keep",), "143", "0", "Ctrl-C stops the worker, once the input has been counted."),
    (("results --follow", "dead-letters list --follow", "dead-letters summary --watch", "top"),
     "143", "0", ""),
    (("demo", "chaos", "bench", "benchmark", "compare-benchmarks", "simulate"), "130", "130",
     "All processes that the command started are stopped."),
    (("produce",), "130", "130", "The command waits a short time for deliveries, and prints a summary."),
    (("dead-letters replay", "dead-letters import"), "130", "130",
     "The open transaction is aborted. Run the command again: it continues where it stopped."),
    ((), "143", "130", ""),
)  # fmt: skip
_STATUSES = (
    ("0", "Success. Also if the reader of the output ends first, as `head` does."),
    ("1", "An error, a difference, or a check that failed. A full disk is an error as well."),
    ("2", "Wrong settings or usage; nothing was started."),
    ("130", "Ctrl-C (SIGINT) ended the command."),
    ("143", "SIGTERM ended the command; for a worker, the second SIGTERM did."),
)


def page() -> str:
    return document(
        "Exit status",
        f"What the exit status of `{PROGRAM}` means, and what signals do.",
        table(["status", "meaning"], _STATUSES),
        paragraph("An error is a message on standard error that says what happened, and after `fix:` which "
                  "command or setting fixes it."),
        section("By command",
                paragraph("The statuses above apply to every command. For these commands, some of them have "
                          "a particular meaning:"),
                table(["command", "meaning"], _rows())),
        section("Signals",
                paragraph("Ctrl-C sends SIGINT. The table shows the exit status after each signal, as a "
                          "shell reports it. A command that is not named is ended by either signal."),
                table(["command", "SIGTERM", "Ctrl-C", "what happens"], _signal_rows())),
        section("Under a supervisor", _supervisor()),
    )  # fmt: skip


def _rows() -> Iterator[Sequence[str]]:
    known = set()
    for path, command in commands():
        known.add(path)
        meaning = [sentence for sentence in sentences(command.help or "") if _STATUS.search(sentence)]
        if path in _BESIDES_HELP:
            meaning.append(_BESIDES_HELP[path])
        if meaning:
            yield code(path), marked(" ".join(meaning))
        for parameter in parameters(command):
            if _STATUS.search(parameter.help or ""):
                yield code(f"{path} {parameter.opts[0]}"), marked(parameter.help or "")
    if unknown := set(_BESIDES_HELP) - known:
        raise ValueError(f"no such command: {', '.join(sorted(unknown))}")


def _signal_rows() -> Iterator[Sequence[str]]:
    for names, on_sigterm, on_sigint, what in _HANDLED:
        shown = ", ".join(map(code, names)) or "any other command"
        yield shown, on_sigterm, on_sigint, what


def _supervisor() -> str:
    return paragraph(
        "`worker --processes N` runs a supervisor. It passes SIGTERM and Ctrl-C on to its processes, and "
        "waits until they have finished their transactions. It restarts a process that dies, unless a "
        "restart would not help: then the other processes continue with its partitions. Wrong settings, and "
        "a refusal that concerns all processes, stop all of them. When the last process has ended, the "
        "command ends with 2 for wrong settings, and otherwise with 1. If the supervisor is killed, its "
        "processes end as well."
    )
