#!/bin/sh
# Joins what the tasks of sweep.sh measured and says which points of the sweep are missing (exit code 1).
#
#   distributed/slurm/merge.sh mine.yaml
#
# CROSSOVER_JAR names the jar (reports/target/crossover.jar), RESULTS the folder (results).

set -eu
sweep=${1:?must be the sweep that was measured: quick, standard, full or a YAML file}
results=${RESULTS:-results}
set -- "$results"/*/results.jsonl
if [ -f "$results/merged.jsonl" ]; then
  set -- "$results/merged.jsonl" "$@"
fi
exec java -jar "${CROSSOVER_JAR:-reports/target/crossover.jar}" merge "$results/merged.jsonl" "$@" --expect "$sweep"
