"""The errors of the bus (E2xx), and how an error of any package travels to the client that caused it.

An error crosses the wire as its code and facts; `rebuild` makes an equal error of them on the other side. A code that
this process has never imported becomes `RemoteError`, so nothing is ever lost in translation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..eventstore.errors import TwelvefoldError, error_classes


@dataclass(eq=False)
class BusNotRunning(TwelvefoldError):
    """Nothing answers at the bus's socket: the bus is not running, or it runs for another home.

    Clients wait for a bus that is being restarted; this error comes when the wait is over.
    """

    code = "E201"
    exit_code = 5
    endpoint: str
    waited_s: float

    def message(self) -> str:
        """Name the socket and how long was waited."""
        waited = f" within {self.waited_s:g} s" if self.waited_s else ""
        return f"no bus answers at {self.endpoint}{waited}"

    def help(self) -> str:
        """Name the command that starts one."""
        return "start one with `twelvefold up`, or see what runs with `twelvefold ps`"


@dataclass(eq=False)
class BusTimeout(TwelvefoldError):
    """The bus is there, but did not answer in time; whether the request was carried out is not known.

    Sending it again with the same event ids is safe: what was appended before is recognised and not doubled.
    """

    code = "E202"
    exit_code = 124
    what: str
    waited_s: float

    def message(self) -> str:
        """Name the request and the wait."""
        return f"the bus did not answer `{self.what}` within {self.waited_s:g} s; it may still be carried out"

    def help(self) -> str:
        """Name the command that shows what the bus is doing."""
        return "see how busy the bus is with `twelvefold ps`; sending again with the same event ids is safe"


@dataclass(eq=False)
class WireMismatch(TwelvefoldError):
    """Client and bus speak different major versions of the wire protocol; they are from different releases."""

    code = "E203"
    exit_code = 4
    client: str
    bus: str

    def message(self) -> str:
        """Name both versions."""
        return f"this client speaks wire version {self.client}, the running bus speaks {self.bus}"

    def help(self) -> str:
        """Say how to bring both to one release."""
        return "stop what runs with `twelvefold down` and start it again with this release: `twelvefold up`"


@dataclass(eq=False)
class RoleRefused(TwelvefoldError):
    """A client asked for the role of orchestrator or supervisor without this start's secret.

    The bus writes a fresh secret for each of the two into `<home>/keys` at every start, readable by its user alone.
    """

    code = "E204"
    exit_code = 4
    role: str
    reason: str

    def message(self) -> str:
        """Name the role and why it was refused."""
        return f"the bus refused the role {self.role}: {self.reason}"

    def help(self) -> str:
        """Say who starts these processes."""
        return "orchestrator and supervisor belong to one `twelvefold up`; stop the other one with `twelvefold down`"


@dataclass(eq=False)
class ReservedFamily(TwelvefoldError):
    """An event type, stream or mark belongs to a writer that the sender is not.

    `run.*`, `timer.*` and the decided `task.*` are the orchestrator's, `process.*` the supervisor's, `delivery.*` the
    bus's; `task.*`, `effect.*`, `workspace.*` and `human.requested` go only into the stream of a task that the sender
    holds; requests about a run go into `request.<run>`. All other families are free.
    """

    code = "E205"
    exit_code = 4
    type: str
    stream: str
    role: str
    reason: str

    def message(self) -> str:
        """Name the event, the sender's role and the rule."""
        return f"a client in the role of {self.role} may not write {self.type} into {self.stream}: {self.reason}"

    def help(self) -> str:
        """Say what to do instead."""
        return "use a type and stream of another family, for example `twelvefold emit demo.happened --stream demo.1`"


@dataclass(eq=False)
class GroupConflict(TwelvefoldError):
    """A group is bound to one pattern and one start for ever; somebody asked for another.

    Take another group name for another pattern.
    """

    code = "E206"
    exit_code = 4
    group: str
    bound: str
    asked: str

    def message(self) -> str:
        """Name the group and both bindings."""
        return f"group {self.group} is bound to {self.bound}, not to {self.asked}"


@dataclass(eq=False)
class StaleDelivery(TwelvefoldError):
    """A delivery is no longer the sender's: it was withdrawn, or its holder was taken for dead and it moved on.

    Nothing of the refused settle was appended. Stop working on it; whoever holds it now reports the outcome.
    """

    code = "E207"
    exit_code = 4
    group: str
    position: int

    def message(self) -> str:
        """Name the delivery."""
        return f"the delivery of event {self.position} in {self.group} is no longer held by this client"


@dataclass(eq=False)
class EndpointTooLong(TwelvefoldError):
    """The path of a socket would be longer than the 107 bytes that the operating system allows."""

    code = "E208"
    exit_code = 2
    path: str
    length: int

    def message(self) -> str:
        """Name the path and its length."""
        return f"the socket path {self.path} is {self.length} bytes long; the operating system allows 107"

    def help(self) -> str:
        """Say how to choose a shorter folder."""
        return "choose a shorter folder for sockets: `TWELVEFOLD_RUNTIME_DIR=/tmp/tf twelvefold up`"


@dataclass(eq=False)
class EndpointUnsafe(TwelvefoldError):
    """The folder for the bus's sockets cannot be made, belongs to somebody else, or is open to others.

    Whoever can reach the sockets can act as an agent, so the folder must be the user's own, with mode 0700.
    """

    code = "E209"
    exit_code = 4
    path: str
    reason: str

    def message(self) -> str:
        """Name the folder and what is wrong with it."""
        return f"the socket folder {self.path} is not safe to use: {self.reason}"

    def help(self) -> str:
        """Say how to choose another folder."""
        return 'choose another folder for sockets: `TWELVEFOLD_RUNTIME_DIR="$HOME/.cache/tf" twelvefold up`'


@dataclass(eq=False)
class BatchTooLarge(TwelvefoldError):
    """One atomic append is larger than one message on the bus may be; put large content into a blob."""

    code = "E210"
    exit_code = 2
    bytes: int
    bytes_max: int

    def message(self) -> str:
        """Name both sizes."""
        return f"an append of {self.bytes} bytes is more than the bus takes in one message ({self.bytes_max})"


@dataclass(eq=False)
class ClientClosed(TwelvefoldError):
    """The client was closed while something still waited on it, or was used after its end.

    A client does not survive a fork: in the child process it counts as closed. Connect anew there.
    """

    code = "E211"
    exit_code = 1

    def message(self) -> str:
        """Say so."""
        return "this bus client has been closed, or was made by the process that this one was forked from"


@dataclass(eq=False)
class WatchConflict(TwelvefoldError):
    """A durable watch has its name for one pattern; somebody asked for the same name with another pattern."""

    code = "E212"
    exit_code = 4
    watch: str
    bound: str
    asked: str

    def message(self) -> str:
        """Name the watch and both patterns."""
        return f"the durable watch {self.watch} follows {self.bound}, not {self.asked}"


@dataclass(eq=False)
class BadRequest(TwelvefoldError):
    """A request makes no sense to the bus: a malformed name or pattern, or something only another role may ask."""

    code = "E213"
    exit_code = 2
    reason: str

    def message(self) -> str:
        """Say what is wrong."""
        return f"the bus cannot do that: {self.reason}"


@dataclass(eq=False)
class KeysUnusable(TwelvefoldError):
    """The bus cannot write the secrets of this start into `<home>/keys`, a folder that it makes itself."""

    code = "E215"
    exit_code = 1
    path: str
    reason: str

    def message(self) -> str:
        """Name the folder and what is wrong with it."""
        return f"the bus cannot keep its secrets in {self.path}: {self.reason}"

    def help(self) -> str:
        """Say how to have it made anew."""
        return f"move away what lies there, the bus makes it anew: mv {self.path} {self.path}.old"


@dataclass(eq=False)
class RemoteError(TwelvefoldError):
    """The bus refused a request with an error that this process does not know; its code and facts are kept."""

    code = "E214"
    exit_code = 1
    remote: str
    details: dict[str, Any]

    def message(self) -> str:
        """Show what the bus said."""
        return f"the bus answered error {self.remote}: {self.details}"


def rebuild(code: str, facts: dict[str, Any]) -> TwelvefoldError:
    """Make the error that was sent as (code, facts)."""
    cls = error_classes().get(code)
    if cls is None:
        return RemoteError(code, facts)
    try:
        return cls(**facts)
    except TypeError:
        return RemoteError(code, facts)
