# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What happens to each application: one case for each reason, and what must hold for all of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._gitops import decide as module
from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.app import App, Retry
from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.catalog import (
    AppProblem,
    Found,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.decide import (
    DEPLOY,
    FORGET,
    LOOK,
    NOTHING,
    REFUSE,
    REMOVE,
    RESUME,
    ROLL_BACK,
    ROLLBACK,
    SUSPEND,
    SYNC,
    WAIT,
    Decision,
    Request,
    Seen,
    decide,
    health_of,
    plan_all,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.settings import (
    RepositorySettings,
    Settings,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.state import (
    DEGRADED,
    HEALTHY,
    LEFT,
    MISSING,
    OUT_OF_SYNC,
    PROGRESSING,
    RESTORED,
    SUSPENDED,
    SYNCED,
    UNKNOWN,
    UNTOUCHED,
    AppState,
    as_text,
    begun,
    ended_badly,
    ended_well,
    from_text,
    rolled_back_to,
    unnotified,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.windows import DENY, Window
from ansible_collections.flotilla.swarm.plugins.module_utils._services.convergence import (
    CONVERGED,
    FAILED,
    WAITING,
    Verdict,
)

NOW = 1_800_000_000.0
CLOSED = ((Window(DENY),),)
APP = App("shop", "deploy", "apps/shop", ("deploy",))
ONE = Seen(desired="one", commit="1" * 40, message="First", author="Ann", found="a")
TWO = replace(ONE, desired="two", commit="2" * 40)
SETTINGS = Settings((RepositorySettings("deploy", "ssh://git@git.example/deploy.git"),))


def running(app: App = APP, seen: Seen = ONE, now: float = NOW) -> AppState:
    """The state after a deploy."""
    state = decide(app, None, replace(seen, found=""), now - 100).state
    assert state is not None
    return ended_well(
        begun(state, seen.target, now - 100), seen.target, seen.found, 1, False, now - 90
    )


def failed(seen: Seen = TWO, outcome: str = RESTORED, times: int = 1) -> AppState:
    state = running()
    for _ in range(times):
        state = ended_badly(
            begun(state, seen.target, NOW - 50),
            seen.target,
            "web: crash",
            NOW - 40,
            outcome=outcome,
            found="a",
            health=HEALTHY,
        )
    return state


def state_of(decision: Decision) -> AppState:
    assert decision.state is not None
    return decision.state


# One application


def test_a_new_application_is_deployed() -> None:
    found = decide(APP, None, ONE, NOW)
    assert (found.action, state_of(found).sync, state_of(found).health) == (
        DEPLOY,
        OUT_OF_SYNC,
        MISSING,
    )


def test_after_a_deploy_nothing_happens_and_nothing_is_written() -> None:
    state = running()
    assert (state.sync, state.health, state.commit, state.revision) == (
        SYNCED,
        HEALTHY,
        "1" * 40,
        1,
    )
    found = decide(APP, state, ONE, NOW)
    assert found.action == NOTHING
    assert as_text(state_of(found)) == as_text(state)
    assert found.state == state


def test_a_new_commit_is_deployed() -> None:
    found = decide(APP, running(), TWO, NOW)
    assert found.action == DEPLOY
    assert "222222222222" in found.cause


def test_a_manual_application_waits_for_an_operator() -> None:
    app = replace(APP, sync="manual")
    found = decide(app, running(), TWO, NOW)
    assert (found.action, state_of(found).sync) == (NOTHING, OUT_OF_SYNC)
    assert "gitops_sync.yml -e app=shop" in found.cause
    asked = replace(TWO, request=Request(SYNC, "ann"))
    assert decide(app, running(), asked, NOW).action == DEPLOY


def test_a_closed_window_holds_also_an_operator_who_does_not_overrule_it() -> None:
    app = replace(APP, windows=CLOSED)
    found = decide(app, running(), TWO, NOW)
    assert (found.action, state_of(found).sync) == (WAIT, OUT_OF_SYNC)
    asked = decide(app, running(), replace(TWO, request=Request(SYNC)), NOW)
    assert asked.action == REFUSE
    assert "ignore_windows=true" in asked.cause
    forced = replace(TWO, request=Request(SYNC, force=True))
    assert decide(app, running(), forced, NOW).action == DEPLOY


def test_the_next_look_is_when_the_window_opens() -> None:
    app = replace(APP, windows=((Window(DENY, start=0, end=720),),))
    noon = NOW // 86400 * 86400 + 43200
    found = decide(app, running(), TWO, noon - 3600)
    assert (found.action, found.next_look) == (WAIT, noon)
    assert decide(app, running(), TWO, noon).action == DEPLOY


def test_suspended_by_an_operator_until_resumed() -> None:
    asked = replace(TWO, request=Request(SUSPEND, "ann", "an incident"))
    state = state_of(decide(APP, running(), asked, NOW))
    assert (state.sync, state.cause) == (SUSPENDED, "suspended by ann: an incident")
    assert decide(APP, state, TWO, NOW + 10).action == NOTHING
    refused = decide(APP, state, replace(TWO, request=Request(SYNC, force=True)), NOW)
    assert (refused.action, state_of(refused).sync) == (REFUSE, SUSPENDED)
    assert decide(APP, state, replace(TWO, request=Request(RESUME)), NOW).action == DEPLOY


def test_suspended_in_its_file() -> None:
    found = decide(replace(APP, suspend=True), None, ONE, NOW)
    assert (found.action, state_of(found).sync) == (NOTHING, SUSPENDED)


@pytest.mark.parametrize("outcome", [UNTOUCHED, RESTORED, LEFT])
def test_a_failed_deploy_is_tried_again_after_its_backoff(outcome: str) -> None:
    state = failed(outcome=outcome)
    found = decide(APP, state, TWO, NOW)
    assert (found.action, found.next_look) == (WAIT, NOW - 40 + 60)
    assert "web: crash" in found.cause
    assert decide(APP, state, TWO, NOW + 20).action == DEPLOY
    # The commit that ran before is what is desired again, or another one: no backoff.
    three = replace(TWO, desired="three")
    assert decide(APP, state, three, NOW).action == DEPLOY
    asked = replace(TWO, request=Request(SYNC))
    assert decide(APP, state, asked, NOW).action == DEPLOY


def test_a_failed_deploy_is_not_tried_again_after_its_limit() -> None:
    state = failed(times=4)
    found = decide(APP, state, TWO, NOW + 10**6)
    assert (found.action, found.next_look) == (NOTHING, None)
    assert "not tried again after 4 attempts" in found.cause
    never = replace(APP, retry=Retry(limit=0))
    assert decide(never, failed(), TWO, NOW + 10**6).action == NOTHING


def test_a_reverted_commit_after_a_failure_that_was_rolled_back_needs_no_deploy() -> None:
    assert decide(APP, failed(), ONE, NOW).action == NOTHING
    assert decide(APP, failed(outcome=UNTOUCHED), ONE, NOW).action == NOTHING


def test_a_reverted_commit_after_a_failure_that_was_kept_is_deployed() -> None:
    assert decide(APP, failed(outcome=LEFT), ONE, NOW).action == DEPLOY


def test_what_may_be_a_drift_is_planned_first() -> None:
    look = decide(APP, running(), replace(ONE, found="b"), NOW)
    assert look.action == LOOK
    assert look.state == running()
    # A plan without changes, such as after an autoscaler: the new hash is known from then on.
    known = decide(APP, running(), replace(ONE, found="b", changes=()), NOW)
    assert (known.action, state_of(known).found, state_of(known).sync) == (NOTHING, "b", SYNCED)
    assert decide(APP, known.state, replace(ONE, found="b"), NOW).action == NOTHING


def test_a_drift_is_shown_once_and_goes_when_it_is_undone() -> None:
    seen = replace(ONE, found="b", changes=("~ service shop_web: replicas 2 -> 1",))
    shown = decide(APP, running(), seen, NOW)
    assert (shown.action, state_of(shown).sync) == (NOTHING, OUT_OF_SYNC)
    assert "replicas 2 -> 1" in shown.cause
    assert (state_of(shown).event, unnotified(state_of(shown))) == ("drift", True)
    # Without another plan, and without another event.
    again = decide(APP, shown.state, replace(ONE, found="b"), NOW + 30)
    assert again.state == shown.state
    assert again.action == NOTHING
    undone = decide(APP, shown.state, ONE, NOW + 60)
    assert (state_of(undone).sync, state_of(undone).drift) == (SYNCED, None)


def test_a_drift_is_healed_and_not_again_and_again_at_once() -> None:
    app = replace(APP, self_heal=True)
    seen = replace(ONE, found="b", changes=("~ service shop_web",))
    found = decide(app, running(), seen, NOW)
    assert (found.action, found.heal) == (DEPLOY, True)
    state = ended_well(begun(state_of(found), seen.target, NOW), seen.target, "c", 1, True, NOW + 5)
    assert (state.event, state.heals) == ("healed", 1)
    again = decide(app, state, replace(seen, found="d"), NOW + 10)
    assert (again.action, again.next_look) == (WAIT, NOW + 65)
    assert "healed 1 time already" in again.cause
    assert decide(app, state, replace(seen, found="d"), NOW + 70).action == DEPLOY


def test_a_heal_of_a_manual_application_needs_no_operator() -> None:
    app = replace(APP, self_heal=True, sync="manual")
    seen = replace(ONE, found="b", changes=("~ service shop_web",))
    assert decide(app, running(), seen, NOW).action == DEPLOY


def test_a_failed_heal_that_was_rolled_back_is_still_a_drift() -> None:
    app = replace(APP, self_heal=True)
    seen = replace(ONE, found="b", changes=("~ service shop_web",))
    state = state_of(decide(app, running(), seen, NOW))
    state = ended_badly(
        begun(state, seen.target, NOW),
        seen.target,
        "crash",
        NOW,
        outcome=RESTORED,
        found="e",
        health=HEALTHY,
    )
    found = decide(app, state, replace(ONE, found="e"), NOW + 1)
    assert (found.action, state_of(found).sync) == (WAIT, OUT_OF_SYNC)
    # Undone by hand, the failure is over too.
    over = decide(app, state, ONE, NOW + 1)
    assert (over.action, state_of(over).sync, state_of(over).failed) == (NOTHING, SYNCED, None)


def test_an_operator_who_syncs_what_is_synced_gets_a_plan() -> None:
    asked = replace(ONE, request=Request(SYNC))
    assert decide(APP, running(), asked, NOW).action == LOOK
    assert decide(APP, running(), replace(asked, changes=()), NOW).action == NOTHING
    assert decide(APP, running(), replace(asked, changes=("~ service",)), NOW).action == DEPLOY


def test_a_deploy_that_was_killed_is_resumed_also_outside_of_windows() -> None:
    state = begun(running(), TWO.target, NOW - 5)
    assert (state.health, state.doing and state.doing.attempts) == (PROGRESSING, 1)
    found = decide(replace(APP, windows=CLOSED), state, TWO, NOW)
    assert found.action == DEPLOY
    assert "interrupted" in found.cause
    again = begun(state_of(found), TWO.target, NOW)
    assert again.doing is not None
    assert again.doing.attempts == 2


def test_a_deploy_that_was_killed_is_not_resumed_while_suspended_or_for_other_inputs() -> None:
    state = begun(running(), TWO.target, NOW - 5)
    assert decide(replace(APP, suspend=True), state, TWO, NOW).action == NOTHING
    three = replace(TWO, desired="three")
    assert decide(replace(APP, windows=CLOSED), state, three, NOW).action == WAIT
    assert decide(APP, state, three, NOW).action == DEPLOY


def test_a_deploy_that_is_killed_three_times_has_failed() -> None:
    state = running()
    for _ in range(module.MOST_INTERRUPTIONS):
        state = begun(state, TWO.target, NOW)
    found = decide(APP, state, TWO, NOW)
    assert (found.action, found.next_look) == (WAIT, NOW + 60)
    assert (state_of(found).doing, state_of(found).event) == (None, "failed")
    assert "interrupted 3 times" in state_of(found).cause
    again = decide(APP, found.state, TWO, NOW + 1)
    assert (again.action, again.state) == (WAIT, found.state)
    assert decide(APP, found.state, TWO, NOW + 61).action == DEPLOY


@pytest.mark.parametrize("sync", ["automatic", "manual"])
@pytest.mark.parametrize("health", ["", HEALTHY, PROGRESSING])
def test_a_deploy_that_is_killed_three_times_is_written_once(sync: str, health: str) -> None:
    app, seen = replace(APP, sync=sync, retry=Retry(limit=0)), replace(TWO, health=health)
    state = running()
    for _ in range(module.MOST_INTERRUPTIONS):
        state = begun(state, seen.target, NOW)
    found = decide(app, state, seen, NOW)
    assert found.action == NOTHING
    assert "interrupted 3 times" in state_of(found).cause
    assert ("sync is manual" in state_of(found).cause) is (sync == "manual")
    assert decide(app, found.state, seen, NOW + 1).state == found.state


def test_a_stack_that_was_there_before_is_taken_over_only_on_request() -> None:
    seen = replace(ONE, exists=True)
    found = decide(APP, None, seen, NOW)
    assert (found.action, state_of(found).sync) == (REFUSE, OUT_OF_SYNC)
    assert decide(APP, found.state, seen, NOW + 30).state == found.state
    assert decide(APP, found.state, replace(seen, request=Request(SYNC)), NOW).action == DEPLOY
    # A state that has deployed it, has begun to, or has failed to, is the owner.
    for state in (running(), begun(state_of(found), TWO.target, NOW), failed(outcome=LEFT)):
        assert decide(APP, state, replace(TWO, exists=True), NOW + 100).action == DEPLOY


def test_a_roll_back_suspends_and_a_resume_goes_on() -> None:
    asked = replace(TWO, request=Request(ROLLBACK, "ann", revision=3))
    found = decide(APP, running(), asked, NOW)
    assert (found.action, found.revision) == (ROLL_BACK, 3)
    assert decide(replace(APP, windows=CLOSED), running(), asked, NOW).action == REFUSE
    state = rolled_back_to(state_of(found), 3, "z", "ann", NOW)
    assert (state.sync, state.cause) == (SUSPENDED, "suspended by ann: rolled back to revision 3")
    assert decide(APP, state, replace(ONE, found="z", exists=True), NOW + 1).action == NOTHING
    resumed = replace(ONE, found="z", exists=True, request=Request(RESUME))
    assert decide(APP, state, resumed, NOW + 1).action == DEPLOY


def test_inputs_that_cannot_be_read_change_nothing() -> None:
    found = decide(APP, running(), Seen(trouble="the file db.enc cannot be decrypted"), NOW)
    assert (found.action, state_of(found).sync, state_of(found).health) == (
        NOTHING,
        UNKNOWN,
        HEALTHY,
    )
    assert (state_of(found).event, state_of(found).desired) == ("trouble", "one")
    again = decide(APP, found.state, Seen(trouble="the file db.enc cannot be decrypted"), NOW + 30)
    assert again.state == found.state
    asked = Seen(trouble="not now", request=Request(SYNC))
    assert decide(APP, running(), asked, NOW).action == REFUSE
    back = decide(APP, found.state, ONE, NOW + 60)
    assert (back.action, state_of(back).sync) == (NOTHING, SYNCED)


# All applications


def found_of(*apps: App, problems: tuple[AppProblem, ...] = ()) -> Found:
    return Found(apps, problems)


def actions(decisions: list[Decision]) -> dict[str, str]:
    return {one.name: one.action for one in decisions}


def named(name: str, **more: Any) -> App:
    return App(name, "deploy", f"apps/{name}", ("deploy",), **more)


def test_a_wave_waits_for_the_one_before_it() -> None:
    apps = (named("web", wave=1), named("db", wave=0))
    seen = {"web": ONE, "db": ONE}
    first = plan_all(found_of(*apps), {}, seen, {}, SETTINGS, NOW)
    assert [(one.name, one.action) for one in first] == [("db", DEPLOY), ("web", WAIT)]
    assert first[1].cause.endswith("waits for wave 0: db is OutOfSync")
    states = {"db": running(apps[1])}
    assert actions(plan_all(found_of(*apps), states, seen, {}, SETTINGS, NOW))["web"] == DEPLOY
    ill = {"db": replace(running(apps[1]), health=DEGRADED)}
    waits = plan_all(found_of(*apps), ill, seen, {}, SETTINGS, NOW)
    assert actions(waits) == {"db": NOTHING, "web": WAIT}
    asked = {**seen, "web": replace(ONE, request=Request(SYNC))}
    assert actions(plan_all(found_of(*apps), ill, asked, {}, SETTINGS, NOW))["web"] == DEPLOY


def test_a_wave_does_not_wait_for_what_is_suspended_manual_or_of_another_repository() -> None:
    web = named("web", wave=1)
    for lower in (
        named("db", suspend=True),
        named("db", sync="manual"),
        replace(named("db"), repository="other", sources=("other",)),
    ):
        seen = {"web": ONE, "db": TWO}
        states = {"db": replace(running(lower), health=DEGRADED)}
        plan = plan_all(found_of(web, lower), states, seen, {}, SETTINGS, NOW)
        assert actions(plan)["web"] == DEPLOY, lower


def test_a_removed_application_is_shown_or_removed() -> None:
    kept = plan_all(found_of(), {"shop": running()}, {}, {}, SETTINGS, NOW)
    assert actions(kept) == {"shop": NOTHING}
    assert state_of(kept[0]).sync == OUT_OF_SYNC
    assert "prune is false" in kept[0].cause
    pruned = {"shop": running(replace(APP, prune=True))}
    assert actions(plan_all(found_of(), pruned, {}, {}, SETTINGS, NOW)) == {"shop": REMOVE}
    asked = {"shop": Seen(request=Request(SYNC))}
    assert actions(plan_all(found_of(), {"shop": running()}, asked, {}, SETTINGS, NOW)) == {
        "shop": REMOVE
    }


def test_a_removed_application_that_never_ran_is_forgotten() -> None:
    state = state_of(decide(replace(APP, sync="manual"), None, ONE, NOW))
    assert actions(plan_all(found_of(), {"shop": state}, {}, {}, SETTINGS, NOW)) == {"shop": FORGET}


def test_a_removed_application_stays_while_suspended_or_out_of_its_window() -> None:
    pruned = running(replace(APP, prune=True))
    asked = {"shop": Seen(request=Request(SUSPEND, "ann"))}
    held = plan_all(found_of(), {"shop": pruned}, asked, {}, SETTINGS, NOW)
    assert actions(held) == {"shop": NOTHING}
    assert state_of(held[0]).sync == SUSPENDED
    closed = replace(SETTINGS, windows=CLOSED[0])
    assert actions(plan_all(found_of(), {"shop": pruned}, {}, {}, closed, NOW)) == {"shop": WAIT}


def test_many_removals_at_once_are_refused() -> None:
    names = ("a", "b", "c")
    states = {name: running(named(name, prune=True)) for name in names}
    refused = plan_all(found_of(), states, {}, {}, SETTINGS, NOW)
    assert set(actions(refused).values()) == {REFUSE}
    assert "swarm_gitops_max_removals is 1" in refused[0].cause
    more = replace(SETTINGS, max_removals=3)
    assert set(actions(plan_all(found_of(), states, {}, {}, more, NOW)).values()) == {REMOVE}
    # What an operator names does not count.
    asked = {"b": Seen(request=Request(SYNC))}
    left = {name: states[name] for name in ("a", "b")}
    assert set(actions(plan_all(found_of(), left, asked, {}, SETTINGS, NOW)).values()) == {REMOVE}


def test_nothing_is_removed_that_may_only_be_unreadable() -> None:
    pruned = {"shop": replace(running(replace(APP, prune=True)), sources=("root", "deploy"))}
    settings = replace(
        SETTINGS, repositories=(*SETTINGS.repositories, RepositorySettings("root", "ssh://git@x/y"))
    )
    for repository in ("root", "deploy"):
        plan = plan_all(found_of(), pruned, {}, {repository: "it does not answer"}, settings, NOW)
        assert actions(plan) == {"shop": NOTHING, f"{repository}/": NOTHING}
        assert plan[0].state == pruned["shop"]
        broken = found_of(problems=(AppProblem(repository, "apps/other", "name is missing"),))
        plan = plan_all(broken, pruned, {}, {}, settings, NOW)
        assert plan[0].action == NOTHING
        assert state_of(plan[0]).sync == UNKNOWN
    own = found_of(problems=(AppProblem("deploy", "apps/shop", "sync is 'often'"),))
    plan = plan_all(own, pruned, {}, {}, settings, NOW)
    assert [(one.name, one.action, one.cause) for one in plan] == [
        ("shop", NOTHING, "sync is 'often'")
    ]
    # A repository that left the inventory is a change of the inventory, and not of git.
    plan = plan_all(found_of(), pruned, {}, {}, SETTINGS, NOW)
    assert actions(plan) == {"shop": NOTHING}
    assert "swarm_gitops_repositories" in plan[0].cause


def test_a_trouble_has_a_row_while_it_lasts() -> None:
    troubles = {"deploy": "it does not answer"}
    problems = (AppProblem("deploy", "apps/new", "name is missing"),)
    plan = plan_all(found_of(problems=problems), {}, {}, troubles, SETTINGS, NOW)
    assert [one.name for one in plan] == ["deploy/", "deploy/apps/new"]
    states = {one.name: state_of(one) for one in plan}
    assert {(one.sync, one.event) for one in states.values()} == {(UNKNOWN, "trouble")}
    again = plan_all(found_of(problems=problems), states, {}, troubles, SETTINGS, NOW + 30)
    assert {one.name: one.state for one in again} == states
    over = plan_all(found_of(), states, {}, {}, SETTINGS, NOW + 60)
    assert actions(over) == {"deploy/": FORGET, "deploy/apps/new": FORGET}


def test_an_application_moves_between_repositories_only_if_both_can_be_read() -> None:
    moved = replace(APP, repository="other", sources=("other",))
    states = {"shop": running()}
    waits = plan_all(found_of(moved), states, {"shop": TWO}, {"deploy": "gone"}, SETTINGS, NOW)
    assert actions(waits)["shop"] == WAIT
    assert waits[0].state == states["shop"]
    moves = plan_all(found_of(moved), states, {"shop": TWO}, {}, SETTINGS, NOW)
    assert actions(moves)["shop"] == DEPLOY


def test_an_application_that_nobody_has_looked_at_stays_as_it_is() -> None:
    assert plan_all(found_of(APP), {"shop": running()}, {}, {}, SETTINGS, NOW) == []


# Health


def verdict(name: str, state: str, running: int = 1) -> Verdict:
    return Verdict(
        name, "replicated", 2, running, state, reason="" if state == CONVERGED else "slow"
    )


def test_the_health_of_an_application_is_that_of_its_services() -> None:
    good = [verdict("shop_web", CONVERGED, 2), verdict("shop_db", CONVERGED, 2)]
    assert health_of([], 0, 300, 10) == (MISSING, "the stack has no services")
    assert health_of(good, 0, 300, 10) == (HEALTHY, "")
    late = [*good, verdict("shop_api", WAITING)]
    assert health_of(late, 0, 300, 10)[0] == PROGRESSING
    assert health_of(late, 0, 300, 301)[0] == DEGRADED
    health, cause = health_of([*late, verdict("shop_job", FAILED)], 0, 300, 10)
    assert health == DEGRADED
    assert "shop_job" in cause
    assert "shop_api" not in cause


# What must hold for all

words = st.sampled_from(["", "one", "two", "three"])
requests = st.none() | st.builds(
    Request,
    kind=st.sampled_from([SYNC, ROLLBACK, SUSPEND, RESUME]),
    by=st.just("ann"),
    revision=st.integers(1, 3),
    force=st.booleans(),
)
seens = st.builds(
    Seen,
    trouble=st.sampled_from(["", "", "", "unreadable"]),
    desired=st.sampled_from(["one", "two", "three"]),
    commit=st.just("c" * 40),
    exists=st.booleans(),
    found=words,
    changes=st.none() | st.just(()) | st.just(("~ service shop_web",)),
    health=st.sampled_from(["", HEALTHY, DEGRADED, PROGRESSING]),
    request=requests,
)
applications = st.builds(
    App,
    name=st.just("shop"),
    repository=st.just("deploy"),
    sources=st.just(("deploy",)),
    sync=st.sampled_from(["automatic", "manual"]),
    self_heal=st.booleans(),
    prune=st.booleans(),
    suspend=st.sampled_from([False, False, True]),
    windows=st.sampled_from([(), CLOSED]),
    retry=st.builds(Retry, limit=st.integers(0, 3)),
)


@dataclass
class World:
    """What the caller does with decisions: the state in the swarm, the time, and all deploys that have begun."""

    state: AppState | None = None
    now: float = NOW
    writes: int = 0
    deploys: list[tuple[str, float]] = field(default_factory=list)

    def write(self, state: AppState | None) -> None:
        text = None if self.state is None else as_text(self.state)
        if state is not None and as_text(state) != text:
            # What another manager reads is what was written.
            self.state = from_text("shop", as_text(state))
            assert self.state == state
            self.writes += 1

    def step(self, app: App, seen: Seen, result: str) -> Decision:
        found = decide(app, self.state, seen, self.now)
        self.write(found.state)
        if found.action != DEPLOY:
            return found
        assert self.state is not None
        self.deploys.append((seen.desired, self.now))
        self.write(begun(self.state, seen.target, self.now))
        if result == "killed":
            return found
        if result == "well":
            self.write(
                ended_well(self.state, seen.target, seen.found or "f", 1, found.heal, self.now)
            )
        else:
            self.write(
                ended_badly(
                    self.state,
                    seen.target,
                    "crash",
                    self.now,
                    outcome=result,
                    found=seen.found,
                    health=HEALTHY,
                )
            )
        return found


results = st.sampled_from(["well", "killed", UNTOUCHED, RESTORED, LEFT])
steps = st.lists(st.tuples(applications, seens, results, st.integers(0, 400)), max_size=12)


@given(steps)
def test_what_holds_after_whatever_has_happened(history: list[Any]) -> None:
    world = World()
    failures: dict[str, tuple[int, float]] = {}
    for app, seen, result, seconds in history:
        world.now += seconds
        before = world.state
        found = world.step(app, seen, result)
        request = seen.request
        asked = request is not None and request.kind == SYNC
        if found.action == DEPLOY:
            held = app.suspend or (before is not None and before.suspended is not None)
            assert not held or (request is not None and request.kind == RESUME and not app.suspend)
            assert not seen.trouble
            resumed = (
                before is not None
                and before.doing is not None
                and before.doing.desired == seen.desired
            )
            if app.windows == CLOSED and not resumed:
                assert request is not None
                assert request.force
            if seen.desired in failures and not asked and not resumed:
                times, when = failures[seen.desired]
                assert times <= app.retry.limit
                assert world.now >= when + app.retry.wait(times)
            if app.sync == "manual" and not asked and not resumed:
                assert found.heal
        assert found.action not in (REMOVE, FORGET)
        if (
            seen.trouble
            and found.action != ROLL_BACK
            and before is not None
            and world.state is not None
        ):
            assert world.state.desired == before.desired
        failures = {}
        if world.state is not None and world.state.failed is not None:
            last = world.state.failed
            failures[last.desired] = (last.attempts, last.at)
        # The same look at once again writes nothing, whatever it was: idle is idle.
        calm = replace(seen, request=None)
        writes = world.writes
        first = decide(app, world.state, calm, world.now)
        if first.action not in (DEPLOY, ROLL_BACK):
            world.write(first.state)
            writes = world.writes
            second = decide(app, world.state, calm, world.now + 1)
            if second.action == first.action:
                world.write(second.state)
                assert world.writes == writes, (first, second)


@given(
    st.lists(st.sampled_from("abcdefgh"), unique=True),
    st.lists(st.sampled_from("abcdefgh"), unique=True),
    st.sets(st.sampled_from(["deploy", "other"])),
    st.integers(0, 3),
)
def test_never_more_removals_than_allowed_and_none_while_a_repository_cannot_be_read(
    states: list[str], apps: list[str], broken: set[str], most: int
) -> None:
    settings = replace(
        SETTINGS,
        repositories=(*SETTINGS.repositories, RepositorySettings("other", "ssh://git@x/y")),
        max_removals=most,
    )
    homes = {name: ("deploy", "other")[name in "efgh"] for name in "abcdefgh"}
    known = {
        name: running(App(name, homes[name], name, (homes[name],), prune=True)) for name in states
    }
    readable = [
        App(name, homes[name], name, (homes[name],)) for name in apps if homes[name] not in broken
    ]
    seen = {app.name: ONE for app in readable}
    plan = plan_all(found_of(*readable), known, seen, dict.fromkeys(broken, "gone"), settings, NOW)
    removed = [one.name for one in plan if one.action == REMOVE]
    assert len(removed) <= most
    assert all(homes[name] not in broken and name not in apps for name in removed)
    assert [one.name for one in plan if one.action == FORGET] == []
