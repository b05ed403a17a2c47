"""What one client holds: its memberships, the deliveries in its hands, and those withdrawn from it. Without I/O.

Invariant: every delivery received and not yet ended is named in each hello, withdrawn ones at work too, so that a
restarted bus neither hands it to another nor waits for it in vain.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from ..eventstore.errors import UpcastFailed
from .errors import StaleDelivery
from .ticket import Ticket
from .wire import Acks, Bind, Deliver, Delivery, Fail, Fence, Freed, GiveBack, Held, Recall, Unbind, Withdrawn

if TYPE_CHECKING:
    from .machine import Machine


class Holding:
    """The deliveries of one machine; `deliveries` and `withdrawn` are for the face to take."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.deliveries: deque[Delivery] = deque()
        self.withdrawn: deque[Delivery] = deque()
        self.binds: dict[str, Bind] = {}
        self._held: dict[tuple[str, int], Delivery] = {}
        self._consumers: Counter[str] = Counter()
        self._stopping: set[tuple[str, int, Fence]] = set()

    @property
    def named(self) -> list[Held]:
        """Every delivery in our hands, also one that was withdrawn and whose handler has not returned."""
        return [*(delivery.held for delivery in self._held.values()), *(Held(*name) for name in self._stopping)]

    def bind(
        self,
        name: str,
        pattern: str,
        after: int,
        credit: int,
        ahead: int = 0,
        *,
        shared: bool = False,
        recall: bool = False,
    ) -> Ticket:
        """Become a member of a group (of the queue `name` where `pattern` is empty), also after reconnecting."""

        def bound(ticket: Ticket) -> None:
            if ticket.error is None and ticket.given_up and not self._consumers[ticket.value]:
                self.leave(ticket.value)
            elif ticket.error is None:
                self.binds[ticket.value] = Bind(0, name, pattern, after, credit, ahead, shared, recall)

        return self._machine.call(lambda seq: Bind(seq, name, pattern, after, credit, ahead, shared, recall), bound)

    def leave(self, key: str) -> Ticket:
        """Leave a group, also after reconnecting; what came but was never taken goes to other members."""
        self.binds.pop(key, None)
        unused = [delivery.held for delivery in self.deliveries if delivery.key == key]
        if unused:
            self.deliveries = deque(delivery for delivery in self.deliveries if delivery.key != key)
            for held in unused:
                del self._held[held.key, held.position]
        return self._machine.call(lambda seq: Unbind(seq, key, unused))

    def look_ahead(self, key: str, ahead: int, *, recall: bool) -> None:
        """Look so far ahead in a group, also after reconnecting, if we are a member of it."""
        bind = self.binds.get(key)
        if bind is not None:
            wish = self.binds[key] = msgspec.structs.replace(bind, ahead=ahead, recall=recall)
            # Its answer binds nobody: we may have left by then.
            self._machine.call(lambda seq: msgspec.structs.replace(wish, seq=seq))

    def give_back(self, keep: int = 0) -> None:
        """Give the deliveries that were not taken yet, but for the first `keep`, to other members."""
        unused = []
        while len(self.deliveries) > keep:
            unused.append(self.deliveries.pop().held)
        if unused:
            self._give_back(unused)

    def recall(self, message: Recall) -> None:
        """Give a delivery back, as somebody else could begin with it at once; say so too where it was begun."""
        held = message.held
        delivery = self._held.get((held.key, held.position))
        if delivery is not None and delivery.fence == held.fence and delivery in self.deliveries:
            self.deliveries.remove(delivery)
            self._give_back([held])
        else:
            self._give_back([])

    def _give_back(self, unused: list[Held]) -> None:
        for held in unused:
            del self._held[held.key, held.position]
        self._machine.call(lambda seq: GiveBack(seq, unused))

    def begin_consuming(self, key: str) -> None:
        """Note one more consumer of a group, before it binds: one that ends meanwhile is not the last."""
        self._consumers[key] += 1

    def end_consuming(self, key: str) -> None:
        """Note that a consumer has ended; the last one leaves the group."""
        self._consumers[key] -= 1
        if not self._consumers[key]:
            del self._consumers[key]
            self.leave(key)

    def has_delivery(self, key: str) -> bool:
        """Tell whether a delivery of this group is there to be taken."""
        return any(delivery.key == key for delivery in self.deliveries)

    def next_delivery(self, key: str) -> Delivery | None:
        """Take the next delivery of one group."""
        for index, delivery in enumerate(self.deliveries):
            if delivery.key == key:
                del self.deliveries[index]
                return delivery
        return None

    def receive(self, message: Deliver | Acks) -> None:
        """Take in deliveries; one whose event cannot be lifted fails, as it does where a handler fails."""
        held, binds = self._held, self.binds
        left = set()
        unfit: list[tuple[Delivery, str]] = []
        for delivery in message.deliveries:
            key = delivery.key
            try:
                (event,) = self._machine.lifted([delivery.event])
            except UpcastFailed as error:
                unfit.append((delivery, error.message()))
            else:
                if event is not delivery.event:
                    delivery = msgspec.structs.replace(delivery, event=event)
                self.deliveries.append(delivery)
            held[key, delivery.event.position] = delivery
            if key not in binds:
                left.add(key)
        for delivery, fault in unfit:
            self.fail(delivery, fault, None)
        for key in left:
            # They were on their way when we left.
            self.leave(key)

    def withdraw(self, message: Withdrawn) -> None:
        """Take in that a delivery is no longer ours: dropped at once, or once its handler has returned."""
        held = message.held
        delivery = self._held.get((held.key, held.position))
        if delivery is None or delivery.fence != held.fence:
            if (held.key, held.position, held.fence) not in self._stopping:
                # It never came, or our answer was lost: the bus must not wait for a handler that doesn't run.
                self._machine.tell(Freed(held))
            return
        del self._held[held.key, held.position]
        if delivery in self.deliveries:
            self.deliveries.remove(delivery)
            self._machine.tell(Freed(held))
        else:
            self._stopping.add((held.key, held.position, held.fence))
            self.withdrawn.append(delivery)

    def is_stopping(self, delivery: Delivery) -> bool:
        """Tell whether a delivery was withdrawn after it had been taken, and its handler has not returned yet."""
        return bool(self._stopping) and (delivery.key, delivery.event.position, delivery.fence) in self._stopping

    def let_go(self, delivery: Delivery) -> None:
        """Note that the handler of a delivery has returned; raises StaleDelivery where it was withdrawn meanwhile."""
        if not self._stopping:
            return
        held = delivery.held
        name = (held.key, held.position, held.fence)
        if name in self._stopping:
            self._stopped(delivery)
            raise StaleDelivery(delivery.group, held.position)

    def settle_answered(self, delivery: Delivery, then: Callable[[Ticket], None] | None, ticket: Ticket) -> None:
        """Take in the answer to a settle, and pass it on."""
        if ticket.error is None or isinstance(ticket.error, StaleDelivery):
            self.forget(delivery)
        if then is not None:
            then(ticket)

    def fail(self, delivery: Delivery, error: str, retry_in_s: float | None) -> Ticket:
        """Say that a handler failed. Raises StaleDelivery where the delivery was withdrawn meanwhile."""
        self.let_go(delivery)
        held = delivery.held
        return self._machine.call(lambda seq: Fail(seq, held, error, retry_in_s), lambda ticket: self.forget(delivery))

    def forget(self, delivery: Delivery) -> None:
        """Forget a delivery that has ended; one withdrawn while its settle was under way has returned too."""
        key, position, fence = delivery.key, delivery.event.position, delivery.fence
        found = self._held.get((key, position))
        if found is not None and found.fence == fence:
            del self._held[key, position]
        elif (key, position, fence) in self._stopping:
            self._stopped(delivery)

    def _stopped(self, delivery: Delivery) -> None:
        """Tell the bus that the handler of a withdrawn delivery has returned; nobody needs to hear of it any more."""
        held = delivery.held
        self._stopping.discard((held.key, held.position, held.fence))
        if delivery in self.withdrawn:
            self.withdrawn.remove(delivery)
        self._machine.tell(Freed(held))
