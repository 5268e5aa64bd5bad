#!/bin/sh
# Measures a sweep by a Slurm array: every task measures a share of the mechanisms on a machine of its own.
#
#   sbatch --array=1-8 distributed/slurm/sweep.sh mine.yaml       measures, into results/1 … results/8
#   distributed/slurm/merge.sh mine.yaml                          joins them and says what is missing
#
# A mechanism is measured with all its lengths on one machine, but different mechanisms on different ones, so machines must
# be of one kind: name it with --constraint or --partition. merge refuses results of machines that differ. A task that was
# stopped is continued by submitting the array again: what its folder holds is not measured anew.
#
# CROSSOVER_JAR names the jar (reports/target/crossover.jar), RESULTS the folder (results), SHARDS the number of shares where
# only some tasks are submitted again (SHARDS=8 sbatch --array=3,5 …).

#SBATCH --job-name=crossover-sweep
#SBATCH --exclusive
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --output=crossover-%A-%a.log

set -eu
: "${SLURM_ARRAY_TASK_ID:?must be set by sbatch --array=1-N}"
: "${SLURM_ARRAY_TASK_COUNT:?must be set by sbatch --array=1-N}"
if [ -z "${SHARDS:-}" ]; then
  SHARDS=$SLURM_ARRAY_TASK_COUNT
  if [ "${SLURM_ARRAY_TASK_MIN:-1}" -ne 1 ] || [ "${SLURM_ARRAY_TASK_MAX:-$SHARDS}" -ne "$SHARDS" ]; then
    echo "array must be 1-N, or the number of shares be named by SHARDS, but was a part of an array" >&2
    exit 2
  fi
fi
# sbatch runs a copy of this file in the folder it was called from
exec java -jar "${CROSSOVER_JAR:-reports/target/crossover.jar}" sweep "$@" \
  --shard "$SLURM_ARRAY_TASK_ID/$SHARDS" --no-report \
  --out "${RESULTS:-results}/$SLURM_ARRAY_TASK_ID"
