#!/bin/bash
# A search on several nodes of a Slurm cluster: sbatch infra/ray/slurm.sh
# Run it in the project's folder, on a file system that all nodes share. search.storage in
# params.yaml names a folder there, if the scheduler pauses trials or trials shall survive a node.
#SBATCH --job-name=evertune
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=01:00:00
set -euo pipefail

port=${RAY_PORT:-6379}
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname -i | awk '{print $1}')

# nobody else may use the cluster: its nodes and the search show the same token
export RAY_AUTH_MODE=token
export RAY_AUTH_TOKEN_PATH=${RAY_AUTH_TOKEN_PATH:-$PWD/state/ray-cluster.token}
mkdir -p "$(dirname "$RAY_AUTH_TOKEN_PATH")"
[ -e "$RAY_AUTH_TOKEN_PATH" ] || (umask 077 && openssl rand -hex 32 >"$RAY_AUTH_TOKEN_PATH")
export RAY_USAGE_STATS_ENABLED=0
export OMP_NUM_THREADS=1 # each trial has one processor

srun --nodes=1 --ntasks=1 --nodelist="$head" ray start --head --block --node-ip-address="$address" \
  --port="$port" --num-cpus="$SLURM_CPUS_PER_TASK" --include-dashboard=false &
until ray status --address="$address:$port" >/dev/null 2>&1; do sleep 1; done
others=$((SLURM_JOB_NUM_NODES - 1))
if [ "$others" -gt 0 ]; then
  srun --nodes="$others" --ntasks="$others" --exclude="$head" ray start --block \
    --address="$address:$port" --num-cpus="$SLURM_CPUS_PER_TASK" &
fi

RAY_ADDRESS="$address:$port" evertune train "$@" # the end of this script ends the nodes
