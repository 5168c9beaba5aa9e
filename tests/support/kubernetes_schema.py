"""Schemas of the Kubernetes objects in configs/deploy: the fields that are used there, and no others.

Written after the API reference (https://kubernetes.io/docs/reference/kubernetes-api/, v1.34).
"""

from __future__ import annotations

from typing import Any

STRING: dict[str, Any] = {"type": "string"}
INTEGER: dict[str, Any] = {"type": "integer", "minimum": 0}
BOOLEAN: dict[str, Any] = {"type": "boolean"}
STRINGS: dict[str, Any] = {"type": "object", "additionalProperties": STRING}
NAME: dict[str, Any] = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "maxLength": 253}
QUANTITY: dict[str, Any] = {"type": "string", "pattern": r"^\d+(\.\d+)?(m|k|M|G|Ki|Mi|Gi)?$"}
PORT: dict[str, Any] = {
    "oneOf": [{"type": "integer", "minimum": 1, "maximum": 65535}, {"type": "string", "maxLength": 15}]
}


def fields(*required: str, **known: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object with these fields and no others."""
    return {"type": "object", "additionalProperties": False, "properties": known, "required": list(required)}


def items(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a list."""
    return {"type": "array", "minItems": 1, "items": schema}


SELECTOR = fields("matchLabels", matchLabels=STRINGS)
PROBE = fields(
    "httpGet",
    httpGet=fields("path", "port", path={"type": "string", "pattern": "^/"}, port=PORT),
    periodSeconds=INTEGER,
    timeoutSeconds=INTEGER,
    failureThreshold=INTEGER,
)
CONTAINER = fields(
    "name",
    "image",
    name=NAME,
    image=STRING,
    args=items(STRING),
    ports=items(fields("containerPort", name=NAME, containerPort=PORT)),
    envFrom=items(fields("secretRef", secretRef=fields("name", name=NAME))),
    resources=fields(
        requests=fields(cpu=QUANTITY, memory=QUANTITY),
        limits=fields(cpu=QUANTITY, memory=QUANTITY),
    ),
    startupProbe=PROBE,
    livenessProbe=PROBE,
    readinessProbe=PROBE,
    lifecycle=fields(preStop=fields("exec", exec=fields("command", command=items(STRING)))),
    securityContext=fields(
        allowPrivilegeEscalation=BOOLEAN,
        readOnlyRootFilesystem=BOOLEAN,
        capabilities=fields("drop", drop=items({"enum": ["ALL"]})),
    ),
    volumeMounts=items(fields("name", "mountPath", name=NAME, mountPath=STRING, subPath=STRING, readOnly=BOOLEAN)),
)
POD = fields(
    "containers",
    automountServiceAccountToken=BOOLEAN,
    terminationGracePeriodSeconds=INTEGER,
    securityContext=fields(
        runAsNonRoot=BOOLEAN,
        runAsUser=INTEGER,
        runAsGroup=INTEGER,
        fsGroup=INTEGER,
        seccompProfile=fields("type", type={"enum": ["RuntimeDefault"]}),
    ),
    containers=items(CONTAINER),
    volumes=items(fields("name", name=NAME, configMap=fields("name", name=NAME), emptyDir=fields(sizeLimit=QUANTITY))),
)
METADATA = fields("name", name=NAME, labels=STRINGS)
DEPLOYMENT = fields(
    "selector",
    "template",
    replicas=INTEGER,
    selector=SELECTOR,
    strategy=fields(
        "type", type={"enum": ["RollingUpdate"]}, rollingUpdate=fields(maxUnavailable=INTEGER, maxSurge=INTEGER)
    ),
    template=fields("metadata", "spec", metadata=fields("labels", labels=STRINGS, annotations=STRINGS), spec=POD),
)
AUTOSCALER = fields(
    "scaleTargetRef",
    "maxReplicas",
    scaleTargetRef=fields("apiVersion", "kind", "name", apiVersion=STRING, kind=STRING, name=NAME),
    minReplicas=INTEGER,
    maxReplicas=INTEGER,
    metrics=items(
        fields(
            "type",
            "pods",
            type={"const": "Pods"},
            pods=fields(
                "metric",
                "target",
                metric=fields("name", name=STRING),
                target=fields("type", "averageValue", type={"const": "AverageValue"}, averageValue=QUANTITY),
            ),
        )
    ),
    behavior=fields(scaleDown=fields(stabilizationWindowSeconds=INTEGER)),
)
SERVICE = fields("ports", selector=STRINGS, ports=items(fields("port", name=NAME, port=PORT, targetPort=PORT)))

KINDS: dict[tuple[str, str], dict[str, Any]] = {
    ("v1", "ConfigMap"): {"data": STRINGS},
    ("v1", "Secret"): {"type": STRING, "stringData": STRINGS},
    ("v1", "Service"): {"spec": SERVICE},
    ("apps/v1", "Deployment"): {"spec": DEPLOYMENT},
    ("policy/v1", "PodDisruptionBudget"): {"spec": fields("selector", minAvailable=INTEGER, selector=SELECTOR)},
    ("autoscaling/v2", "HorizontalPodAutoscaler"): {"spec": AUTOSCALER},
}


def schema_of(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object by its version and kind. Raises KeyError for others."""
    parts = KINDS[manifest["apiVersion"], manifest["kind"]]
    return fields(*parts, "metadata", apiVersion=STRING, kind=STRING, metadata=METADATA, **parts)
