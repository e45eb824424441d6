"""Which flavor Kueue admits a Job with, re-enacted from its source (pkg/scheduler/flavorassigner, pkg/podset).

Two rules are in the field: since 0.19 (and 0.17, 0.18 patched) a pod's selector is compared over the flavor's own keys;
before, over the keys of all flavors of the group. The admitted Job then selects by the flavor's labels as well.
"""

from typing import Any, Literal

Body = dict[str, Any]
Rule = Literal["own keys", "union of keys"]


def flavors_in_order(objects: list[Body], queue: str) -> list[Body]:
    """The ResourceFlavors that a queue may use, in the order in which Kueue tries them."""
    by_name = {each["metadata"]["name"]: each for each in objects if each["kind"] == "ResourceFlavor"}
    (spec,) = [each["spec"] for each in objects if each["kind"] == "ClusterQueue" and each["metadata"]["name"] == queue]
    return [by_name[flavor["name"]] for group in spec["resourceGroups"] for flavor in group["flavors"]]


def admitted_selector(pod: Body, flavors: list[Body], rule: Rule) -> Body | None:
    """The node selector that the Job has once it is admitted; None where no flavor takes it."""
    every = {key for flavor in flavors for key in flavor["spec"]["nodeLabels"]}
    selector = pod.get("nodeSelector", {})
    for flavor in flavors:
        labels = flavor["spec"]["nodeLabels"]
        keys = labels.keys() if rule == "own keys" else every
        if all(labels.get(key) == value for key, value in selector.items() if key in keys):
            return {**selector, **labels}
    return None
