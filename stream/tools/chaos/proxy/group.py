"""The proxies of a cluster, one in front of each node; a rule applies to the requests of all of them."""

from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from stream.tools.chaos.proxy.rules import Rule
from stream.tools.chaos.proxy.server import FaultProxy


class ProxyGroup:
    """Adds and removes rules at all proxies of a cluster.

    The proxies share each rule with its counter: a rule for one request affects one request in total.
    """

    def __init__(self, nodes: int = 1) -> None:
        self.proxies = tuple(FaultProxy() for _ in range(nodes))

    @property
    def ports(self) -> tuple[int, ...]:
        """The port of each node's proxy."""
        return tuple(proxy.port for proxy in self.proxies)

    @property
    def address(self) -> str:
        """Addresses for `bootstrap.servers` of a client."""
        return ",".join(proxy.address for proxy in self.proxies)

    @property
    def injected(self) -> Counter[tuple[str, str]]:
        """Number of faults by request and action, at all nodes."""
        return sum((Counter(proxy.injected) for proxy in self.proxies), Counter[tuple[str, str]]())

    def start(self, targets: Sequence[str]) -> Self:
        """Forward to these addresses, one for each proxy; they need not be available yet."""
        for proxy, target in zip(self.proxies, targets, strict=True):
            proxy.start(target)
        return self

    def add(self, rule: Rule) -> Rule:
        """Apply a rule from now on."""
        for proxy in self.proxies:
            proxy.add(rule)
        return rule

    def remove(self, rule: Rule) -> None:
        """Remove a rule; requests that it holds are forwarded after their delay."""
        for proxy in self.proxies:
            proxy.remove(rule)

    def clear(self) -> None:
        """Remove all rules."""
        for proxy in self.proxies:
            proxy.clear()

    def check(self) -> None:
        """Raise AssertionError if a rule could not be applied: a fault was counted and not injected."""
        for proxy in self.proxies:
            proxy.check()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for proxy in self.proxies:
            proxy.close()
