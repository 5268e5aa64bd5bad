#!/bin/sh
# How the time of about 200 errors falls with executors, each a process of one core on this machine:
# a table in Markdown. Wants a machine with nothing else to do, and after
#   mvn -Pspark -DskipTests package dependency:copy-dependencies -pl distributed -am \
#     -DincludeScope=compile -DexcludeGroupIds=dev.crossover,tools.jackson.core -DoutputDirectory=target/spark/jars
#
# usage: distributed/scaling.sh [N [EXECUTORS...]]     positions of a problem, 2048; 1 2 4
set -eu
cd "$(dirname "$0")"
n=${1:-2048}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- 1 2 4
few=64
jar=$PWD/target/crossover-spark.jar
export SPARK_HOME="$PWD/target/spark" SPARK_SCALA_VERSION=2.13 SPARK_LOCAL_IP=127.0.0.1
if [ ! -f "$jar" ] || [ ! -d "$SPARK_HOME/jars" ]; then
  echo "$jar and $SPARK_HOME/jars must be there; the head of this file says how" >&2
  exit 1
fi
JDK_JAVA_OPTIONS="--add-modules=jdk.incubator.vector $(printf -- '--add-opens=java.base/%s=ALL-UNNAMED ' \
  java.lang java.lang.invoke java.net java.nio java.util sun.nio.ch)"
export JDK_JAVA_OPTIONS
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' INT TERM

# seconds of a study: positions, executors
seconds() {
  before=$(date +%s%N)
  (cd "$folder" && java -Xmx512m -cp "$jar:$SPARK_HOME/jars/*" "-Dspark.master=local-cluster[$2,1,1024]" \
    "-Dspark.executor.extraClassPath=$jar" -Dspark.executor.memory=512m -Dspark.driver.host=127.0.0.1 \
    dev.crossover.distributed.SparkStudy errors --n "$1" --mask none --seeds 2 -o "run-$1-$2" >log 2>&1) ||
    { cat "$folder/log" >&2; exit 1; }
  echo "$before $(date +%s%N)" | awk '{ printf "%.1f", ($2 - $1) / 1e9 }'
}

echo "$(nproc) cores, $(date -u +%Y-%m-%d), errors --n $n --mask none --seeds 2"
echo
echo "| executors | seconds | with n = $few, where computing is next to nothing | difference | points |"
echo "|---:|---:|---:|---:|---:|"
for executors in "$@"; do
  small=$(seconds "$few" "$executors")
  large=$(seconds "$n" "$executors")
  points=$(wc -l <"$folder/run-$n-$executors/errors.jsonl")
  echo "| $executors | $large | $small | $(echo "$large $small" | awk '{ printf "%.1f", $1 - $2 }') | $points |"
  cmp -s "$folder/run-$n-$executors/errors.jsonl" "$folder/run-$n-$1/errors.jsonl" ||
    { echo "records depend on the number of executors" >&2; exit 1; }
done
