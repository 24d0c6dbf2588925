"""The rendered manifests of ops/kubernetes match the schemas, our rules and their sources.

The tests need no cluster.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from itertools import combinations
from math import ceil
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml
from support.kubernetes import (
    COMPONENTS,
    KUBERNETES,
    KUBERNETES_VERSIONS,
    OVERLAYS,
    WORKLOADS,
    Json,
    Objects,
    Workload,
    conforms,
    cpu_limit,
    environment,
    generate,
    name_of,
    of_kind,
    one,
    overlay,
    promtool,
    render,
    render_combination,
    selector_of,
    selects,
    settings,
    workloads,
)
from support.ops import OPS, exported, names_in
from typer.testing import CliRunner

from stream.cli.main import app
from stream.config import PREFIX, Settings
from stream.errors import Misconfigured
from stream.supervisor.restarts import WAIT_S_MAX
from stream.tools.start_over import SUFFIXED, successor_of
from stream.worker.startup import run_once_s_max

Complaints = Iterator[str]
Rule = Callable[[Objects], Complaints]
SettingsRule = Callable[[Objects, Path], Complaints]

WORKER, AUDIT = "StatefulSet anagram-stream", "Deployment anagram-stream-audit"
SERVE, TOPICS = "Deployment anagram-stream-serve", "Job anagram-stream-topics"
# The pods that each object selects.
SELECTS = {
    **{name: {name} for name in (WORKER, AUDIT, SERVE)},
    "Service anagram-stream": {WORKER},
    "Service anagram-stream-serve": {SERVE},
    "PodDisruptionBudget anagram-stream": {WORKER},
    "PodDisruptionBudget anagram-stream-serve": {SERVE},
    "NetworkPolicy anagram-stream": {WORKER, AUDIT, SERVE, TOPICS},
    "NetworkPolicy anagram-stream-serve": {SERVE},
    "PodMonitor anagram-stream": {WORKER, AUDIT},
    "PodMonitor anagram-stream-serve": {SERVE},
}
JOBS = {WORKER: "anagram-stream", AUDIT: "anagram-stream-audit", SERVE: "anagram-stream-serve"}
EXTERNAL_SECRETS = {"anagram-stream", "anagram-stream-kafka"}  # made by hand or by an operator for secrets
CLAIM_LABELS = {"app.kubernetes.io/name", "app.kubernetes.io/part-of", "app.kubernetes.io/instance"}
VOLUME_KINDS = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected"),
    "secret",
}
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
STARTUP_S_MIN, LIVENESS_S_MIN = 600, 2 * WAIT_S_MAX
DISK_ALERT_GIB = 1  # StreamDiskAlmostFull
ANNOTATION_BYTES_MAX = 256 * 1024
SECRET_NAME = re.compile(r"TOKEN|PASSWORD|SECRET|CREDENTIAL", re.IGNORECASE)
SECRET_VALUE = re.compile(r"sasl\.password|ssl\.key|PRIVATE KEY", re.IGNORECASE)
SUBSETS = [subset for size in range(len(COMPONENTS) + 1) for subset in combinations(COMPONENTS, size)]
RENDERINGS: dict[str, Callable[[], Objects]] = {
    **{name: partial(overlay, name) for name in OVERLAYS},
    **{"base " + "+".join(subset): partial(render_combination, subset) for subset in SUBSETS},
}


def probe_budget_s(probe: Json) -> float:
    return float(probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3))


def selectors_match(objects: Objects) -> Complaints:
    """Every selector selects exactly the pods that it is meant for."""
    present = workloads(objects)
    names = {workload.name for workload in present}
    for thing in objects:
        selector = selector_of(thing)
        if selector is None:
            continue
        selected = {each.name for each in present if selects(selector, each.labels)}
        if selected != SELECTS.get(name_of(thing), {"unknown"}) & (names | {"unknown"}):
            yield f"{name_of(thing)} selects {sorted(selected)}"
    for workload in present:
        for spread in workload.pod.get("topologySpreadConstraints", []):
            if {each.name for each in present if selects(spread["labelSelector"], each.labels)} != {
                workload.name
            }:
                yield f"{workload.name} is spread with other pods"


def ports_have_names(objects: Objects) -> Complaints:
    """Probes, Services, NetworkPolicies and PodMonitors name ports that their pods have."""
    for workload in workloads(objects):
        for kind in PROBES:
            port = workload.container.get(kind, {}).get("httpGet", {}).get("port")
            if port is not None and port not in workload.port_names():
                yield f"{workload.name}: {kind} uses the unknown port {port}"
    for thing in of_kind(objects, "Service", "NetworkPolicy", "PodMonitor"):
        for workload in workloads(objects):
            if workload.name != TOPICS and selects(selector_of(thing) or {}, workload.labels):
                for port in _ports_of(thing):
                    if port not in workload.port_names():
                        yield f"{name_of(thing)} names the port {port}, which {workload.name} does not have"


def _ports_of(thing: Json) -> list[Any]:
    spec = thing["spec"]
    match thing["kind"]:
        case "Service":
            return [port.get("targetPort", port["port"]) for port in spec["ports"]]
        case "PodMonitor":
            return [endpoint.get("port") for endpoint in spec["podMetricsEndpoints"]]
    return [port["port"] for rule in spec.get("ingress", []) for port in rule.get("ports", [])]


def settings_exist(objects: Objects) -> Complaints:
    """Every STREAM_ variable is a setting, even in a ConfigMap that no pod reads yet."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    given = {name for each in of_kind(objects, "ConfigMap") for name in each.get("data", {})}
    given |= {name for workload in workloads(objects) for name in environment(workload, objects)}
    for name in sorted(given):
        if name.startswith(PREFIX) and name not in known:
            yield f"{name} is not a setting"


def settings_load(objects: Objects, folder: Path) -> Complaints:
    """The settings of every pod are valid, and its ports match its settings."""
    for workload in workloads(objects):
        try:
            chosen = settings(workload, objects, folder)
        except Misconfigured as error:
            yield f"{workload.name}: {error}"
            continue
        arguments = workload.container["args"]
        port = int(arguments[arguments.index("--port") + 1]) if "--port" in arguments else chosen.http_port
        for named in workload.container.get("ports", []):
            if named["containerPort"] != port:
                yield f"{workload.name} listens on {port}, not on {named['containerPort']}"
        state = {mount["mountPath"] for mount in workload.container.get("volumeMounts", [])}
        if workload.name != TOPICS and str(chosen.state_dir) not in state:
            yield f"{workload.name} has no volume at {chosen.state_dir}"
        if chosen.kafka_config is None:
            yield f"{workload.name} does not read kafka.properties"
        yield from _drain(workload, chosen)


def _drain(workload: Workload, chosen: Settings) -> Complaints:
    grace_s = workload.pod.get("terminationGracePeriodSeconds", 30)
    if workload.name == WORKER and grace_s < run_once_s_max(chosen, None) + 5:
        yield f"a worker may need {run_once_s_max(chosen, None):g} s to drain, but has {grace_s} s"


def worker_has_an_identity(objects: Objects, folder: Path) -> Complaints:
    """A worker is named after its pod; only such a worker may be a static member."""
    for workload in workloads(objects):
        variables = workload.container.get("env", [])
        sources = [each.get("valueFrom") for each in variables if each["name"] == "STREAM_INSTANCE_ID"]
        if workload.name == WORKER and sources != [{"fieldRef": {"fieldPath": "metadata.name"}}]:
            yield f"{workload.name}: STREAM_INSTANCE_ID is not the name of the pod"
        if workload.name != WORKER and "STREAM_INSTANCE_ID" in environment(workload, objects):
            yield f"{workload.name} has the identity of a worker"
    chosen = settings(_worker(objects), objects, folder)
    if chosen.static_membership and chosen.group_protocol != "classic":
        yield "static membership without the protocol that it needs"


def processes_are_the_cpu_limit(objects: Objects, folder: Path) -> Complaints:
    """A worker has one process per CPU of its limit, in every overlay."""
    worker = _worker(objects)
    chosen, limit = settings(worker, objects, folder), cpu_limit(worker.container)
    if chosen.processes != ceil(limit):
        yield f"{chosen.processes} processes on {limit:g} CPUs"
    sources = [
        each.get("valueFrom") for each in worker.container["env"] if each["name"] == "STREAM_PROCESSES"
    ]
    if not sources or "resourceFieldRef" not in (sources[0] or {}):
        yield "STREAM_PROCESSES does not follow the limit"


def no_worker_stands_by(objects: Objects, folder: Path) -> Complaints:
    """There are no more worker processes than partitions; an autoscaler may use all partitions."""
    worker = _worker(objects)
    processes, partitions = settings(worker, objects, folder).processes, _partitions(objects)
    assert isinstance(processes, int)
    if worker.replicas is not None and worker.replicas * processes > partitions:
        yield f"{worker.replicas} replicas of {processes} processes on {partitions} partitions"
    for scaled in of_kind(objects, "ScaledObject"):
        if scaled["spec"]["maxReplicaCount"] * processes != partitions:
            yield f"up to {scaled['spec']['maxReplicaCount']} replicas on {partitions} partitions"


def _partitions(objects: Objects) -> int:
    arguments = one(objects, TOPICS)["spec"]["template"]["spec"]["containers"][0]["args"]
    return int(arguments[arguments.index("--partitions") + 1])


def _worker(objects: Objects) -> Workload:
    (worker,) = (each for each in workloads(objects) if each.name == WORKER)
    return worker


def pods_are_restricted(objects: Objects) -> Complaints:
    """Every pod passes the PodSecurity standard `restricted`, and has a read-only root file system."""
    for workload in workloads(objects):
        pod, complain = workload.pod, f"{workload.name}: {{}}".format
        for name in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.get(name):
                yield complain(name)
        for volume in pod.get("volumes", []):
            if kinds := set(volume) - {"name"} - VOLUME_KINDS:
                yield complain(f"volume of kind {kinds}")
        if pod.get("securityContext", {}).get("sysctls"):
            yield complain("sysctls")
        for container in (*pod["containers"], *pod.get("initContainers", [])):
            yield from map(complain, _unrestricted(container, pod.get("securityContext", {})))


def _unrestricted(container: Json, of_pod: Json) -> Complaints:
    own = container.get("securityContext", {})
    both = {**of_pod, **own}
    if both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0:
        yield "may run as root"
    if both.get("seccompProfile", {}).get("type") not in {"RuntimeDefault", "Localhost"}:
        yield "no seccomp profile"
    if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
        yield "may gain privileges"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []) or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "has capabilities"
    if own.get("procMount", "Default") != "Default":
        yield "procMount"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield "hostPort"
    if own.get("readOnlyRootFilesystem") is not True:
        yield "may write to its image"


def pods_ask_for_nothing(objects: Objects) -> Complaints:
    """No pod has an API server token, service links or a role; memory and CPU are limited."""
    for account in of_kind(objects, "ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield f"{name_of(account)} mounts its token"
    for workload in workloads(objects):
        if workload.pod.get("automountServiceAccountToken") is not False:
            yield f"{workload.name} mounts a token"
        if workload.pod.get("enableServiceLinks") is not False:
            yield f"{workload.name} has service links"
        resources = workload.container.get("resources", {})
        for kind in ("requests", "limits"):
            if not {"cpu", "memory"} <= resources.get(kind, {}).keys():
                yield f"{workload.name} has no {kind}"
    for thing in of_kind(objects, "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"):
        yield f"{name_of(thing)} grants permissions"


def secrets_are_not_literal(objects: Objects) -> Complaints:
    """No secret is in a ConfigMap or in the value of a variable."""
    values = {
        f"{name_of(each)}: {name}": value
        for each in of_kind(objects, "ConfigMap")
        for name, value in each.get("data", {}).items()
    }
    for workload in workloads(objects):
        for variable in workload.container.get("env", []):
            if "value" in variable:
                values[f"{workload.name}: {variable['name']}"] = variable["value"]
    for where, value in values.items():
        if SECRET_NAME.search(where) or SECRET_VALUE.search(value):
            yield where


def probes_have_time(objects: Objects) -> Complaints:
    """A restore may take ten minutes; the restart of a process does not restart the pod."""
    for workload in workloads(objects):
        startup, liveness = (workload.container.get(kind) for kind in ("startupProbe", "livenessProbe"))
        if workload.name in {WORKER, SERVE}:
            if startup is None or probe_budget_s(startup) < STARTUP_S_MIN:
                yield f"{workload.name}: less than {STARTUP_S_MIN} s to start"
            if liveness is None or probe_budget_s(liveness) < LIVENESS_S_MIN:
                yield f"{workload.name}: less than {LIVENESS_S_MIN} s to be live again"
        if workload.name in JOBS and "readinessProbe" not in workload.container:
            yield f"{workload.name}: no readiness probe"
        paths = [workload.container.get(kind, {}).get("httpGet", {}).get("path") for kind in PROBES]
        if workload.name == WORKER and paths != ["/healthz/started", "/healthz/ready", "/healthz/live"]:
            yield f"{workload.name}: probes ask {paths}"
        if workload.name == SERVE and paths != ["/healthz/live", "/healthz/ready", "/healthz/live"]:
            yield f"{workload.name}: probes ask {paths}"


def disruption_budgets_let_nodes_drain(objects: Objects) -> Complaints:
    for budget in of_kind(objects, "PodDisruptionBudget"):
        spec = budget["spec"]
        if spec.get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
            yield f"{name_of(budget)}: a pod that is not ready blocks the drain of its node"
        if not spec.get("maxUnavailable"):
            yield f"{name_of(budget)}: no pod may be evicted"


def state_survives_upgrades(objects: Objects) -> Complaints:
    """Immutable fields of a StatefulSet stay equal between releases; the volume has room for the state."""
    for thing in of_kind(objects, "StatefulSet"):
        spec = thing["spec"]
        if spec.get("podManagementPolicy") != "Parallel":
            yield f"{name_of(thing)}: pods wait for each other"
        for claim in spec.get("volumeClaimTemplates", []):
            for label in claim["metadata"].get("labels", {}).keys() - CLAIM_LABELS:
                yield f"{name_of(thing)}: its claims have the label {label}"
            storage = claim["spec"]["resources"]["requests"]["storage"]
            if int(storage.removesuffix("Gi")) < 2 * DISK_ALERT_GIB:
                yield f"{name_of(thing)}: {storage} is almost full from the start"
        volumes = {volume["name"] for volume in spec["template"]["spec"].get("volumes", [])}
        volumes |= {claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])}
        for mount in spec["template"]["spec"]["containers"][0]["volumeMounts"]:
            if mount["name"] not in volumes:
                yield f"{name_of(thing)}: no volume {mount['name']}"


def references_exist(objects: Objects) -> Complaints:
    """Every object that a pod or autoscaler names is rendered, or is a Secret that users create."""
    present = {f"{each['kind']} {each['metadata']['name']}" for each in objects}
    wanted = [("Service", each["spec"]["serviceName"]) for each in of_kind(objects, "StatefulSet")]
    for workload in workloads(objects):
        pod, container = workload.pod, workload.container
        wanted.append(("ServiceAccount", pod["serviceAccountName"]))
        for source in container.get("envFrom", []):
            wanted += [(kind, source[key]["name"]) for kind, key in _SOURCES if key in source]
        wanted += [
            ("Secret", variable["valueFrom"]["secretKeyRef"]["name"])
            for variable in container.get("env", [])
            if "secretKeyRef" in variable.get("valueFrom", {})
        ]
        wanted += [
            ("Secret", each["secret"]["secretName"]) for each in pod.get("volumes", []) if "secret" in each
        ]
    for scaled in of_kind(objects, "ScaledObject"):
        target = scaled["spec"]["scaleTargetRef"]
        wanted.append((target["kind"], target["name"]))
    for kind, name in wanted:
        if f"{kind} {name}" not in present and not (kind == "Secret" and name in EXTERNAL_SECRETS):
            yield f"{kind} {name} does not exist"


_SOURCES = (("ConfigMap", "configMapRef"), ("Secret", "secretRef"))


def changed_settings_restart_pods(objects: Objects) -> Complaints:
    """The name of a ConfigMap with settings has a hash, so that a change alters the pod template."""
    for each in of_kind(objects, "ConfigMap"):
        name = each["metadata"]["name"]
        if any(key.startswith(PREFIX) for key in each["data"]) and not generate.HASH.search(name):
            yield f"{name} has no hash"


def jobs_have_their_names(objects: Objects) -> Complaints:
    """Each pod's metrics have the same label `job` as in docker-compose.yml, because queries may name it."""
    for monitor in of_kind(objects, "PodMonitor"):
        for workload in workloads(objects):
            if selects(selector_of(monitor) or {}, workload.labels):
                job = workload.labels.get(monitor["spec"].get("jobLabel", ""))
                if job != JOBS.get(workload.name):
                    yield f"{workload.name}: its job is {job}"


def autoscaler_is_careful(objects: Objects) -> Complaints:
    """A missing response removes no worker; the query selects our workers; the manifest sets no replicas."""
    known = set().union(*exported().values())
    for scaled in of_kind(objects, "ScaledObject"):
        spec = scaled["spec"]
        if spec.get("minReplicaCount", 0) < 1:
            yield "may scale to 0, and then never scales up again"
        fallback = spec.get("fallback", {})
        if fallback.get("replicas", 0) < 1 or fallback.get("behavior") != "currentReplicasIfHigher":
            yield "without Prometheus it removes workers"
        if "replicas" in one(objects, WORKER)["spec"]:
            yield "the manifest sets the number of replicas, too"
        for trigger in spec["triggers"]:
            metadata, query = trigger["metadata"], trigger["metadata"].get("query", "")
            if trigger["type"] != "prometheus" or trigger.get("metricType") != "AverageValue":
                yield f"trigger {trigger['type']}: the fallback needs a Prometheus query and AverageValue"
            if metadata.get("ignoreNullValues") != "false":
                yield "a missing series counts as a lag of 0"
            if unknown := names_in(query) - known:
                yield f"unknown metrics {unknown}"
            if set(re.findall(r'job="([^"]*)"', query)) != {JOBS[WORKER]}:
                yield "the query does not select the job of the workers"


def objects_can_be_applied(objects: Objects) -> Complaints:
    """`kubectl apply` stores the whole object in an annotation, whose size is limited."""
    for each in objects:
        if len(json.dumps(each)) > ANNOTATION_BYTES_MAX * 9 // 10:
            yield f"{name_of(each)} is too large"


def commands_exist(objects: Objects) -> Complaints:
    """The arguments of every container are an existing command with existing options."""
    for workload in workloads(objects):
        # Unknown commands and options are refused before the help is printed.
        result = CliRunner().invoke(app, [*workload.container["args"], "--help"])
        if result.exit_code:
            yield f"{workload.name}: {result.output}"


def images_have_a_version(objects: Objects) -> Complaints:
    """In production an image has a fixed tag, and the version label equals it."""
    for workload in workloads(objects):
        _, _, tag = workload.container["image"].rpartition("/")[2].partition(":")
        if not tag or tag in {"latest", "local"}:
            yield f"{workload.name}: {workload.container['image']}"
        if workload.thing["metadata"]["labels"].get("app.kubernetes.io/version") != tag:
            yield f"{workload.name}: its version label is not {tag}"


def no_secret_is_rendered(objects: Objects) -> Complaints:
    yield from map(name_of, of_kind(objects, "Secret"))


PURE_RULES: list[Rule] = [
    selectors_match,
    ports_have_names,
    settings_exist,
    pods_are_restricted,
    pods_ask_for_nothing,
    secrets_are_not_literal,
    probes_have_time,
    disruption_budgets_let_nodes_drain,
    state_survives_upgrades,
    references_exist,
    changed_settings_restart_pods,
    jobs_have_their_names,
    autoscaler_is_careful,
    objects_can_be_applied,
    commands_exist,
]
# These rules load the settings in an empty folder.
SETTINGS_RULES: list[SettingsRule] = [
    settings_load,
    worker_has_an_identity,
    processes_are_the_cpu_limit,
    no_worker_stands_by,
]
PROD_RULES: list[Rule] = [images_have_a_version, no_secret_is_rendered]


def rules(folder: Path) -> dict[str, Rule]:
    pure = {rule.__name__: rule for rule in (*PURE_RULES, *PROD_RULES)}
    return pure | {rule.__name__: partial(_in_folder, rule, folder) for rule in SETTINGS_RULES}


def _in_folder(rule: SettingsRule, folder: Path, objects: Objects) -> Complaints:
    return rule(objects, folder)


@pytest.mark.parametrize("name", RENDERINGS)
def test_rendered_manifests_follow_the_rules(name: str, tmp_path: Path) -> None:
    objects = RENDERINGS[name]()
    only_prod = {rule.__name__ for rule in PROD_RULES} if name != "prod" else set()
    complaints = [
        f"{rule_name}: {complaint}"
        for rule_name, rule in rules(tmp_path).items()
        if rule_name not in only_prod
        for complaint in rule(objects)
    ]
    assert not complaints


DELETE = object()


def change(name: str, *path: str | int, to: Any) -> Callable[[Objects], None]:
    """Return a function that sets or deletes one field of the object of this kind and name."""

    def apply(objects: Objects) -> None:
        parent: Any = one(objects, name)
        for step in path[:-1]:
            parent = parent[step]
        if to is DELETE:
            del parent[path[-1]]
        else:
            parent[path[-1]] = to

    apply.__name__ = f"{name.rpartition(' ')[0]}-{path[-1]}"
    return apply


POD = ("spec", "template", "spec")
CONTAINER = (*POD, "containers", 0)
LABELS = ("spec", "template", "metadata", "labels")
NAME_LABEL = "app.kubernetes.io/name"
SCALED = "ScaledObject anagram-stream"
in_worker, in_serve = partial(change, WORKER), partial(change, SERVE)
in_topics, in_audit = partial(change, TOPICS), partial(change, AUDIT)


def setting(name: str, value: str) -> Callable[[Objects], None]:
    return change("ConfigMap anagram-stream", "data", name, to=value)


def renamed(objects: Objects) -> None:
    one(objects, "ConfigMap anagram-stream")["metadata"]["name"] = "anagram-stream"


def with_secret(objects: Objects) -> None:
    objects.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "data": {}})


def with_role(objects: Objects) -> None:
    objects.append({"kind": "RoleBinding", "metadata": {"name": "x"}})


def with_unknown_service(objects: Objects) -> None:
    objects.append({"kind": "Service", "metadata": {"name": "x"}, "spec": {"selector": {}, "ports": []}})


def with_large_dashboard(objects: Objects) -> None:
    one(objects, "ConfigMap anagram-stream-business")["data"]["business.json"] = "x" * ANNOTATION_BYTES_MAX


def with_two_cpus(objects: Objects) -> None:
    one(objects, WORKER)["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] = "2"


def with_replicas(objects: Objects) -> None:
    objects[:] = [each for each in objects if each["kind"] != "ScaledObject"]
    one(objects, WORKER)["spec"]["replicas"] = 7


TRIGGER = ("spec", "triggers", 0)
BROKEN: list[tuple[Callable[..., Complaints], Callable[[Objects], None]]] = [
    (selectors_match, change("Service anagram-stream", "spec", "selector", to={NAME_LABEL: "other"})),
    (selectors_match, change("Service anagram-stream", "spec", "selector", to={})),
    (selectors_match, change("PodDisruptionBudget anagram-stream", "spec", "selector", to={})),
    (selectors_match, change("NetworkPolicy anagram-stream-serve", "spec", "podSelector", to={})),
    (
        selectors_match,
        change("PodMonitor anagram-stream", "spec", "selector", "matchExpressions", 0, "values", to=["x"]),
    ),
    (selectors_match, in_audit(*LABELS, NAME_LABEL, to="anagram-stream")),
    (selectors_match, in_worker(*POD, "topologySpreadConstraints", 0, "labelSelector", to={})),
    (selectors_match, with_unknown_service),
    (ports_have_names, in_worker(*CONTAINER, "livenessProbe", "httpGet", "port", to=8080)),
    (ports_have_names, in_worker(*CONTAINER, "ports", 0, "name", to="metrics")),
    (ports_have_names, change("Service anagram-stream", "spec", "ports", 0, "targetPort", to=8080)),
    (
        ports_have_names,
        change("PodMonitor anagram-stream", "spec", "podMetricsEndpoints", 0, "port", to="metrics"),
    ),
    (
        ports_have_names,
        change("NetworkPolicy anagram-stream", "spec", "ingress", 0, "ports", 0, "port", to="metrics"),
    ),
    (settings_exist, setting("STREAM_BROKERS", "kafka:9092")),
    (settings_exist, in_worker(*CONTAINER, "env", 0, "name", to="STREAM_INSTANCE")),
    (settings_load, setting("STREAM_COMMIT_INTERVAL_MS", "soon")),
    (settings_load, setting("STREAM_GROUP_PROTOCOL", "consumer")),  # contradicts static membership
    (settings_load, setting("STREAM_HTTP_PORT", "9000")),
    (settings_load, setting("STREAM_STATE_DIR", "/elsewhere")),
    (settings_load, setting("STREAM_KAFKA_CONFIG", "")),
    (settings_load, setting("STREAM_KAFKA_CONFIG", "/etc/kafka.properties")),
    (settings_load, in_serve(*CONTAINER, "args", 4, to="9000")),
    (settings_load, in_worker(*POD, "terminationGracePeriodSeconds", to=84)),
    (settings_load, setting("STREAM_TRANSACTION_TIMEOUT_MS", "20000")),  # a drain takes longer
    (
        worker_has_an_identity,
        in_worker(*CONTAINER, "env", 0, to={"name": "STREAM_INSTANCE_ID", "value": "a"}),
    ),
    (worker_has_an_identity, setting("STREAM_INSTANCE_ID", "a")),
    (worker_has_an_identity, setting("STREAM_GROUP_PROTOCOL", "auto")),
    (
        processes_are_the_cpu_limit,
        in_worker(*CONTAINER, "env", 1, to={"name": "STREAM_PROCESSES", "value": "1"}),
    ),
    (
        processes_are_the_cpu_limit,
        in_worker(*CONTAINER, "env", 1, to={"name": "STREAM_PROCESSES", "value": "4"}),
    ),
    (no_worker_stands_by, change(SCALED, "spec", "maxReplicaCount", to=7)),
    (no_worker_stands_by, change(SCALED, "spec", "maxReplicaCount", to=5)),
    (no_worker_stands_by, with_two_cpus),
    (no_worker_stands_by, with_replicas),
    (no_worker_stands_by, in_topics(*CONTAINER, "args", 3, to="12")),
    (pods_are_restricted, in_worker(*POD, "hostNetwork", to=True)),
    (pods_are_restricted, in_worker(*POD, "volumes", 0, to={"name": "kafka", "hostPath": {"path": "/"}})),
    (pods_are_restricted, in_worker(*POD, "securityContext", "sysctls", to=[{"name": "x", "value": "1"}])),
    (pods_are_restricted, in_worker(*POD, "securityContext", "runAsNonRoot", to=DELETE)),
    (pods_are_restricted, in_serve(*POD, "securityContext", "runAsUser", to=0)),
    (pods_are_restricted, in_audit(*POD, "securityContext", "seccompProfile", to=DELETE)),
    (pods_are_restricted, in_topics(*CONTAINER, "securityContext", "allowPrivilegeEscalation", to=DELETE)),
    (pods_are_restricted, in_worker(*CONTAINER, "securityContext", "privileged", to=True)),
    (pods_are_restricted, in_worker(*CONTAINER, "securityContext", "capabilities", to=DELETE)),
    (pods_are_restricted, in_worker(*CONTAINER, "securityContext", "capabilities", "add", to=["SYS_ADMIN"])),
    (pods_are_restricted, in_worker(*CONTAINER, "securityContext", "procMount", to="Unmasked")),
    (pods_are_restricted, in_worker(*CONTAINER, "ports", 0, "hostPort", to=8080)),
    (pods_are_restricted, in_worker(*CONTAINER, "securityContext", "readOnlyRootFilesystem", to=False)),
    (pods_ask_for_nothing, change("ServiceAccount anagram-stream", "automountServiceAccountToken", to=True)),
    (pods_ask_for_nothing, in_worker(*POD, "automountServiceAccountToken", to=DELETE)),
    (pods_ask_for_nothing, in_worker(*POD, "enableServiceLinks", to=DELETE)),
    (pods_ask_for_nothing, in_worker(*CONTAINER, "resources", "limits", "memory", to=DELETE)),
    (pods_ask_for_nothing, with_role),
    (secrets_are_not_literal, setting("STREAM_SERVE_TOKEN", "abc")),
    (secrets_are_not_literal, setting("kafka.properties", "sasl.password=abc")),
    (
        secrets_are_not_literal,
        in_serve(*CONTAINER, "env", 0, to={"name": "STREAM_SERVE_TOKEN", "value": "abc"}),
    ),
    (probes_have_time, in_worker(*CONTAINER, "startupProbe", "failureThreshold", to=100)),
    (probes_have_time, in_worker(*CONTAINER, "livenessProbe", "failureThreshold", to=1)),
    (probes_have_time, in_worker(*CONTAINER, "startupProbe", to=DELETE)),
    (probes_have_time, in_audit(*CONTAINER, "readinessProbe", to=DELETE)),
    (probes_have_time, in_worker(*CONTAINER, "livenessProbe", "httpGet", "path", to="/healthz/ready")),
    (probes_have_time, in_serve(*CONTAINER, "startupProbe", "httpGet", "path", to="/healthz/started")),
    (
        disruption_budgets_let_nodes_drain,
        change("PodDisruptionBudget anagram-stream", "spec", "unhealthyPodEvictionPolicy", to=DELETE),
    ),
    (
        disruption_budgets_let_nodes_drain,
        change("PodDisruptionBudget anagram-stream", "spec", "maxUnavailable", to=0),
    ),
    (state_survives_upgrades, in_worker("spec", "podManagementPolicy", to="OrderedReady")),
    (
        state_survives_upgrades,
        in_worker(
            "spec", "volumeClaimTemplates", 0, "metadata", "labels", "app.kubernetes.io/version", to="0.1.0"
        ),
    ),
    (
        state_survives_upgrades,
        in_worker("spec", "volumeClaimTemplates", 0, "spec", "resources", "requests", "storage", to="1Gi"),
    ),
    (state_survives_upgrades, in_worker("spec", "volumeClaimTemplates", to=[])),
    (references_exist, in_worker("spec", "serviceName", to="other")),
    (references_exist, in_worker(*POD, "serviceAccountName", to="other")),
    (references_exist, in_worker(*CONTAINER, "envFrom", 0, "configMapRef", "name", to="anagram-stream")),
    (references_exist, in_worker(*CONTAINER, "envFrom", 1, "secretRef", "name", to="other")),
    (references_exist, in_worker(*POD, "volumes", 0, "secret", "secretName", to="other")),
    (references_exist, in_serve(*CONTAINER, "env", 0, "valueFrom", "secretKeyRef", "name", to="other")),
    (references_exist, change(SCALED, "spec", "scaleTargetRef", "name", to="other")),
    (changed_settings_restart_pods, renamed),
    (jobs_have_their_names, change("PodMonitor anagram-stream", "spec", "jobLabel", to=DELETE)),
    (jobs_have_their_names, in_audit(*LABELS, NAME_LABEL, to="anagram-stream")),
    (autoscaler_is_careful, change(SCALED, "spec", "minReplicaCount", to=0)),
    (autoscaler_is_careful, change(SCALED, "spec", "fallback", to=DELETE)),
    (autoscaler_is_careful, change(SCALED, "spec", "fallback", "behavior", to=DELETE)),
    (autoscaler_is_careful, in_worker("spec", "replicas", to=3)),
    (autoscaler_is_careful, change(SCALED, *TRIGGER, "type", to="kafka")),
    (autoscaler_is_careful, change(SCALED, *TRIGGER, "metricType", to="Value")),
    (autoscaler_is_careful, change(SCALED, *TRIGGER, "metadata", "ignoreNullValues", to=DELETE)),
    (
        autoscaler_is_careful,
        change(SCALED, *TRIGGER, "metadata", "query", to='stream_x{job="anagram-stream"}'),
    ),
    (autoscaler_is_careful, change(SCALED, *TRIGGER, "metadata", "query", to="sum(stream_lag_records)")),
    (objects_can_be_applied, with_large_dashboard),
    (commands_exist, in_worker(*CONTAINER, "args", to=["work"])),
    (commands_exist, in_topics(*CONTAINER, "args", 2, to="--partition-count")),
    (images_have_a_version, in_worker(*CONTAINER, "image", to="registry.example.org/anagram-stream")),
    (
        images_have_a_version,
        in_worker(*CONTAINER, "image", to="registry.example.org:5000/anagram-stream:latest"),
    ),
    (images_have_a_version, in_worker(*CONTAINER, "image", to="registry.example.org/anagram-stream:9.9.9")),
    (no_secret_is_rendered, with_secret),
]


@pytest.mark.parametrize(("rule", "break_it"), BROKEN, ids=lambda each: getattr(each, "__name__", ""))
def test_rule_sees_what_it_forbids(
    rule: Callable[..., Complaints], break_it: Callable[[Objects], None], tmp_path: Path
) -> None:
    check = rules(tmp_path)[rule.__name__]
    objects = deepcopy(overlay("prod"))
    assert not list(check(objects))
    break_it(objects)
    assert list(check(objects))


def test_every_rule_has_a_broken_manifest(tmp_path: Path) -> None:
    assert {rule.__name__ for rule, _ in BROKEN} == rules(tmp_path).keys()


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_manifests_fit_the_schemas_of_kubernetes_and_of_the_crds(version: str) -> None:
    for name in (*OVERLAYS, "base ", "base " + "+".join(COMPONENTS)):
        fits, report = conforms(RENDERINGS[name](), version)
        assert fits, report
        assert "Skipped: 0" in report, "an object without a schema is not checked"


@pytest.mark.parametrize(
    "break_it",
    [
        in_worker("spec", "replica", to=3),
        in_worker(*CONTAINER, "livenessProbe", "periodSeconds", to="10"),
        change("PodMonitor anagram-stream", "spec", "jobLabels", to="app"),
        change("PrometheusRule anagram-stream", "spec", "groups", 0, "rules", 0, "expr", to=DELETE),
        change(SCALED, "spec", "fallback", "behavior", to="stay"),
    ],
    ids=lambda each: each.__name__,
)
def test_schemas_refuse_unknown_fields_and_wrong_types(break_it: Callable[[Objects], None]) -> None:
    objects = deepcopy(overlay("prod"))
    break_it(objects)
    fits, report = conforms(objects, KUBERNETES_VERSIONS[-1])
    assert not fits, report


def test_generated_manifests_match_their_sources() -> None:
    for path, text in generate.generated().items():
        assert path.read_text(encoding="utf-8") == text, "run: python ops/kubernetes/generate.py"


def test_generated_manifests_contain_every_rule_and_dashboard() -> None:
    objects = render_combination(("dashboards", "monitoring"))
    groups = yaml.safe_load((OPS / "prometheus/rules/anagram-stream.yml").read_text())["groups"]
    assert one(objects, "PrometheusRule anagram-stream")["spec"]["groups"] == groups
    shipped = {
        name: json.loads(text)
        for each in of_kind(objects, "ConfigMap")
        for name, text in each["data"].items()
        if name.endswith(".json")
    }
    sources = sorted((OPS / "grafana/dashboards").glob("*.json"))
    assert shipped == {path.name: json.loads(path.read_text()) for path in sources}


def test_readme_lists_what_each_overlay_renders() -> None:
    overlay("dev")  # skips without kubectl
    text = (KUBERNETES / "README.md").read_text(encoding="utf-8")
    assert generate.TABLE_BEGIN in text
    assert generate.readme(text) == text, "run: python ops/kubernetes/generate.py"


def test_check_reports_a_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = tmp_path / "rules.yaml"
    stale.write_text("old\n")
    monkeypatch.setattr(generate, "generated", lambda: {stale: "new\n"})
    monkeypatch.setattr(generate, "readme", lambda text: text)
    assert generate.main(["--check"]) == 1
    assert stale.read_text() == "old\n"


def test_promtool_accepts_the_rules_of_the_operator(tmp_path: Path) -> None:
    path = tmp_path / "rules.yml"
    spec = one(overlay("prod"), "PrometheusRule anagram-stream")["spec"]
    path.write_text(yaml.safe_dump(spec))
    done = subprocess.run(
        [promtool(), "check", "rules", str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_autoscaler_adds_up_each_partition_once(tmp_path: Path) -> None:
    """Two workers own partitions 0 and 1, none owns 2; each worker reports the lag of the whole group."""
    job = 'job="anagram-stream"'
    own = {f'stream_lag_records{{{job},instance="{i}",partition="{i}"}}': i + 10 for i in range(2)}
    group = {
        f'stream_group_lag_records{{{job},instance="{i}",partition="{p}"}}': 100 + i
        for i in range(2)
        for p in range(3)
    }
    other = {'stream_lag_records{job="other",instance="9",partition="0"}': 5_000}
    (trigger,) = one(overlay("prod"), SCALED)["spec"]["triggers"]
    query = trigger["metadata"]["query"]
    cases = [("owners and the group", own | group | other, [{"value": 10 + 11 + 101}])]
    cases += [("nobody owns a partition", group | other, [{"value": 3 * 101}]), ("no worker", other, [])]
    tests = [
        {
            "name": name,
            "interval": "15s",
            "input_series": [{"series": each, "values": f"{value}x40"} for each, value in series.items()],
            "promql_expr_test": [
                {
                    "expr": query,
                    "eval_time": "5m",
                    "exp_samples": [{"labels": "{}", **each} for each in samples],
                }
            ],
        }
        for name, series, samples in cases
    ]
    path = tmp_path / "tests.yml"
    path.write_text(yaml.safe_dump({"rule_files": [], "evaluation_interval": "15s", "tests": tests}))
    done = subprocess.run(
        [promtool(), "test", "rules", str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_second_installation_keeps_its_references(tmp_path: Path) -> None:
    """A name suffix also reaches the target of the autoscaler, although kustomize does not know its kind."""
    folder = tmp_path / "green"
    folder.mkdir()
    here = Path(*[".."] * len(folder.resolve().parts[1:]), *KUBERNETES.resolve().parts[1:])
    kustomization = {"resources": [f"{here}/overlays/prod"], "nameSuffix": "-v2"}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    (scaled,) = of_kind(render(folder), "ScaledObject")
    assert scaled["spec"]["scaleTargetRef"]["name"] == "anagram-stream-v2"


def test_successor_in_the_readme_follows_the_rules_and_has_the_names_of_start_over(tmp_path: Path) -> None:
    overlay("dev")  # skips without kubectl
    (block,) = re.findall(r"```yaml\n(.*?)```", (KUBERNETES / "README.md").read_text(), re.DOTALL)
    copy = tmp_path / "kubernetes"
    shutil.copytree(KUBERNETES, copy)
    green = copy / "overlays/green"
    green.mkdir()
    (green / "kustomization.yaml").write_text(dedent(block))
    (green / "words.txt").write_text("act\ncat\n")
    objects = render(green)
    empty = tmp_path / "empty"
    empty.mkdir()
    # It has no version label, because it is temporary.
    complaints = {
        name: list(rule(objects)) for name, rule in rules(empty).items() if name != "images_have_a_version"
    }
    assert not {name: each for name, each in complaints.items() if each}
    (old,) = (
        settings(each, overlay("prod"), empty) for each in workloads(overlay("prod")) if each.name == WORKER
    )
    new, expected = settings(_worker(objects), objects, empty), successor_of(old, "v2", None)
    assert [getattr(new, name) for name in SUFFIXED] == [getattr(expected, name) for name in SUFFIXED]
    for workload in (each for each in workloads(objects) if each.name in {WORKER, AUDIT}):
        mounts = [mount["mountPath"] for mount in workload.container["volumeMounts"]]
        assert str(new.dictionary and new.dictionary.parent) in mounts


def test_commands_in_the_readme_exist() -> None:
    text = (KUBERNETES / "README.md").read_text(encoding="utf-8")
    commands = set(re.findall(r"(?:`|-- |^ *)anagram-stream ([a-z][a-z-]+(?: [a-z]+)?)", text, re.MULTILINE))
    assert {"doctor", "topics acls", "start-over"} <= commands
    for command in commands:
        assert CliRunner().invoke(app, [*command.split(), "--help"]).exit_code == 0, command


def test_workloads_are_of_the_kinds_that_the_rules_know() -> None:
    kinds = {each["kind"] for each in overlay("prod") if "template" in each.get("spec", {})}
    assert kinds == WORKLOADS
