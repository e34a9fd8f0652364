# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Korean: by each English template its translation, with the same placeholders. Pure."""

from __future__ import annotations

KOREAN: dict[str, str] = {
    # Verdicts, statuses, tasks, roles
    "Healthy": "정상",
    "Degraded": "주의",
    "Unknown": "확인 불가",
    "Failed": "장애",
    "ok": "정상",
    "noted": "참고",
    "not checked": "확인 안 함",
    "degraded": "주의",
    "unknown": "알 수 없음",
    "failed": "실패",
    "running": "실행 중",
    "running, old version": "이전 버전 실행 중",
    "starting": "시작 중",
    "waiting for a node": "노드 배정 대기",
    "on a node that does not answer": "응답 없는 노드에 있음",
    "leader": "리더",
    "manager": "매니저",
    "worker": "워커",
    # Numbers of things
    "{count} CPUs": "CPU {count}개",
    "{count} day": "{count}일",
    "{count} days": "{count}일",
    "{count} failure": "장애 {count}건",
    "{count} failures": "장애 {count}건",
    "{count} host": "호스트 {count}대",
    "{count} hosts": "호스트 {count}대",
    "{count} manager": "매니저 {count}대",
    "{count} managers": "매니저 {count}대",
    "{count} network": "네트워크 {count}개",
    "{count} networks": "네트워크 {count}개",
    "{count} node": "노드 {count}개",
    "{count} nodes": "노드 {count}개",
    "{count} service": "서비스 {count}개",
    "{count} services": "서비스 {count}개",
    "{count} step": "{count}단계",
    "{count} steps": "{count}단계",
    "refused": "거부됨",
    "{count} task": "태스크 {count}개",
    "{count} tasks": "태스크 {count}개",
    "{part:,} of {all:,}": "{part:,}/{all:,}",
    "{part} of {all} tasks": "태스크 {all}개 중 {part}개",
    "{names} and {count} more": "{names} 외 {count}개",
    "and {count} more": "외 {count}개",
    "{parts} or {last}": "{parts} 또는 {last}",
    "{count} d ago": "{count}일 전",
    "{count} h ago": "{count}시간 전",
    "{count} min ago": "{count}분 전",
    "just now": "방금",
    # The sentence at the top
    "Everything runs as asked.": "모든 것이 설정대로 실행되고 있습니다.",
    "The state of the swarm is not known.": "스웜의 상태를 알 수 없습니다.",
    "No manager could be asked.": "상태를 물어볼 수 있는 매니저가 없습니다.",
    "The manager that was asked is not in service.": "조회한 매니저가 정상 동작하지 않습니다.",
    "The managers have no leader.": "매니저 중에 리더가 없습니다.",
    "The managers have lost their quorum: tasks keep running, and nothing can change.": (
        "매니저의 정족수(쿼럼)가 깨졌습니다. 실행 중인 태스크는 유지되지만 아무것도 변경할 수 없습니다."
    ),
    "{managers} not reachable: no longer as safe as planned.": (
        "{managers}에 연결할 수 없어 계획한 만큼 안전하지 않습니다."
    ),
    "The loss of one zone would cost the quorum.": "영역 하나를 잃으면 정족수가 깨집니다.",
    "The loss of one zone would leave {services} without a task.": (
        "영역 하나를 잃으면 {services}의 태스크가 모두 사라집니다."
    ),
    "Old nodes are left over.": "이전 노드가 목록에 남아 있습니다.",
    "{part} of {nodes} not ready.": "{nodes} 중 {part}개가 준비되지 않았습니다.",
    "No answer from {hosts}.": "{hosts}에서 응답이 없습니다.",
    "No task of {services} runs.": "{services}: 실행 중인 태스크가 없습니다.",
    "{part} of {services} not as asked.": "{services} 중 {part}개가 설정대로 실행되지 않습니다.",
    "No node for {tasks}.": "{tasks}를 배치할 노드가 없습니다.",
    "Tasks of {services} keep failing.": "{services}의 태스크가 계속 실패합니다.",
    "Tasks have failed repeatedly.": "태스크가 반복해서 실패했습니다.",
    "An update is paused or was rolled back.": "업데이트가 일시 중지되었거나 롤백되었습니다.",
    "Tasks may still run on nodes that are down.": "중단된 노드에서 태스크가 아직 실행 중일 수 있습니다.",
    "The network between the nodes has faults.": "노드 사이의 네트워크에 문제가 있습니다.",
    "Not all of the network between the nodes was probed.": (
        "노드 사이의 네트워크를 모두 점검하지 못했습니다."
    ),
    "A network is running out of addresses.": "네트워크의 IP 주소가 부족해지고 있습니다.",
    "Published ports or names of services do not answer on every host.": (
        "일부 호스트에서 공개 포트나 서비스 이름이 응답하지 않습니다."
    ),
    "A certificate needs attention.": "확인이 필요한 인증서가 있습니다.",
    "The clocks of the hosts differ.": "호스트의 시계가 서로 다릅니다.",
    "A disk is nearly full.": "디스크가 거의 찼습니다.",
    "The hosts run different releases of the engine.": "호스트마다 엔진 릴리스가 다릅니다.",
    # The page
    "Swarm {cluster}": "스웜 {cluster}",
    "as seen by {manager}": "{manager} 기준",
    "Skip to the content": "본문으로 건너뛰기",
    "Sections": "목차",
    "What to do": "조치할 일",
    "Plan": "변경 계획",
    "Map": "클러스터 지도",
    "Services": "서비스",
    "If a zone is lost": "영역을 잃는다면",
    "Changes": "변경 이력",
    "Details": "세부 정보",
    "Managers": "매니저",
    "Workers": "워커",
    "Tolerates": "내결함성",
    "Nodes ready": "준비된 노드",
    "Services as asked": "설정대로인 서비스",
    "Tasks running": "실행 중인 태스크",
    "Hosts that answer": "응답하는 호스트",
    "Zone": "영역",
    "No zone": "영역 없음",
    "zone {zone}": "영역 {zone}",
    "{count} hosts are ready": "준비된 호스트 {count}대",
    "ready": "준비됨",
    "ready, tasks fail": "준비됨, 태스크 실패",
    "not heard from yet": "아직 연락 없음",
    "down": "중단됨",
    "down, drained": "중단됨, 드레인됨",
    "does not answer as a manager": "매니저로서 응답 없음",
    "active": "활성",
    "drained": "드레인됨",
    "paused": "일시 중지됨",
    "in the swarm": "스웜에 속함",
    "in no swarm": "스웜에 속하지 않음",
    "joining": "참여 중",
    "locked": "잠김",
    "swarm error": "스웜 오류",
    "no answer": "응답 없음",
    "not in the swarm yet": "아직 스웜에 없음",
    "engine {version}": "엔진 {version}",
    "CPU": "CPU",
    "memory": "메모리",
    "Tasks without a node": "노드를 배정받지 못한 태스크",
    "Room": "여유 자원",
    "Reserved by {count} services. Free: {cpus} CPUs and {memory} GiB.": (
        "서비스 {count}개가 예약했습니다. 남은 자원은 CPU {cpus}개, 메모리 {memory} GiB입니다."
    ),
    "{cpus} CPUs and {memory} GiB on hosts that take tasks. No service reserves any of it.": (
        "태스크를 받는 호스트의 자원은 CPU {cpus}개, 메모리 {memory} GiB입니다. 자원을 예약한 서비스는 없습니다."
    ),
    "One more host like {host} would add {cpus} CPUs and {memory} GiB.": (
        "{host}와 같은 호스트를 한 대 더하면 CPU {cpus}개, 메모리 {memory} GiB가 늘어납니다."
    ),
    "Stack": "스택",
    "Without a stack": "스택에 속하지 않음",
    "revision {number}": "리비전 {number}",
    "{count} services run as asked": "설정대로 실행 중인 서비스 {count}개",
    "Services, their tasks, zones, ports and last update": "서비스별 태스크, 영역, 포트, 마지막 업데이트",
    "Service": "서비스",
    "Tasks": "태스크",
    "Zones": "영역",
    "Ports": "포트",
    "Updated": "업데이트",
    "as asked": "설정대로",
    "job": "작업(job)",
    "no task runs": "실행 중인 태스크 없음",
    "tasks are missing": "태스크 부족",
    "changing": "변경 중",
    "scaled to 0": "0개로 축소됨",
    "update paused": "업데이트 일시 중지",
    "rollback paused": "롤백 일시 중지",
    "rolled back": "롤백됨",
    "What the loss of each zone would cost": "영역별로 잃었을 때의 영향",
    "Quorum": "정족수",
    "Services without a task": "태스크가 사라지는 서비스",
    "Tasks to move": "옮길 태스크",
    "kept: {left} of {all} managers": "유지: 매니저 {all}대 중 {left}대",
    "lost: {left} of {all} managers, {quorum} needed": "상실: 매니저 {all}대 중 {left}대, {quorum}대 필요",
    "no other host can run:": "다른 호스트에서 실행 불가:",
    "until they start elsewhere:": "다른 곳에서 시작될 때까지:",
    "none": "없음",
    "does not answer now": "현재 응답 없음",
    "{part} of {all} ready": "{all}대 중 {part}대 준비됨",
    "the quorum is lost": "정족수 상실",
    "without a task:": "태스크가 사라짐:",
    "reserved": "예약됨",
    "{missing:.1f} CPUs too few": "CPU {missing:.1f}개 부족",
    "{missing:.1f} GiB of memory too little": "메모리 {missing:.1f} GiB 부족",
    "There is no earlier report to compare with.": "비교할 이전 보고서가 없습니다.",
    "No manager answers, so nothing can be compared with the report of {time}.": (
        "응답하는 매니저가 없어 {time} 보고서와 비교할 수 없습니다."
    ),
    "Since the report of {time}": "{time} 보고서 이후",
    "Nothing has changed since the report of {time}.": "{time} 보고서 이후 바뀐 것이 없습니다.",
    "The last {count} reports, the latest at the right: {verdicts}": (
        "최근 보고서 {count}건, 오른쪽이 최신: {verdicts}"
    ),
    "Disks": "디스크",
    "Free space of the disks with the engines' data": "엔진 데이터 디스크의 여유 공간",
    "{percent}% free": "{percent}% 남음",
    "Addresses of networks": "네트워크 주소",
    "Used addresses of the overlay networks": "오버레이 네트워크에서 사용 중인 주소",
    "Engines": "엔진",
    "All checks": "전체 점검 항목",
    "All checks and what they found": "전체 점검 항목과 결과",
    "Made by flotilla.swarm from the answers of one manager. Nothing runs in the swarm for this page.": (
        "flotilla.swarm이 매니저 한 대의 응답으로 만들었습니다. 이 페이지를 위해 스웜에서 실행되는 것은 없습니다."
    ),
    # The plan
    "What a run of site.yml would do now. The map shows each host before and after it.": (
        "지금 site.yml을 실행하면 할 일입니다. 지도에는 호스트마다 실행 전과 후가 함께 표시됩니다."
    ),
    "The steps of the plan": "계획의 단계",
    "Step": "단계",
    "Host": "호스트",
    "Change": "변경",
    "Before and after": "실행 전과 후",
    "Now": "현재",
    "After": "실행 후",
    "Nothing would change.": "바뀔 것이 없습니다.",
    "after the run:": "실행 후:",
    "Hosts in zone {zone}": "영역 {zone}의 호스트",
    "Hosts without a zone": "영역 없는 호스트",
    "not in the swarm": "스웜에서 제거됨",
    "unlock": "잠금 해제",
    "engine": "엔진",
    "initialise": "초기화",
    "join": "참여",
    "settings": "설정",
    "promote": "승격",
    "labels": "레이블",
    "availability": "가용성",
    "demote": "강등",
    "rejoin": "재참여",
    "remove": "제거",
    "The plan is refused": "계획이 거부됨",
    "Nothing was changed. A run of site.yml begins when each of these is mended.": (
        "변경된 것은 없습니다. 아래 항목을 모두 해결하면 site.yml을 실행할 수 있습니다."
    ),
    "drain": "드레인",
    "leave": "탈퇴",
    "join again": "다시 참여",
    "left over from before the host was reinstalled": "호스트를 다시 설치하기 전의 노드",
    "line deleted, has left": "인벤토리에서 삭제됨, 이미 탈퇴함",
    "line deleted, down for {time}": "인벤토리에서 삭제됨, {time} 동안 중단됨",
    "line deleted: {actions}": "인벤토리에서 삭제됨: {actions}",
    "its address has changed: {actions}": "주소가 바뀜: {actions}",
    "drain {tasks}": "드레인({tasks})",
    "{role}, is already joining: wait for it": "{role}, 이미 참여하는 중: 완료될 때까지 대기",
    "retrying an incomplete join": "끝나지 않은 참여를 다시 시도",
    "worker -> manager": "워커 -> 매니저",
    "manager -> worker": "매니저 -> 워커",
    "restart its engine first (it joined through {address})": "먼저 엔진을 다시 시작 ({address}을(를) 통해 참여했음)",
    "moves {tasks}": "옮길 태스크: {tasks}",
    "stops {tasks}": "멈출 태스크: {tasks}",
    "as before its restart": "다시 시작하기 전의 상태로",
    "its removal is cancelled": "제거가 취소됨",
    "remove the mark of a restart that is done": "끝난 재시작의 표시를 삭제",
    "clean up after an interrupted drain": "중단된 드레인을 정리",
    "{key} removed": "{key} 삭제",
    "{label} (was {old})": "{label} (이전 값: {old})",
    "empty": "비어 있음",
    "known as {name} (was {old})": "새 이름 {name} (이전 이름: {old})",
    "record its name in the inventory ({name}) and which labels are ours": (
        "인벤토리의 이름({name})과 우리가 설정한 레이블을 기록"
    ),
    "managers {before} -> {after}, {tolerates}": "매니저 {before}대 -> {after}대, {tolerates}",
    "managers {total} -> {fewer} -> {total} meanwhile": "매니저 {total}대 -> 잠시 {fewer}대 -> {total}대",
    "its engine was restarted with autolock on": "자동 잠금이 켜진 채로 엔진이 다시 시작됨",
    # What the plan holds back
    "not listed, but not removed: {names} did not answer and may be this node; bring it back first": (
        "인벤토리에 없지만 제거하지 않음: 응답하지 않은 {names}이(가) 이 노드일 수 있으니 먼저 복구하세요"
    ),
    "not listed, but not removed: {names} did not answer and may be this node; bring them back first": (
        "인벤토리에 없지만 제거하지 않음: 응답하지 않은 {names} 중 하나가 이 노드일 수 있으니 먼저 복구하세요"
    ),
    "not listed, but not removed: {why}": "인벤토리에 없지만 제거하지 않음: {why}",
    "not listed, and its state is {state}: run again": "인벤토리에 없고 상태가 {state}임: 다시 실행하세요",
    "not listed, and down for {since:.0f} s: it is removed after {limit} s (swarm_removal_down_after)": (
        "인벤토리에 없고 {since:.0f}초 동안 중단됨: {limit}초가 지나면 제거됨 (swarm_removal_down_after)"
    ),
    "not listed, and one run may remove at most {most} (swarm_removal_limit): run again": (
        "인벤토리에 없지만 한 번에 최대 {most}개만 제거할 수 있음 (swarm_removal_limit): 다시 실행하세요"
    ),
    "not promoted: its node is {state}; start its engine and run again": (
        "승격하지 않음: 노드 상태가 {state}임. 엔진을 시작하고 다시 실행하세요"
    ),
    "not demoted: {why}": "강등하지 않음: {why}",
    "does not rejoin with its new address: {why}": "새 주소로 다시 참여하지 않음: {why}",
    "its promotion is still in progress: run again": "아직 승격하는 중: 다시 실행하세요",
    "{reachable} of {total} managers would answer, but a quorum needs {quorum}: bring managers back or add some first": (
        "매니저 {total}대 중 {reachable}대만 응답하게 되는데 정족수는 {quorum}대임: 먼저 매니저를 복구하거나 추가하세요"
    ),
    "{reachable} of {total} managers would answer, which {tolerates} instead of {floor}: bring managers back or add some first,"
    " or add lost_margin to swarm_accepted_risks": (
        "매니저 {total}대 중 {reachable}대가 응답하게 되어 {tolerates} (현재 {floor}건): 먼저 매니저를 복구하거나 추가하세요."
        " 감수하려면 swarm_accepted_risks에 lost_margin을 추가하세요"
    ),
    "no other listed manager answers, and the acting manager cannot demote itself: bring one back": (
        "응답하는 다른 매니저가 인벤토리에 없고, 작업 중인 매니저는 자신을 강등할 수 없음: 매니저 한 대를 복구하세요"
    ),
    # What the plan does with engines
    "finish an interrupted run of the package manager": "중단된 패키지 관리자 작업을 마무리",
    "replace {names}": "{names} 교체",
    "install {package}": "{package} 설치",
    "the docker command": "docker 명령",
    "set up {uri}": "{uri} 설정",
    "hold {names}": "{names} 버전 고정",
    "release {names}": "{names} 버전 고정 해제",
    "upgrade {change}": "{change} 업그레이드",
    "downgrade {change}": "{change} 다운그레이드",
    "change {change}": "{change} 변경",
    "write {path}: {names}": "{path} 작성: {names}",
    "remove the engine's proxies": "엔진의 프록시 삭제",
    "set the engine's proxies": "엔진의 프록시 설정",
    "trust the CA of registry {name}": "레지스트리 {name}의 CA를 신뢰",
    "log in to registry {name}": "레지스트리 {name}에 로그인",
    "add {names} to the group docker": "{names}: docker 그룹에 추가",
    "install the Docker SDK for Python in {path}": "{path}에 Python용 Docker SDK 설치",
    "enable and start the engine": "엔진을 활성화하고 시작",
    "enable the engine": "엔진을 활성화",
    "restart the engine": "엔진을 다시 시작",
    "restart the engine, which still holds port {port} of a swarm that it has left": (
        "탈퇴한 스웜의 {port} 포트를 아직 잡고 있는 엔진을 다시 시작"
    ),
    # Why the plan of an engine is refused
    "{host}: docker_engine_source={source} is not supported on {system}: install an engine yourself and set"
    " docker_engine_source=none": (
        "{host}: {system}에서는 docker_engine_source={source}를 지원하지 않음: 엔진을 직접 설치하고 docker_engine_source=none으로 설정하세요"
    ),
    "{host}: packages of docker_engine_source={source} would replace {names}, which is installed: choose the other source, or"
    " allow it with docker_engine_replace=true": (
        "{host}: docker_engine_source={source}의 패키지가 설치된 {names}을(를) 교체하게 됨: 다른 소스를 고르거나"
        " docker_engine_replace=true로 허용하세요"
    ),
    "{host}: no engine is installed and docker_engine_source is none: install one, or set docker_engine_source to distro or"
    " docker_ce": (
        "{host}: 엔진이 설치되어 있지 않고 docker_engine_source가 none임: 엔진을 설치하거나 docker_engine_source를 distro 또는 docker_ce로"
        " 설정하세요"
    ),
    "{host}: engine {version} is too old, the oldest supported one is {oldest}: upgrade it, or set docker_engine_source to distro"
    " or docker_ce": (
        "{host}: 엔진 {version}은(는) 너무 오래됨(지원하는 최소 버전 {oldest}): 업그레이드하거나 docker_engine_source를 distro 또는"
        " docker_ce로 설정하세요"
    ),
    "{host}: engine {version} runs, but docker_engine_version is {pin} and docker_engine_source is none: change one of the three": (
        "{host}: 실행 중인 엔진은 {version}인데 docker_engine_version은 {pin}이고 docker_engine_source는 none임: 셋 중 하나를 바꾸세요"
    ),
    "{host}: {name} {have} is installed, and {variable} is the older {pin}: a downgrade is done only with"
    " docker_engine_allow_downgrade=true": (
        "{host}: {name} {have}이(가) 설치되어 있는데 {variable}은(는) 더 낮은 {pin}임: 다운그레이드하려면"
        " docker_engine_allow_downgrade=true로 설정하세요"
    ),
    "{host}: its os-release names no suite: set docker_engine_repository_suite": (
        "{host}: os-release에 배포판 코드명이 없음: docker_engine_repository_suite를 설정하세요"
    ),
    "{host}: docker_engine_repository_key is not an OpenPGP public key: {why}": (
        "{host}: docker_engine_repository_key가 OpenPGP 공개 키가 아님: {why}"
    ),
    "{host}: docker_engine_repository_key has the fingerprint {found}, but docker_engine_repository_key_fingerprint is {pinned}:"
    " use the right key, or pin this one": (
        "{host}: docker_engine_repository_key의 지문은 {found}인데 docker_engine_repository_key_fingerprint는 {pinned}임:"
        " 올바른 키를 쓰거나 이 지문으로 고정하세요"
    ),
    "{host}: {path} cannot be used ({why}): correct or remove it": (
        "{host}: {path}을(를) 사용할 수 없음({why}): 고치거나 삭제하세요"
    ),
    "{host}: {path} is not a configuration of Docker: correct or remove it": (
        "{host}: {path}은(는) Docker 설정 파일이 아님: 고치거나 삭제하세요"
    ),
    "{host}: docker_engine_address_pools has a value that is no network: {why}": (
        "{host}: docker_engine_address_pools에 네트워크가 아닌 값이 있음: {why}"
    ),
    "{host}: docker_engine_address_pools: {network} has no networks of size {size}; size is a prefix length from {least} to {most}": (
        "{host}: docker_engine_address_pools: {network}은(는) 크기 {size}의 네트워크로 나눌 수 없음. size는 {least}부터 {most}까지의"
        " 접두사 길이여야 함"
    ),
    "docker_engine_daemon sets it": "docker_engine_daemon에 설정되어 있음",
    "{path} on the host has it": "호스트의 {path}에 설정되어 있음",
    "{host}: an engine with live-restore refuses swarm mode, and {origin}: set live-restore to null in docker_engine_daemon": (
        "{host}: live-restore를 켠 엔진은 스웜 모드를 거부함({origin}): docker_engine_daemon에서 live-restore를 null로 설정하세요"
    ),
    "{host}: an engine with live-restore refuses swarm mode, and the engine's command line sets it: remove --live-restore from"
    " docker.service": (
        "{host}: live-restore를 켠 엔진은 스웜 모드를 거부함(엔진의 명령줄에 설정되어 있음): docker.service에서 --live-restore를 삭제하세요"
    ),
    "{host}: an engine with the nftables firewall backend refuses swarm mode, and {origin}: set firewall-backend to iptables or"
    " null in docker_engine_daemon": (
        "{host}: 방화벽 백엔드가 nftables인 엔진은 스웜 모드를 거부함({origin}): docker_engine_daemon에서 firewall-backend를 iptables 또는"
        " null로 설정하세요"
    ),
    "{host}: the engine does not start if docker_engine_daemon sets hosts, because the command line of docker.service sets it too"
    " (-H fd://): remove hosts, or first override ExecStart in a drop-in of your own": (
        "{host}: docker.service의 명령줄에도 hosts가 있어(-H fd://) docker_engine_daemon에 hosts를 설정하면 엔진이 시작되지 않음: hosts를"
        " 삭제하거나 먼저 드롭인 파일에서 ExecStart를 재정의하세요"
    ),
    # What the plan of an engine leaves to people
    "{host}: the new packages restart the engine of a node in a swarm and stop its tasks; the playbook"
    " flotilla.swarm.upgrade_engine does it without a dip: it drains each node first": (
        "{host}: 새 패키지를 설치하면 스웜 노드의 엔진이 다시 시작되어 태스크가 멈춤. 플레이북 flotilla.swarm.upgrade_engine을 쓰면 노드를"
        " 먼저 드레인하므로 중단이 없음"
    ),
    "{host}: PID 1 is not systemd, so starting the engine is left to you (dockerd, in the background)": (
        "{host}: PID 1이 systemd가 아니므로 엔진은 직접 시작해야 함 (dockerd를 백그라운드로 실행)"
    ),
    "{host}: PID 1 is not systemd, so restarting the engine is left to you ({reasons})": (
        "{host}: PID 1이 systemd가 아니므로 엔진은 직접 다시 시작해야 함 ({reasons})"
    ),
    "{path} changes": "{path} 변경",
    "its proxies change": "프록시 변경",
    "its packages change": "패키지 변경",
    "an earlier run was interrupted before its restart": "이전 실행이 재시작 전에 중단됨",
    "in its next swarm, overlay networks would not work": (
        "다음 스웜에서 오버레이 네트워크가 동작하지 않게 됨"
    ),
    # What would keep a host from becoming a node
    "{host}: its kernel has no {feature}, which nodes of a swarm need: load or install the module, or remove it from"
    " docker_engine_kernel_features": (
        "{host}: 스웜 노드에 필요한 {feature}이(가) 커널에 없음: 모듈을 로드하거나 설치하고, 필요 없으면"
        " docker_engine_kernel_features에서 삭제하세요"
    ),
    "{host}: it has IPv6 addresses alone: give it an IPv4 address, because the overlay networks of a swarm need one": (
        "{host}: IPv6 주소만 있음: 스웜의 오버레이 네트워크에는 IPv4 주소가 필요하므로 IPv4 주소를 설정하세요"
    ),
    "{host}: {path} has {free} MB free, less than {limit} MB: free space, or lower docker_engine_disk_free_mb": (
        "{host}: {path}의 여유 공간이 {free} MB로 {limit} MB보다 적음: 공간을 확보하거나 docker_engine_disk_free_mb를 낮추세요"
    ),
    "{host}: its clock is {skew:.0f} s ahead of the other hosts' (limit {limit:g} s): synchronise it with NTP, or raise"
    " docker_engine_clock_skew_limit": (
        "{host}: 시계가 다른 호스트보다 {skew:.0f}초 빠름(한도 {limit:g}초): NTP로 동기화하거나 docker_engine_clock_skew_limit을 높이세요"
    ),
    "{host}: its clock is {skew:.0f} s behind the other hosts' (limit {limit:g} s): synchronise it with NTP, or raise"
    " docker_engine_clock_skew_limit": (
        "{host}: 시계가 다른 호스트보다 {skew:.0f}초 느림(한도 {limit:g}초): NTP로 동기화하거나 docker_engine_clock_skew_limit을 높이세요"
    ),
    "{host}: port {port}/{protocol}, on which {purpose}, is in use although the host is in no swarm: {remedy}": (
        "{host}: 스웜에 속하지 않은 호스트에서 포트 {port}/{protocol}({purpose})을(를) 이미 사용 중. 조치: {remedy}"
    ),
    "managers communicate": "매니저 간 통신",
    "nodes gossip": "노드 간 가십 통신",
    "overlay networks send their traffic": "오버레이 네트워크 트래픽",
    "stop what listens there": "그 포트를 사용하는 프로그램을 중지",
    "stop what listens there, or change swarm_data_path_port": (
        "그 포트를 사용하는 프로그램을 중지하거나 swarm_data_path_port를 변경"
    ),
    "run with --become: only root can see whether the engine itself holds it": (
        "--become을 붙여 실행(엔진 자신이 잡고 있는지는 root만 알 수 있음)"
    ),
    "the engine's default address pool": "엔진의 기본 주소 풀",
    "{host}: swarm_default_addr_pool has {value}, which is not a network such as 10.20.0.0/16": (
        "{host}: swarm_default_addr_pool의 {value}은(는) 10.20.0.0/16과 같은 네트워크가 아님"
    ),
    "{host}: its route to {route} overlaps {given} {network}: set swarm_default_addr_pool to networks that no host has a route to": (
        "{host}: {route} 경로가 {given} {network}과(와) 겹침: swarm_default_addr_pool을 어느 호스트에도 경로가 없는 네트워크로 설정하세요"
    ),
    # What words that are in English only are about
    "The manager that was asked cannot tell the state of the swarm.": "조회한 매니저에서 스웜의 상태를 확인할 수 없습니다.",
    "A value in the inventory or of a variable cannot be used. Correct it and run again.": (
        "인벤토리나 변수의 값을 사용할 수 없습니다. 값을 고치고 다시 실행하세요."
    ),
    "The acting manager could not check the plan. Correct the cause and run again.": (
        "작업 중인 매니저가 계획을 점검하지 못했습니다. 원인을 해결하고 다시 실행하세요."
    ),
    "the manager that acts was lost while it held the plan against the services: run again": (
        "계획을 서비스와 대조하던 중 작업 중인 매니저와의 연결이 끊어짐: 다시 실행하세요"
    ),
    "The repository or the folder cannot be used. Nothing is deployed from it.": (
        "저장소나 폴더를 사용할 수 없어 아무것도 배포하지 않습니다."
    ),
    "The application is suspended. Nothing is deployed until it is resumed.": (
        "애플리케이션이 일시 중단되었습니다. 재개할 때까지 배포하지 않습니다."
    ),
    "Its repository or its files cannot be used now.": "지금은 저장소나 파일을 사용할 수 없습니다.",
    "The deploy has failed and was rolled back. Correct the cause in git.": (
        "배포에 실패하여 롤백했습니다. git에서 원인을 고치세요."
    ),
    "The deploy has failed. Correct the cause in git.": "배포에 실패했습니다. git에서 원인을 고치세요.",
    "The swarm does not run what is in git.": "스웜에서 실행 중인 것이 git의 내용과 다릅니다.",
    "The services of the application do not run as asked.": (
        "애플리케이션의 서비스가 설정대로 실행되지 않습니다."
    ),
    # What the plan warns of
    "{host}: no {feature} in the kernel: {consequence}": "{host}: 커널에 {feature}이(가) 없음: {consequence}",
    "published ports in ingress mode and service VIPs do not work there (use mode: host and endpoint_mode: dnsrr)": (
        "그곳에서는 ingress 모드의 공개 포트와 서비스 VIP가 동작하지 않음 (mode: host와 endpoint_mode: dnsrr을 사용하세요)"
    ),
    "{host}: net.ipv4.ip_forward is 0 although the engine has set it to 1: no published port answers until it is 1 again (see the"
    " files in /etc/sysctl.d)": (
        "{host}: 엔진이 1로 설정한 net.ipv4.ip_forward가 0임: 다시 1이 될 때까지 공개 포트가 응답하지 않음 (/etc/sysctl.d의 파일을"
        " 확인하세요)"
    ),
    "{host}: iptables writes rules of nf_tables, and the kernel has tables of legacy iptables ({tables}) as well: packets must pass"
    " both (remove those that iptables-legacy-save shows, or reboot)": (
        "{host}: iptables는 nf_tables 규칙을 쓰는데 커널에 레거시 iptables 테이블({tables})도 있음: 패킷은 양쪽을 모두 통과해야 함"
        " (iptables-legacy-save가 보여 주는 규칙을 삭제하거나 재부팅하세요)"
    ),
    "{host}: more than one interface has rp_filter 1: packets from a node whose answers would leave by another interface are dropped"
    " (set net.ipv4.conf.all.rp_filter to 2 if nodes reach each other over several networks)": (
        "{host}: rp_filter가 1인 인터페이스가 둘 이상임: 응답이 다른 인터페이스로 나가는 노드의 패킷은 버려짐 (노드들이 여러"
        " 네트워크로 서로 연결된다면 net.ipv4.conf.all.rp_filter를 2로 설정하세요)"
    ),
    "{host}: where VMware NSX carries the network, it takes 4789/udp for itself, and overlay networks lose their traffic (then set"
    " swarm_data_path_port, for example to 7789, before the swarm is initialised)": (
        "{host}: VMware NSX를 쓰는 네트워크에서는 NSX가 4789/udp를 차지하여 오버레이 네트워크의 통신이 되지 않음 (그렇다면 스웜을"
        " 초기화하기 전에 swarm_data_path_port를 예를 들어 7789로 설정하세요)"
    ),
    "{host}: network cards with the driver {driver} can compute wrong checksums of VXLAN packets, which the receiver drops (if"
    " containers on different hosts do not reach each other, set swarm_fix_offload: true)": (
        "{host}: {driver} 드라이버의 네트워크 카드는 VXLAN 패킷의 체크섬을 잘못 계산할 수 있고, 받는 쪽은 그런 패킷을 버림 (서로 다른"
        " 호스트의 컨테이너끼리 통신이 되지 않으면 swarm_fix_offload: true로 설정하세요)"
    ),
    "encrypted overlay networks carry no traffic there": "그곳에서는 암호화된 오버레이 네트워크의 통신이 되지 않음",
    "the swarm is locked: the run unlocks it and plans again": "스웜이 잠겨 있음: 실행하면 잠금을 풀고 다시 계획함",
    "{name} was in a swarm and its engine is stopped: the run starts the engine and plans again": (
        "{name}: 스웜에 속했으나 엔진이 멈춤. 실행하면 엔진을 시작하고 다시 계획함"
    ),
    "no node is removed, because this run leaves out listed hosts ({names}): run without --limit": (
        "이번 실행에서 빠진 호스트({names})가 있어 노드를 제거하지 않음: --limit 없이 실행하세요"
    ),
    "{host}: its advertise address is {old}, and the inventory wants {new}; to change it, the host must leave the swarm and join"
    " again: set swarm_allow_rejoin: true for it": (
        "{host}: 알린 주소는 {old}이고 인벤토리의 주소는 {new}임. 바꾸려면 호스트가 스웜에서 나갔다가 다시 참여해야 함:"
        " swarm_allow_rejoin: true로 설정하세요"
    ),
    "{down} of {managers} managers cannot be reached, and a quorum needs {quorum}: bring it back": (
        "매니저 {managers}대 중 {down}대에 연결할 수 없음, 정족수는 {quorum}대: 복구하세요"
    ),
    "{down} of {managers} managers cannot be reached, and a quorum needs {quorum}: bring them back": (
        "매니저 {managers}대 중 {down}대에 연결할 수 없음, 정족수는 {quorum}대: 모두 복구하세요"
    ),
    "the registry on {name} does not answer: nodes that need one of its images cannot pull it": (
        "{name}의 레지스트리가 응답하지 않음: 그 이미지가 필요한 노드는 이미지를 받을 수 없음"
    ),
    "{managers} tolerate {failures}, no more than {fewer} do: use an odd number of managers": (
        "{managers}는 {failures}까지 견디며 이는 {fewer}대일 때와 같음: 매니저 수를 홀수로 하세요"
    ),
    # Why a plan is refused
    "{host}: only root can see and change its engine: set ansible_become: true for it, or run with --become": (
        "{host}: root만 엔진을 보고 변경할 수 있음: ansible_become: true로 설정하거나 --become으로 실행하세요"
    ),
    "{host}: could not be unlocked: {why}": "{host}: 잠금을 해제하지 못함: {why}",
    "{name} is locked: its engine was restarted with autolock on; set swarm_unlock_key, or unlock it there with 'docker swarm"
    " unlock', and run again": (
        "{name}이(가) 잠김: 자동 잠금이 켜진 채로 엔진이 다시 시작됨. swarm_unlock_key를 설정하거나 그곳에서 'docker swarm unlock'으로"
        " 해제한 뒤 다시 실행하세요"
    ),
    "the swarm on {name} is in an error state ({error}): fix the cause, or let the host leave with 'docker swarm leave --force',"
    " and run again": (
        "{name}의 스웜이 오류 상태임 ({error}): 원인을 해결하거나 'docker swarm leave --force'로 나가게 한 뒤 다시 실행하세요"
    ),
    "the swarm state of {name} cannot be read ({error}): check its engine with 'systemctl status docker' and run again": (
        "{name}의 스웜 상태를 읽을 수 없음 ({error}): 'systemctl status docker'로 엔진을 확인하고 다시 실행하세요"
    ),
    "the listed hosts are in {count} swarms ({found}): an inventory describes one swarm; let the hosts of the others leave with"
    " 'docker swarm leave', or remove them from the inventory": (
        "인벤토리의 호스트가 스웜 {count}개에 나뉘어 있음 ({found}): 인벤토리는 스웜 하나를 나타냄. 다른 스웜의 호스트는 'docker swarm"
        " leave'로 나가게 하거나 인벤토리에서 삭제하세요"
    ),
    "{name} was removed from the swarm but has not left it (its node ID {node_id} is unknown to {acting}): to join it to this"
    " swarm, run 'docker swarm leave --force' there and run again": (
        "{name}은(는) 스웜에서 제거되었으나 아직 나가지 않음 ({acting}이(가) 노드 ID {node_id}을(를) 모름): 이 스웜에 참여시키려면"
        " 그곳에서 'docker swarm leave --force'를 실행하고 다시 실행하세요"
    ),
    "{name} is in another swarm (its node ID {node_id} is unknown to {acting}; its managers are {managers}): to join it to this"
    " swarm, run 'docker swarm leave --force' there and run again": (
        "{name}은(는) 다른 스웜에 속함 ({acting}이(가) 노드 ID {node_id}을(를) 모름, 매니저: {managers}): 이 스웜에 참여시키려면"
        " 그곳에서 'docker swarm leave --force'를 실행하고 다시 실행하세요"
    ),
    "not known": "알 수 없음",
    "{names} is in a swarm, but no listed manager was asked about it ({unasked}): bring one back, or add one to --limit, and run"
    " again": (
        "{names}은(는) 스웜에 속하지만 인벤토리의 매니저에게 물어보지 못함 ({unasked}): 한 대를 복구하거나 --limit에 추가하고 다시"
        " 실행하세요"
    ),
    "{names} are in a swarm, but no listed manager was asked about it ({unasked}): bring one back, or add one to --limit, and run"
    " again": (
        "{names}은(는) 스웜에 속하지만 인벤토리의 매니저에게 물어보지 못함 ({unasked}): 한 대를 복구하거나 --limit에 추가하고 다시"
        " 실행하세요"
    ),
    "{names} is a worker of a swarm that has no listed manager (its managers are {managers}): add its managers to the inventory,"
    " or run 'docker swarm leave' there, and run again": (
        "{names}은(는) 인벤토리에 매니저가 없는 스웜의 워커임 (매니저: {managers}): 그 매니저를 인벤토리에 추가하거나 그곳에서 'docker"
        " swarm leave'를 실행하고 다시 실행하세요"
    ),
    "{names} are workers of a swarm that has no listed manager (its managers are {managers}): add its managers to the inventory,"
    " or run 'docker swarm leave' there, and run again": (
        "{names}은(는) 인벤토리에 매니저가 없는 스웜의 워커임 (매니저: {managers}): 그 매니저를 인벤토리에 추가하거나 그곳에서 'docker"
        " swarm leave'를 실행하고 다시 실행하세요"
    ),
    "the swarm of {names} has lost its quorum: no leader answers, so nothing can be planned or changed; bring back more than half"
    " of its managers (no answer from {away}) and run again": (
        "{names}의 스웜은 정족수가 깨짐: 응답하는 리더가 없어 계획하거나 변경할 수 없음. 매니저의 과반수를 복구하고"
        " (응답 없음: {away}) 다시 실행하세요"
    ),
    "the swarm of {names} has lost its quorum: no leader answers, so nothing can be planned or changed; bring back more than half"
    " of its managers and run again": (
        "{names}의 스웜은 정족수가 깨짐: 응답하는 리더가 없어 계획하거나 변경할 수 없음. 매니저의 과반수를 복구하고 다시 실행하세요"
    ),
    "no listed host is in a swarm, and {names} did not answer and may already be in one: a second swarm would split the cluster."
    " Bring these hosts back or, if they are new or gone for good, set swarm_allow_partial_init: true": (
        "인벤토리의 어떤 호스트도 스웜에 속하지 않고, 응답하지 않은 {names}은(는) 이미 스웜에 속할 수 있음: 두 번째 스웜은 클러스터를"
        " 나누게 됨. 이 호스트를 복구하거나, 새 호스트이거나 완전히 없어졌다면 swarm_allow_partial_init: true로 설정하세요"
    ),
    "no listed host is in a swarm, and no manager can be reached to initialise one: bring one back and run again": (
        "인벤토리의 어떤 호스트도 스웜에 속하지 않고, 스웜을 초기화할 매니저에 연결할 수 없음: 한 대를 복구하고 다시 실행하세요"
    ),
    "{name} is at {address} in the inventory, but the node of that name is {state} at {old}: to replace that machine, list the new"
    " one under another name and delete the line {name}, or switch the old one off and run again once its node is down; otherwise"
    " restore its address": (
        "{name}의 인벤토리 주소는 {address}인데 같은 이름의 노드가 {old}에서 {state} 상태임: 장비를 교체하려면 새 장비를 다른 이름으로"
        " 추가하고 {name} 줄을 삭제하거나, 이전 장비를 끄고 노드가 중단된 뒤 다시 실행하세요. 아니면 주소를 되돌리세요"
    ),
    "{count} of {total} nodes are not listed and would be removed ({names}), but one run may remove at most {most}: check that the"
    " inventory is complete; if it is, set swarm_removal_limit to {limit:g} (now {now:g})": (
        "노드 {total}개 중 {count}개가 인벤토리에 없어 제거될 예정이지만 ({names}) 한 번에 최대 {most}개만 제거할 수 있음: 인벤토리가"
        " 완전한지 확인하고, 맞다면 swarm_removal_limit을 {limit:g}(으)로 설정하세요 (현재 {now:g})"
    ),
    "fault tolerance would drop from {managers} to 0 ({now} managers now, {total} in the inventory): list at least three managers,"
    " or add lost_margin to swarm_accepted_risks": (
        "내결함성이 {managers}에서 0으로 떨어짐 (매니저: 현재 {now}대, 인벤토리 {total}대): 매니저를 세 대 이상 두거나"
        " swarm_accepted_risks에 lost_margin을 추가하세요"
    ),
    "{fault}; or add uneven_zones to swarm_accepted_risks": (
        "{fault}. 감수하려면 swarm_accepted_risks에 uneven_zones를 추가하세요"
    ),
    "{loss}: {advice}, or add {risk} to swarm_accepted_risks": (
        "{loss}: {advice}. 감수하려면 swarm_accepted_risks에 {risk}을(를) 추가하세요"
    ),
    "zone {zone} holds {held} of {total} managers, and losing it would lose the quorum ({quorum}): spread the managers over the"
    " zones": (
        "영역 {zone}에 매니저 {total}대 중 {held}대가 있어 잃으면 정족수({quorum}대)가 깨짐: 매니저를 여러 영역에 분산하세요"
    ),
    "zone {zone} would hold {held} of {total} managers, and losing it would lose the quorum ({quorum}): spread the managers over"
    " the zones": (
        "영역 {zone}에 매니저 {total}대 중 {held}대가 있게 되어 잃으면 정족수({quorum}대)가 깨짐: 매니저를 여러 영역에 분산하세요"
    ),
    "zone {zone} has no manager, of {total} in three zones: make a host there a manager": (
        "세 영역의 매니저 {total}대 중 영역 {zone}에는 매니저가 없음: 그곳의 호스트를 매니저로 지정하세요"
    ),
    "zone {zone} would have no manager, of {total} in three zones: make a host there a manager": (
        "세 영역의 매니저 {total}대 중 영역 {zone}에는 매니저가 없게 됨: 그곳의 호스트를 매니저로 지정하세요"
    ),
    "any node": "모든 노드",
    "no remaining node could run the service {name} ({constraint}; {count} can now)": (
        "남는 노드 중 서비스 {name}을(를) 실행할 수 있는 노드가 없음 ({constraint}, 현재 {count}개 가능)"
    ),
    "keep or add one": "그런 노드를 남기거나 추가하세요",
    "{tasks} of the service {name} would find no room on the remaining nodes ({lack})": (
        "서비스 {name}의 {tasks}를 배치할 자리가 남는 노드에 없음 ({lack})"
    ),
    "add a node, lower the reservations": "노드를 추가하거나 예약을 줄이세요",
    # Applications, the backup, hosts beside the swarm
    "Applications": "애플리케이션",
    "What is deployed from git": "git에서 배포한 애플리케이션",
    "Application": "애플리케이션",
    "Status": "상태",
    "Commit": "커밋",
    "Deployed": "배포",
    "synced": "동기화됨",
    "suspended": "일시 중단",
    "out of sync": "동기화 안 됨",
    "sync unknown": "동기화 상태 알 수 없음",
    "healthy": "정상",
    "progressing": "진행 중",
    "missing": "없음",
    "Last backup": "마지막 백업",
    "done": "완료",
    "in progress": "진행 중",
    "has failed": "실패함",
    "Beside the swarm": "스웜 밖의 호스트",
    "Registry": "레지스트리",
    "Builder": "빌더",
    # Why a service is not as asked, in our words
    "something else changed the service since": "그 뒤에 다른 무언가가 서비스를 변경함",
    "the update is in progress": "업데이트 진행 중",
    "{count} task of the previous spec still runs": "이전 사양의 태스크 {count}개가 아직 실행 중",
    "{count} tasks of the previous spec still run": "이전 사양의 태스크 {count}개가 아직 실행 중",
    "no task yet": "아직 태스크 없음",
    "the node does not answer": "노드가 응답하지 않음",
    "no reason given": "알려진 이유 없음",
    # Changes
    "stack {name}: revision {old} → {new}": "스택 {name}: 리비전 {old} → {new}",
    "application {name}: commit {old} → {new}": "애플리케이션 {name}: 커밋 {old} → {new}",
    "{name} is new in the swarm": "{name}: 스웜에 새로 참여",
    "{name} is no longer in the swarm": "{name}: 스웜에서 빠짐",
    "{name}: role {old} → {new}": "{name}: 역할 {old} → {new}",
    "{name}: state {old} → {new}": "{name}: 상태 {old} → {new}",
    "{name}: availability {old} → {new}": "{name}: 가용성 {old} → {new}",
    "{name}: engine {old} → {new}": "{name}: 엔진 {old} → {new}",
    "{name}: zone {old} → {new}": "{name}: 영역 {old} → {new}",
    "service {name} is new": "서비스 {name}: 새로 생김",
    "service {name} was removed": "서비스 {name}: 삭제됨",
    "service {name}: image {old} → {new}": "서비스 {name}: 이미지 {old} → {new}",
    "service {name}: tasks {old} → {new}": "서비스 {name}: 태스크 {old}개 → {new}개",
    "service {name}: {running} of {wanted} tasks run": "서비스 {name}: 태스크 {wanted}개 중 {running}개 실행 중",
    "service {name}: update {state}": "서비스 {name}: 업데이트 {state}",
    "There is no swarm yet. A run of site.yml creates it.": "아직 스웜이 없습니다. site.yml을 실행하면 만들어집니다.",
    "The host that was asked is in no swarm.": "조회한 호스트는 스웜에 속하지 않습니다.",
    # Names of checks
    "Engine": "엔진",
    "Swarm": "스웜",
    "Leader": "리더",
    "Nodes": "노드",
    "Hosts": "호스트",
    "Waiting tasks": "대기 중인 태스크",
    "Restarts": "재시작",
    "Updates": "업데이트",
    "Orphaned tasks": "남겨진 태스크",
    "Network between nodes": "노드 간 네트워크",
    "Networks": "네트워크",
    "Routing mesh": "라우팅 메시",
    "Certificates": "인증서",
    "Clocks": "시계",
    "Versions": "버전",
    "Autolock": "자동 잠금",
    "Encryption": "암호화",
    # What checks find: the swarm and its managers
    "not checked: no manager is available": "확인 안 함: 사용할 수 있는 매니저가 없음",
    "the swarm has lost its quorum: no manager can change anything; running tasks keep running": (
        "스웜의 정족수가 깨져 어떤 매니저도 변경할 수 없음. 실행 중인 태스크는 계속 실행됨"
    ),
    "bring managers back until more than half of them answer": "과반수가 응답할 때까지 매니저를 복구하세요",
    "this manager is locked and waits for the unlock key": "이 매니저는 잠겨 있으며 잠금 해제 키를 기다림",
    "unlock it: docker swarm unlock": "잠금을 해제하세요: docker swarm unlock",
    "this host is in no swarm": "이 호스트는 스웜에 속하지 않음",
    "this host is still joining a swarm": "이 호스트는 아직 스웜에 참여하는 중",
    "this host is a worker": "이 호스트는 워커임",
    "run the check on a manager": "매니저에서 점검을 실행하세요",
    "the engine reports the swarm state {state}": "엔진이 알린 스웜 상태: {state}",
    "see the log of the engine": "엔진 로그를 확인하세요",
    "version {version} answers": "버전 {version} 응답함",
    "this host is an active manager": "이 호스트는 활성 매니저임",
    "{leader} leads": "현재 리더: {leader}",
    "the managers have no leader": "매니저 중에 리더가 없음",
    "bring managers back": "매니저를 복구하세요",
    "{reachable} of {managers} managers reachable, {tolerates}": (
        "매니저 {managers}대 중 {reachable}대 연결됨, {tolerates}"
    ),
    "tolerates {failures}": "{failures}까지 견딤",
    "{message}; lost: {names}": "{message}; 연결 끊김: {names}",
    "bring them back": "복구하세요",
    # Zones, nodes, hosts
    "no zones are set": "설정된 영역이 없음",
    "no zone: {count}": "영역 없음: {count}",
    "losing zone {zones} would break the quorum (managers {counts})": (
        "영역 {zones}: 잃으면 정족수가 깨짐 (매니저 {counts})"
    ),
    "losing zone {zone} would leave {services} without a task": (
        "영역 {zone}: 잃으면 태스크가 모두 사라지는 서비스 {services}"
    ),
    "losing any one zone keeps the quorum (managers {counts})": (
        "어느 영역 하나를 잃어도 정족수가 유지됨 (매니저 {counts})"
    ),
    "{managers}: all are needed ({counts})": "{managers}: 모두 필요함 ({counts})",
    "bring the lost managers back": "연결이 끊긴 매니저를 복구하세요",
    "spread the managers so that no zone has half of them": (
        "한 영역에 절반 이상이 몰리지 않도록 매니저를 분산하세요"
    ),
    "spread them over zones, or add a node in another zone": (
        "여러 영역에 분산하거나 다른 영역에 노드를 추가하세요"
    ),
    "{ready} of {total} ready": "{total}개 중 {ready}개 준비됨",
    "drained: {names}": "드레인됨: {names}",
    "paused: {names}": "일시 중지됨: {names}",
    "not ready: {names}": "준비되지 않음: {names}",
    "the new leader has not heard from: {names}": "새 리더에 아직 연락이 없음: {names}",
    "check again in a few seconds": "몇 초 뒤에 다시 확인하세요",
    "left over from before a host rejoined: {names}": "호스트가 다시 참여하기 전의 노드가 남아 있음: {names}",
    "unlock {names}: docker swarm unlock": "{names}의 잠금을 해제하세요: docker swarm unlock",
    "start the engine there": "해당 호스트의 엔진을 시작하세요",
    "start the engine there and unlock the managers": "해당 호스트의 엔진을 시작하고 매니저의 잠금을 해제하세요",
    "no answer from {names}: not checked in this run": "{names}: 응답이 없어 이번에는 확인하지 못함",
    "bring the host or its engine back, and run again": "호스트나 엔진을 복구한 뒤 다시 실행하세요",
    "all hosts answered": "모든 호스트가 응답함",
    # Services and tasks
    "{good} of {total} as asked, {tasks} on ready nodes": (
        "{total}개 중 {good}개가 설정대로 실행 중, 준비된 노드에 {tasks}"
    ),
    "{message}; short: {services}": "{message}; 태스크 부족: {services}",
    "{message}; still changing: {services}": "{message}; 변경 중: {services}",
    "see docker service ps": "docker service ps로 확인하세요",
    "check again later": "나중에 다시 확인하세요",
    "no task waits for a node": "노드 배정을 기다리는 태스크 없음",
    "{count} task waits for a node: {services}": "태스크 {count}개가 노드 배정을 기다림: {services}",
    "{count} tasks wait for a node: {services}": "태스크 {count}개가 노드 배정을 기다림: {services}",
    "add capacity or relax constraints": "자원을 늘리거나 배치 제약을 완화하세요",
    "tasks keep failing, in the last {window:g} s: {services}": (
        "태스크가 계속 실패함, 최근 {window:g}초: {services}"
    ),
    "tasks have failed repeatedly, in the last {window:g} s: {services}": (
        "태스크가 반복해서 실패함, 최근 {window:g}초: {services}"
    ),
    "see {commands}": "{commands} 명령으로 확인하세요",
    "{count} task has failed in the last {window:g} s": "최근 {window:g}초 동안 태스크 {count}개 실패",
    "{count} tasks have failed in the last {window:g} s": "최근 {window:g}초 동안 태스크 {count}개 실패",
    "rolled back: {names}": "롤백됨: {names}",
    "rolled back on request: {names}": "요청에 따라 롤백됨: {names}",
    "in progress: {names}": "진행 중: {names}",
    "none is paused or was rolled back": "일시 중지되거나 롤백된 업데이트 없음",
    "correct and deploy again": "수정한 뒤 다시 배포하세요",
    "{count} on {name}": "{name}에 {count}개",
    "no task is left on a dead node": "중단된 노드에 남은 태스크 없음",
    "tasks on dead nodes, which may still run there unseen: {words}": (
        "중단된 노드에 남아 보이지 않게 실행 중일 수 있는 태스크: {words}"
    ),
    "bring the node back, or remove it": "노드를 복구하거나 제거하세요",
    # The probe of the network
    "hosts do not reach each other": "호스트끼리 통신이 되지 않음",
    "packets pass in one direction only": "패킷이 한 방향으로만 전달됨",
    "a port is blocked": "포트가 막혀 있음",
    "blocked: {ports}": "막힌 포트: {ports}",
    "ESP does not pass": "ESP가 통과하지 못함",
    "the kernel lacks what overlay networks need": "오버레이 네트워크에 필요한 커널 기능이 없음",
    "a network card computes wrong checksums": "네트워크 카드가 체크섬을 잘못 계산함",
    "larger packets are lost": "큰 패킷이 유실됨",
    "packets for tasks go to wrong hosts": "태스크로 가는 패킷이 잘못된 호스트로 감",
    "names of services have no answer": "서비스 이름 조회에 응답이 없음",
    "names of services have old addresses": "서비스 이름에 예전 주소가 남아 있음",
    "names of services are not known": "서비스 이름을 찾을 수 없음",
    "engines of different versions cannot decrypt each other": (
        "버전이 다른 엔진끼리 암호화 트래픽을 해독하지 못함"
    ),
    "subnets overlap": "서브넷이 겹침",
    "packets are lost": "패킷이 유실됨",
    "published ports do not answer": "공개 포트가 응답하지 않음",
    "virtual IPs do not answer": "가상 IP가 응답하지 않음",
    "a prober has not reported": "점검 태스크가 결과를 보고하지 않음",
    "tasks do not reach each other, and nothing explains it": (
        "태스크끼리 통신이 되지 않으며 원인을 알 수 없음"
    ),
    "not checked: no result of swarm_probe was given": "확인 안 함: swarm_probe의 결과가 없음",
    "not checked: the probe was skipped": "확인 안 함: 네트워크 점검을 건너뜀",
    "not checked: the probe ran in check mode": "확인 안 함: 네트워크 점검이 체크 모드로 실행됨",
    "not probed: {names}": "점검하지 않은 노드: {names}",
    "see the findings of the probe, and docs/probe.md for each cause": (
        "점검 결과를 보고, 원인별 조치는 docs/probe.md를 참고하세요"
    ),
    "the probe has probed no node": "점검한 노드가 없음",
    "see in the result of the probe why, and probe again": (
        "점검 결과에서 이유를 확인하고 다시 점검하세요"
    ),
    "the probe of {nodes} has found nothing": "{nodes} 점검, 문제 없음",
    "The probe of the network has failed.": "네트워크 점검에 실패했습니다.",
    "probe again": "다시 점검하세요",
    "the probe has started and not ended": "네트워크 점검이 시작되었지만 끝나지 않음",
    # Networks
    "{name} {used} of {size}": "{name} {size}개 중 {used}개",
    "networks are running out of addresses: {names}": "주소가 부족해지는 네트워크: {names}",
    "recreate them with a larger subnet": "더 큰 서브넷으로 다시 만드세요",
    "no overlay network": "오버레이 네트워크 없음",
    "{networks}; the fullest is {name}: {used} of {size}": (
        "{networks}; 가장 많이 찬 네트워크 {name}: {size}개 중 {used}개"
    ),
    "nothing needs it": "사용하는 서비스 없음",
    "not known whether the kernel has IPVS": "커널에 IPVS가 있는지 알 수 없음",
    "IPVS is available for {services}": "{services}에 IPVS를 쓸 수 있음",
    "the published ports of {services} do not answer through the mesh": (
        "라우팅 메시로 응답하지 않는 공개 포트의 서비스: {services}"
    ),
    "the names of {services} resolve to addresses that do not answer": (
        "이름이 응답 없는 주소로 연결되는 서비스: {services}"
    ),
    "no IPVS in the kernel of {hosts}: {words}": "커널에 IPVS가 없는 호스트 {hosts}: {words}",
    "load ip_vs": "ip_vs 모듈을 로드하세요",
    "publish with mode: host": "mode: host로 공개하세요",
    "use endpoint_mode: dnsrr": "endpoint_mode: dnsrr을 사용하세요",
    "no overlay network in use is unencrypted": "사용 중인 오버레이 네트워크가 모두 암호화됨",
    "not encrypted between hosts: {names}": "호스트 간에 암호화되지 않음: {names}",
    "not encrypted between hosts: {names}, which carry the published ports of {services}": (
        "호스트 간에 암호화되지 않음: {names}, 공개 포트를 전달하는 서비스: {services}"
    ),
    "if others can read the traffic between hosts, recreate them with the option encrypted": (
        "호스트 간 트래픽을 다른 사람이 볼 수 있다면 encrypted 옵션으로 다시 만드세요"
    ),
    # Certificates, clocks, disks, versions, autolock
    "the CA is valid for {days}": "CA 유효 기간 {days}",
    "the CA expires in {days:.1f} days": "CA가 {days:.1f}일 뒤에 만료됨",
    "the CA has expired": "CA가 만료됨",
    "the CA is being rotated": "CA 교체 진행 중",
    "this manager's certificate for {days}": "이 매니저의 인증서 유효 기간 {days}",
    "this manager's certificate expires in {days:.1f} days and has not been renewed": (
        "이 매니저의 인증서가 갱신되지 않았으며 {days:.1f}일 뒤에 만료됨"
    ),
    "this manager's certificate has expired and has not been renewed": (
        "이 매니저의 인증서가 갱신되지 않고 만료됨"
    ),
    "this manager's own certificate cannot be read": "이 매니저의 인증서를 읽을 수 없음",
    "no certificate can be read": "읽을 수 있는 인증서가 없음",
    "restart its engine": "엔진을 다시 시작하세요",
    "not checked: the clocks of two or more hosts must be observed": (
        "확인 안 함: 두 대 이상의 호스트 시계가 필요함"
    ),
    "clocks differ: {names}": "시계가 다름: {names}",
    "synchronise them with NTP": "NTP로 동기화하세요",
    "the clocks of {hosts} agree": "{hosts}의 시계가 일치함",
    "not checked: {names}": "확인 안 함: {names}",
    "not checked: no host has reported its disk": "확인 안 함: 디스크 정보를 알린 호스트가 없음",
    "the engine's disk is nearly full, free: {names}": "엔진 디스크가 거의 참, 남은 공간: {names}",
    "free space: docker system prune": "공간을 확보하세요: docker system prune",
    "{percent:g}% free on {host}": "{host}에 {percent:g}% 남음",
    "{percent:g}% free on {host}, the fullest of {count}": "{count}대 중 가장 찬 {host}에 {percent:g}% 남음",
    "{version} on {names}": "{version}: {names}",
    "engines differ: {counts}": "엔진 버전이 서로 다름: {counts}",
    "one release, several patches: {counts}": "릴리스는 같고 패치 버전이 다름: {counts}",
    "all engines are {version}": "모든 엔진의 버전이 {version}",
    "bring all engines to one release": "모든 엔진을 같은 릴리스로 맞추세요",
    "on: a manager that restarts waits for the unlock key": (
        "켜짐: 다시 시작한 매니저는 잠금 해제 키를 기다림"
    ),
    "off: the disk of a manager holds the keys of the swarm": "꺼짐: 매니저의 디스크에 스웜의 키가 그대로 있음",
    "turn it on (swarm_settings: autolock_managers) once the unlock key is kept in a safe place": (
        "잠금 해제 키를 안전한 곳에 보관한 뒤 켜세요 (swarm_settings: autolock_managers)"
    ),
}
