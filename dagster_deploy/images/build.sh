#!/bin/sh
# Build, check and push both images under the git commit, a tag that is never reused.
#   REGISTRY=registry.example.com/korean-llm dagster_deploy/images/build.sh [--push]
set -eu
: "${REGISTRY:?set REGISTRY, e.g. registry.example.com/korean-llm}"
cd "$(dirname "$0")/../.."
if [ -n "$(git status --porcelain)" ]; then
    echo "the working tree has changes that no commit names; commit them first" >&2
    exit 1
fi
tag=$(git rev-parse --short=12 HEAD)
for image in code-location trainer; do
    docker build --build-arg "GIT_SHA=$(git rev-parse HEAD)" \
        --file "dagster_deploy/images/$image.Dockerfile" --tag "$REGISTRY/$image:$tag" .
    # Known vulnerabilities with a fix stop the push.
    trivy image --exit-code 1 --ignore-unfixed --severity HIGH,CRITICAL "$REGISTRY/$image:$tag"
    [ "${1:-}" != --push ] || docker push "$REGISTRY/$image:$tag"
    echo "$REGISTRY/$image:$tag"
done
