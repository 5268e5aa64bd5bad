// SPDX-License-Identifier: Apache-2.0
package dev.crossover.distributed;

import dev.crossover.reports.cli.Main;
import java.io.PrintWriter;
import org.apache.spark.SparkConf;

/// The command line with its points computed by Apache Spark: takes the arguments of `crossover
/// errors`, `crossover train` and `crossover swap`, and writes what they write.
///
/// Where Spark is comes from `spark-submit`, or from system properties where this class is started
/// as a plain program (`-Dspark.master=local[2]`). Commands that time something are refused: times
/// taken beside unknown neighbours are no measurement.
public final class SparkStudy {
  private SparkStudy() {}

  /// Runs a study and ends the JVM with its exit code.
  ///
  /// @param arguments as for `crossover`
  public static void main(String[] arguments) {
    PrintWriter out = new PrintWriter(System.out, true);
    PrintWriter err = new PrintWriter(System.err, true);
    System.exit(run(Cluster.settings(), out, err, arguments));
  }

  /// Runs a study.
  ///
  /// @param settings of Spark
  /// @param out where answers go
  /// @param err where errors and progress go
  /// @param arguments as for `crossover`
  /// @return exit code, as of `crossover`
  static int run(SparkConf settings, PrintWriter out, PrintWriter err, String... arguments) {
    try (SparkJobs jobs = new SparkJobs(settings)) {
      return Main.run(jobs, out, err, arguments);
    }
  }
}
