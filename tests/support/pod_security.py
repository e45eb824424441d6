"""Kubernetes' pod security standard `restricted`, as admission judges a pod (docs: Pod Security Standards)."""

from typing import Any

Body = dict[str, Any]
_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def violations(pod: Body) -> list[str]:
    """What `restricted` refuses in a pod's spec, in words; empty where it is admitted."""
    problems = [f"{key} is set" for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    for volume in pod.get("volumes", ()):
        if kinds := volume.keys() - {"name"} - _VOLUMES:
            problems.append(f"volume {volume['name']} is a {kinds.pop()}")
    outer = pod.get("securityContext") or {}
    for container in [*pod.get("initContainers", ()), *pod["containers"]]:
        inner = container.get("securityContext") or {}
        name, both = container["name"], {**outer, **inner}
        if inner.get("allowPrivilegeEscalation") is not False:
            problems.append(f"{name}: allowPrivilegeEscalation != false")
        if "ALL" not in inner.get("capabilities", {}).get("drop", ()):
            problems.append(f"{name}: capabilities are not dropped")
        if set(inner.get("capabilities", {}).get("add", ())) - {"NET_BIND_SERVICE"}:
            problems.append(f"{name}: capabilities are added")
        if both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0:
            problems.append(f"{name}: runAsNonRoot != true")
        if both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            problems.append(f"{name}: no seccompProfile")
        if inner.get("privileged"):
            problems.append(f"{name}: privileged")
    return problems
