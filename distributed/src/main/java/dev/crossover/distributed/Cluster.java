// SPDX-License-Identifier: Apache-2.0
package dev.crossover.distributed;

import java.util.Properties;
import java.util.TreeSet;
import org.apache.spark.SparkConf;

/// How Spark is told to run studies.
final class Cluster {
  private static final String EXECUTOR_OPTIONS = "spark.executor.extraJavaOptions";
  private static final String VECTOR = "jdk.incubator.vector";
  private static final String OWN = "crossover.";

  private Cluster() {}

  /// Spark's settings from `spark-submit` and system properties, with what studies need.
  static SparkConf settings() {
    return completed(new SparkConf(), System.getProperties());
  }

  /// Settings with what studies need: executors get the vector module and this process's choice of
  /// kernels, or their numbers would differ in the last digits.
  ///
  /// @param properties of this process
  static SparkConf completed(SparkConf conf, Properties properties) {
    StringBuilder options = new StringBuilder(conf.get(EXECUTOR_OPTIONS, ""));
    if (options.indexOf(VECTOR) < 0) {
      options.append(" --add-modules=" + VECTOR);
    }
    for (String name : new TreeSet<>(properties.stringPropertyNames())) {
      if (name.startsWith(OWN) && options.indexOf("-D" + name + "=") < 0) {
        options.append(" -D" + name + "=" + properties.getProperty(name));
      }
    }
    return conf.set(EXECUTOR_OPTIONS, options.toString().strip())
        .setIfMissing("spark.app.name", "crossover")
        .setIfMissing("spark.ui.enabled", "false");
  }
}
