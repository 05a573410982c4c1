#!/bin/bash
# A sweep on all hosts of a TPU pod slice: each trains a shard of the rows on its chips.
#
#   examples/tpu_pod.sh POD ZONE OUT METHOD/PRESET [OPTION ...]
#   examples/tpu_pod.sh my-v5e-32 us-west4-a /mnt/shared/sweep \
#       mechanism_sparsity/ActionNonDiag --seeds 32
#
# `jaxdis` must be installed on every host and found by a shell that is not a login; its
# extra is ".[tpu]". OUT must be on a file system that all hosts mount (NFS, as
# Filestore is). The host of number 0 merges when the others have finished, or names
# those that have not. The same line goes on with what is unfinished after a host or the
# whole slice was taken away.

set -euo pipefail
if [ $# -lt 4 ]; then
    echo "usage: $0 POD ZONE OUT METHOD/PRESET [OPTION ...]" >&2
    exit 2
fi
pod=$1 zone=$2 out=$3
shift 3

# %q: words with spaces or brackets arrive as they are.
printf -v command '%q ' jaxdis train "$@" --distributed --out "$out" --start-or-resume

exec gcloud compute tpus tpu-vm ssh "$pod" --zone "$zone" --worker=all \
    --command "$command"
