"""What this process knows of one target: how quick it is, whether it works, and how much it was used.

Moments are seconds of `time.monotonic()`. All of it is forgotten when the process ends.
"""

from __future__ import annotations

from hashlib import blake2b
from math import exp

from upstreams_app.registry import UpstreamConfig
from upstreams_app.route_policy import (
    CONNECTION,
    CREDENTIAL,
    NOT_FOUND,
    OVERLOADED,
    RATE_LIMITED,
    TIMEOUT,
)

# How fast old answers and old use are forgotten.
_LATENCY_MEMORY_S = 10.0
_USE_MEMORY_S = 60.0
_HEALTH_WEIGHT = 0.1
# Below this share of successes a target gets no calls while others can take them.
_BAD_HEALTH = 0.5
_ENOUGH_CALLS = 10
_MAX_COOLDOWN_S = 300.0
# What a target rests after one fault that is not yet a pattern.
_REST_S = 1.0
_RATE_LIMIT_REST_S = 5.0
_LONGEST_REST_S = 60.0
# The part of the time for a first token after which one that is waited for counts as in trouble.
_SILENCE = 0.5
# How long an answer of its own counts for more than what other processes say.
_TRUST_S = 5.0
# Why a target is barred that no call has failed at.
DOWN = "down"
_OUTLIER = "outlier"
# A failure is no quick answer.
_FAILURE_MS = 1000.0


class PeakEwma:
    """The latest answers' time in ms: up at once, down slowly; forgotten while nothing comes."""

    __slots__ = ("at", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self.at = 0.0

    def observe(self, ms: float, now: float) -> None:
        """One more answer."""
        if ms >= (past := self.read(now)):
            self.value = ms
        else:
            share = exp((self.at - now) / _LATENCY_MEMORY_S)
            self.value = past * share + ms * (1.0 - share)
        self.at = now

    def read(self, now: float) -> float:
        """The value now: without answers it fades, so that a target that was slow is tried again."""
        if not self.value:
            return 0.0
        idle_s = now - self.at - _LATENCY_MEMORY_S
        return self.value if idle_s <= 0 else self.value * exp(-idle_s / _LATENCY_MEMORY_S)


class TargetFacts:
    """Facts about one target (`<upstream>/<model>`), whichever routes it is behind.

    Until `barred_until` it gets no calls where another target can take them; while `is_open` none at all
    then, and afterwards one at a time, until one succeeds.
    """

    __slots__ = (
        "_health",
        "_health_calls",
        "_is_told",
        "_opened_at",
        "_succeeded_at",
        "_timed_out_at",
        "_trips",
        "_use",
        "_use_at",
        "_waiting_since",
        "barred_until",
        "failures",
        "is_open",
        "model_id",
        "plain",
        "remote_busy",
        "remote_use",
        "seed",
        "stream",
        "waiting",
        "why_barred",
    )

    def __init__(self, model_id: str) -> None:
        self.model_id = model_id
        # Where the target stands for rendezvous hashing: the same in every process.
        self.seed = int.from_bytes(blake2b(model_id.encode(), digest_size=8).digest(), "big")
        self.plain = PeakEwma()
        self.stream = PeakEwma()
        self.failures = 0
        self.is_open = False
        self.barred_until = 0.0
        self.why_barred = ""
        # What other processes tell of their calls under way, and of tokens.
        self.remote_busy = 0
        self.remote_use = 0.0
        self._trips = 0
        self._opened_at = 0.0
        self._succeeded_at = -_TRUST_S
        # Another process opened the breaker, not this one.
        self._is_told = False
        self._health = 1.0
        self._health_calls = 0
        self._use = 0.0
        self._use_at = 0.0
        # Attempts that have no answer yet.
        self.waiting = 0
        self._waiting_since = 0.0
        # When it last let a call wait in vain, and gave no answer since; 0 if it does answer.
        self._timed_out_at = 0.0

    # The course of an attempt: `begin`, then one of `succeeded`, `refused`, `failed`, `abandoned`,
    # `outrun`.

    def begin(self, now: float, config: UpstreamConfig) -> None:
        """A call starts. Where the breaker is open it is the one that tries."""
        if self.is_open:
            self.barred_until = now + config.breaker_cooldown_s
        if not self.waiting:
            self._waiting_since = now
        self.waiting += 1

    def succeeded(self, now: float, elapsed_ms: float, *, is_stream: bool) -> None:
        """It answered; `elapsed_ms` is until the first event of a stream, or until the whole answer."""
        (self.stream if is_stream else self.plain).observe(elapsed_ms, now)
        self._succeeded_at = now
        self.refused(now)

    def refused(self, now: float) -> None:
        """It works, and does not like the request."""
        self._answered(now)
        if self.failures or self.barred_until or self._health < 1.0:
            self._recover()

    def failed(
        self, now: float, elapsed_ms: float, fault: str, config: UpstreamConfig, *, retry_after_s: float = 0.0
    ) -> None:
        """It did not; `fault` is one of `route_policy.FAULTS`."""
        if fault == TIMEOUT:
            # No sign of life: who waits for it still waits since then.
            self.waiting -= 1
            self._timed_out_at = now
        else:
            self._answered(now)
        if not config.breaker_failures or fault == OVERLOADED:
            return
        if fault == RATE_LIMITED:
            # It works, and says so; what it wants is a pause.
            self._rest(now + min(retry_after_s or _RATE_LIMIT_REST_S, _LONGEST_REST_S), fault)
            return
        self.stream.observe(max(elapsed_ms, _FAILURE_MS), now)
        self.plain.observe(max(elapsed_ms, _FAILURE_MS), now)
        self.failures += 1
        self._health *= 1.0 - _HEALTH_WEIGHT
        self._health_calls += 1
        if self.is_open:
            # What began before the breaker opened says nothing new.
            if now - elapsed_ms / 1000 >= self._opened_at:
                self._open(now, config, fault)
        elif self.failures >= config.breaker_failures:
            self._open(now, config, fault)
        elif fault in (TIMEOUT, CONNECTION, CREDENTIAL, NOT_FOUND):
            self._rest(now + _REST_S, fault)
        elif self._health < _BAD_HEALTH and self._health_calls >= _ENOUGH_CALLS:
            self._rest(now + config.breaker_cooldown_s, _OUTLIER)
            self._health, self._health_calls = 1.0, 0

    def abandoned(self, now: float, elapsed_ms: float) -> None:
        """Nobody waits for the answer any more, or nothing was sent: nothing was learnt."""
        self.waiting -= 1
        if self.is_open and now - elapsed_ms / 1000 >= self._opened_at:
            # It was the one that tried whether the target is back: another may.
            self.barred_until = now

    def outrun(self, now: float, elapsed_ms: float, *, is_stream: bool) -> None:
        """Another target answered before it: no failure, but it takes at least so long."""
        times = self.stream if is_stream else self.plain
        if elapsed_ms > times.read(now):
            times.observe(elapsed_ms, now)
        self.abandoned(now, elapsed_ms)

    def _answered(self, now: float) -> None:
        self.waiting -= 1
        self._waiting_since = now
        self._timed_out_at = 0.0

    def _recover(self) -> None:
        self.failures = 0
        if self.is_open or self.why_barred != RATE_LIMITED:
            self.is_open, self._trips, self.barred_until, self.why_barred = False, 0, 0.0, ""
        self._health_calls += 1
        self._health += (1.0 - self._health) * _HEALTH_WEIGHT

    def _open(self, now: float, config: UpstreamConfig, fault: str) -> None:
        self.is_open, self._opened_at, self._is_told = True, now, False
        cooldown_s = min(config.breaker_cooldown_s * 2**self._trips, _MAX_COOLDOWN_S)
        self._trips = min(self._trips + 1, 10)
        self.barred_until = now + max(cooldown_s, config.breaker_cooldown_s)
        self.why_barred = fault

    def _rest(self, until: float, why: str) -> None:
        if not self.is_open and until > self.barred_until:
            self.barred_until, self.why_barred = until, why

    # Questions

    def is_ready(self, now: float, config: UpstreamConfig) -> bool:
        """Whether it may get a call now without need: it rests not, and does not keep others waiting."""
        if self.barred_until > now:
            return False
        return not self.waiting or not config.breaker_failures or not self.is_silent(now, config)

    def is_silent(self, now: float, config: UpstreamConfig) -> bool:
        """Whether calls wait for it, and nothing came for half of the time that a first token may take."""
        return self.silence(now, config) > _SILENCE

    def silence(self, now: float, config: UpstreamConfig) -> float:
        """How long calls wait for it in vain, as a part of the time that a first token may take."""
        return (now - self._waiting_since) / config.first_token_timeout_s if self.waiting else 0.0

    def dread(self, now: float, config: UpstreamConfig) -> float:
        """How likely a call would wait in vain, from 0 to about 1: as others do now, or did not long ago.

        A target that fails quickly costs little to try; one that hangs costs the time for a first token.
        """
        if not self._timed_out_at:
            return self.silence(now, config)
        patience_s = config.first_token_timeout_s
        return max(self.silence(now, config), patience_s / (patience_s + now - self._timed_out_at))

    def use(self, now: float) -> float:
        """Tokens lately, in this process and in others."""
        own = self._use * exp((self._use_at - now) / _USE_MEMORY_S) if self._use else 0.0
        return own + self.remote_use

    def own_use(self, now: float) -> float:
        """Tokens lately, in this process."""
        return self.use(now) - self.remote_use

    def add_use(self, tokens: int, now: float) -> None:
        """A call took so many tokens."""
        self._use = self.own_use(now) + tokens
        self._use_at = now

    # From probes

    def hear_probes(self, now: float, down_until: float) -> None:
        """Probes find its upstream down, until then at most (0: they don't): others are tried before it.

        Whether calls get through is what calls tell better, and an open breaker says more than a probe.
        """
        if down_until:
            if now - self._succeeded_at > _TRUST_S:
                self._rest(down_until, DOWN)
        elif self.why_barred == DOWN and not self.is_open:
            self.barred_until, self.why_barred = 0.0, ""

    # Between processes

    def is_ejected(self, now: float) -> bool:
        """Whether calls of this process found it dead, or failing too often, and it rests for that."""
        is_own = not self._is_told if self.is_open else self.why_barred == _OUTLIER
        return is_own and self.barred_until > now

    def own_breaker(self, now: float) -> float:
        """For how many more seconds this process has found the target dead; 0 if others said so."""
        return max(0.0, self.barred_until - now) if self.is_open and not self._is_told else 0.0

    def hear(self, now: float, open_s: float, *, busy: int, use: float) -> None:
        """What the other processes know now; `open_s` is 0 where none has found the target dead."""
        self.remote_busy, self.remote_use = busy, use
        if open_s > 0 and not self.is_open and now - self._succeeded_at > _TRUST_S:
            self.is_open, self._is_told, self._opened_at, self._trips = True, True, now, 1
            self.barred_until, self.why_barred = now + open_s, "told"
        elif not open_s and self.is_open and self._is_told:
            self._recover()
