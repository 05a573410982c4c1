#!/bin/bash
# A sweep as a job array of SLURM: every task trains a shard of the rows on its own.
#
#   array=$(sbatch --parsable --array=1-8 examples/slurm.sh runs/sweep \
#       mechanism_sparsity/ActionNonDiag --seeds 32)
#   sbatch --dependency=afterany:$array --wrap "jaxdis merge runs/sweep"
#
# runs/sweep must be on a file system that all nodes share. Two minutes before its time
# is up a task is told, saves its state and goes back into the queue; what a lost node
# or a preemption ended goes on from its last checkpoint likewise. Submitting the same
# line again trains what is missing and nothing else. `jaxdis merge` names the shards
# that are not finished.
#
# `jaxdis` must be found: activate its environment before `sbatch`, which passes it on.
# Below, ask for what your cluster has (--partition, --gres, --time; no --gres on CPUs).

#SBATCH --job-name=jaxdis
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --gres=gpu:1
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%A-%a.log

set -u
if [ $# -lt 2 ]; then
    echo "usage: sbatch --array=1-N $0 OUT METHOD/PRESET [OPTION ...]" >&2
    exit 2
fi
out=$1
shift

jaxdis train "$@" --shard auto --out "$out" --start-or-resume &
child=$!

# SLURM tells this shell (B:), and it passes the signal on.
told=
trap 'told=USR1 again=yes; kill -USR1 "$child"' USR1
trap 'told=TERM again=yes; kill -TERM "$child"' TERM

# A signal ends `wait`, but not what it waits for: whoever was told waits again.
again=yes
while [ -n "$again" ]; do
    again=
    wait "$child"
    code=$?
done

# After USR1 the time is up and the state is saved. After TERM whoever sent it decides.
if [ "$told" = USR1 ] && [ "$code" -eq 130 ]; then
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
fi
exit "$code"
