"""The messages between clients and bus: what they are, and how they become bytes and back. Pure.

Every message is one frame: a msgpack array that begins with its tag. Payloads are JSON text inside and stay so: the
bus never decodes them. Lists of events travel in one message both ways. Fields are only ever added at the end, with a
default (a minor version); anything else is a new major version, which the hello refuses.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from ..eventstore.event import Event, NewEvent

WIRE_MAJOR = 1
WIRE_MINOR = 6

#: Longest frame that the bus takes; libzmq drops a connection that sends a longer one.
FRAME_BYTES_MAX = 16 * 1024 * 1024
#: (bus incarnation, counter): which handing-out of an event is meant. Later ones compare greater.
Fence: TypeAlias = tuple[int, int]


class Message(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One frame, or a part of one."""


class Held(Message, frozen=True):
    """Names one delivery: the group's key (`queue_key` or `group_key`), the event's position, the fence."""

    key: str
    position: int
    fence: Fence


class Delivery(Message, frozen=True):
    """One event handed to one member of a group (or queue), until it is settled; `attempt` counts from 1."""

    event: Event
    group: str
    fence: Fence
    attempt: int
    queue: bool = False
    #: The stream that it opens to its holder is empty: there is nothing to read from it first.
    fresh: bool = False

    @property
    def key(self) -> str:
        """The key of its group."""
        return queue_key(self.group) if self.queue else group_key(self.group)

    @property
    def held(self) -> Held:
        """The name of this delivery on the wire."""
        return Held(self.key, self.event.position, self.fence)


def queue_key(name: str) -> str:
    """Return the key of a queue (events with `to`)."""
    return "q/" + name


def group_key(name: str) -> str:
    """Return the key of a group that is bound to a pattern."""
    return "g/" + name


# --- client to bus ----------------------------------------------------------------------------------------------


class Bind(Message, frozen=True, tag=1):
    """Become a member of the queue `name` (`pattern` is empty) or the group `name`; credit is how many at once.

    `ahead` is how many more may wait in the member's hands: only what was never handed out before, and it gives them
    back (`GiveBack`) where they would wait long or, with `recall`, where it is asked to (`Recall`). All that one
    client binds as `shared` goes by one credit together.
    """

    seq: int
    name: str
    pattern: str
    after: int
    credit: int
    ahead: int = 0
    shared: bool = False
    recall: bool = False


class Hello(Message, frozen=True, tag=2):
    """The first message of a client to a bus incarnation: who it is, and all that the bus must know of it again."""

    major: int
    minor: int
    instance: str
    role: str
    secret: str
    pid: int
    supervised: bool
    living: list[str] | None = None
    holds: list[Held] = []
    binds: list[Bind] = []


class Request(Message, frozen=True):
    """One atomic append within a Post; with `settle` it settles that delivery in the same transaction.

    `brief` asks for the last position only, not for the events. `withdraw` names events, by id, whose deliveries end.
    `patient` says that nobody waits for the answer: it may come along with the next message (a refusal never waits).
    """

    seq: int
    events: list[NewEvent]
    brief: bool = False
    expected: dict[str, int] = {}
    marks: dict[str, str | None] = {}
    withdraw: list[bytes] = []
    settle: Held | None = None
    patient: bool = False


class Post(Message, frozen=True, tag=3):
    """Appends, each judged and answered on its own, in this order."""

    requests: list[Request]


class Fail(Message, frozen=True, tag=4):
    """The handler failed: deliver again after a while (`retry_in_s`, or the bus's backoff where None), or park."""

    seq: int
    held: Held
    error: str
    retry_in_s: float | None = None


class Unbind(Message, frozen=True, tag=5):
    """Leave a group; what is held stays held until it is settled, but `unused` was never begun and goes to others."""

    seq: int
    key: str
    unused: list[Held] = []


class Freed(Message, frozen=True, tag=6):
    """The handler of a withdrawn delivery has returned."""

    held: Held


class Read(Message, frozen=True, tag=7):
    """Ask for one page of the log; see EventLog.read."""

    seq: int
    after: int = 0
    until: int | None = None
    limit: int = 1000
    stream: str | None = None
    pattern: str | None = None
    run: str | None = None
    to: str | None = None
    source: str | None = None
    reverse: bool = False


class Last(Message, frozen=True, tag=8):
    """Ask for the last position under a pattern (`*` for the head)."""

    seq: int
    pattern: str


class OpenWatch(Message, frozen=True, tag=9):
    """Ask where a watch begins: `name` is empty for an ephemeral one, `after` None for now or its stored position."""

    seq: int
    name: str
    pattern: str
    after: int | None


class Keep(Message, frozen=True, tag=10):
    """Store a durable watch's position, together with events (of a parking) if there are any."""

    seq: int
    name: str
    pattern: str
    position: int
    events: list[NewEvent] = []


class Stats(Message, frozen=True, tag=11):
    """Ask for the bus's counters."""

    seq: int


class Ping(Message, frozen=True, tag=12):
    """A sign of life. Without `answered` there is no Pong: to whom the head is nothing, it is but a waking up."""

    answered: bool = True


class Bye(Message, frozen=True, tag=13):
    """The client ends; what it holds goes to others at once."""


class Gone(Message, frozen=True, tag=14):
    """Supervisor: this instance's process has ended and been waited for (`pid` 0: whichever it was)."""

    seq: int
    instance: str
    pid: int = 0


class Started(Message, frozen=True, tag=15):
    """Supervisor: this instance is its child from now on, and is never taken for dead without its `Gone`."""

    seq: int
    instance: str


class GiveBack(Message, frozen=True, tag=16):
    """These deliveries were never begun, and never will be here: they go to others, and no attempt is counted.

    None of them, where what was asked for (`Recall`) has been begun.
    """

    seq: int
    unused: list[Held]


# --- bus to client ----------------------------------------------------------------------------------------------


class Who(Message, frozen=True, tag=30):
    """The bus does not know the sender: say hello (again). `nonce` is new for each start of the bus."""

    nonce: bytes


class Welcome(Message, frozen=True, tag=31):
    """The hello was taken."""

    nonce: bytes
    incarnation: int
    head: int
    lease_s: float
    minor: int


class Refusal(Message, frozen=True, tag=32):
    """A request (or, with seq 0, the hello) was refused, with the error's code and facts."""

    seq: int
    code: str
    facts: dict[str, Any]


class Ack(Message, frozen=True):
    """One request is durable: its events (none where it was brief) and the last of their positions."""

    seq: int
    last: int
    events: list[Event] = []


class Acks(Message, frozen=True, tag=33):
    """Answers to requests, sent after the sync that covers them; deliveries that follow from them travel along."""

    acks: list[Ack]
    deliveries: list[Delivery] = []


class Page(Message, frozen=True, tag=34):
    """A page of the log; `more` tells that another may follow after its last event."""

    seq: int
    events: list[Event]
    more: bool


class Answer(Message, frozen=True, tag=35):
    """Any other answer."""

    seq: int
    value: Any = None


class Deliver(Message, frozen=True, tag=36):
    """Deliveries for this member."""

    deliveries: list[Delivery]


class Withdrawn(Message, frozen=True, tag=37):
    """This delivery is no longer the member's; `Freed` is due when its handler has returned."""

    held: Held


class Recall(Message, frozen=True, tag=41):
    """Another member is idle: give this delivery back, unless its handler has begun."""

    held: Held


class Pong(Message, frozen=True, tag=38):
    """Answer to a Ping, with the log's head."""

    head: int


class Kill(Message, frozen=True, tag=39):
    """To the supervisor: kill this instance's process group, then say Gone."""

    instance: str
    pid: int
    reason: str


class Present(Message, frozen=True, tag=40):
    """To the supervisor: these instances have said hello, their first sign of life."""

    instances: list[str]


ClientMessage: TypeAlias = (
    Hello | Post | Fail | Bind | Unbind | Freed | Read | Last | OpenWatch | Keep | Stats | Ping | Bye | Gone | Started |
    GiveBack
)  # fmt: skip
BusMessage: TypeAlias = (
    Who | Welcome | Refusal | Acks | Page | Answer | Deliver | Withdrawn | Recall | Pong | Kill | Present
)  # fmt: skip

encode = msgspec.msgpack.Encoder().encode
decode_client_message = msgspec.msgpack.Decoder(ClientMessage).decode
decode_bus_message = msgspec.msgpack.Decoder(BusMessage).decode
#: What decoding raises for anything that isn't a message.
WireError = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def refusal(seq: int, error: Any) -> Refusal:
    """Return an error as the answer to a request."""
    return Refusal(seq, error.code, error.facts())
