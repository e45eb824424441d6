#!/bin/sh
# Label and taint GPU nodes; their capacity is the device plugin's to report, never a hand-made Node object's.
#   dagster_deploy/label-nodes.sh h100 gpu-node-1 gpu-node-2 ...
set -eu
[ $# -ge 2 ] || { echo "usage: $0 GPU_TYPE NODE..." >&2; exit 2; }
type=$1
shift
for node in "$@"; do
    kubectl label node "$node" --overwrite korean-llm/pool=gpu "gpu-type=$type"
    kubectl taint node "$node" --overwrite nvidia.com/gpu=present:NoSchedule
done
kubectl get nodes -l "gpu-type=$type" -o custom-columns='NODE:.metadata.name,GPUS:.status.allocatable.nvidia\.com/gpu'
