// SPDX-License-Identifier: Apache-2.0
package dev.crossover.distributed;

import dev.crossover.attention.kernel.Kernels;
import dev.crossover.bench.jobs.Jobs;
import dev.crossover.bench.jobs.PointJob;
import java.io.IOException;
import java.io.Serializable;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import org.apache.spark.SparkConf;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.rdd.RDD;
import org.jspecify.annotations.Nullable;
import scala.collection.Iterator;
import scala.reflect.ClassTag;
import scala.runtime.AbstractFunction2;
import scala.runtime.BoxedUnit;

/// Points as tasks of Apache Spark, one task each.
///
/// The driver hands over a record as soon as its task ends, so an executor that dies costs the
/// points it was computing, which Spark gives to another one. A point that fails by itself is not
/// tried again: all others are computed first, then the fault is told.
final class SparkJobs implements Jobs, AutoCloseable {
  private static final String MASTER = "spark.master";
  private static final String THREADS = "spark.task.cpus";

  private final SparkConf settings;
  private @Nullable JavaSparkContext context;

  /// @param settings of Spark, which starts with the first study
  SparkJobs(SparkConf settings) {
    this.settings = settings;
  }

  @Override
  public int threads() {
    return settings.getInt(THREADS, 1);
  }

  @Override
  public void run(PointJob job, List<String> points, Sink sink) throws IOException {
    if (points.isEmpty()) {
      return;
    }
    Collector collector = new Collector(points, sink);
    RDD<String> tasks = context().parallelize(points, points.size()).rdd();
    try {
      tasks
          .context()
          .runJob(
              tasks,
              new Compute(job, Kernels.get().description()),
              collector,
              ClassTag.apply(Answer.class));
    } catch (RuntimeException e) {
      throw e;
    } catch (Exception e) {
      // checked, though Scala does not say so
      throw new IOException("the study ended before all points were computed: " + root(e), e);
    }
    collector.requireNoFaults();
  }

  /// Starts Spark where it does not run yet.
  private JavaSparkContext context() {
    JavaSparkContext running = context;
    if (running == null) {
      if (!settings.contains(MASTER)) {
        throw new IllegalArgumentException(
            MASTER
                + " must be given, by spark-submit --master or for example by -D"
                + MASTER
                + "=local[2], but was absent");
      }
      running = new JavaSparkContext(settings);
      running.setLogLevel("WARN");
      context = running;
    }
    return running;
  }

  private static String root(Throwable fault) {
    Throwable cause = fault;
    while (cause.getCause() != null) {
      cause = cause.getCause();
    }
    return String.valueOf(cause.getMessage()).lines().findFirst().orElse("?");
  }

  @Override
  public void close() {
    if (context != null) {
      context.stop();
    }
  }

  /// What a task sends back: a record, or why there is none.
  private record Answer(@Nullable String record, String fault) implements Serializable {}

  /// Computes the one point of a task, on an executor.
  private static final class Compute
      extends AbstractFunction2<TaskContext, Iterator<String>, Answer> implements Serializable {
    private static final long serialVersionUID = 1L;

    private final PointJob job;
    private final String kernels;

    Compute(PointJob job, String kernels) {
      this.job = job;
      this.kernels = kernels;
    }

    @Override
    public Answer apply(TaskContext task, Iterator<String> points) {
      String here = Kernels.get().description();
      if (!here.equals(kernels)) {
        return new Answer(
            null,
            "kernels must be those of the driver ("
                + kernels
                + "), or last digits differ, but on an executor were "
                + here
                + "; -Dcrossover.vector.bits=256 at the driver chooses for all");
      }
      try {
        return new Answer(job.compute(points.next()), "");
      } catch (IOException | RuntimeException e) {
        String message = e.getMessage();
        return new Answer(null, message == null ? e.toString() : message);
      }
    }
  }

  /// Takes answers as they come, on the driver.
  private static final class Collector extends AbstractFunction2<Object, Answer, BoxedUnit> {
    private final List<String> points;
    private final Sink sink;
    private final List<String> faults = new ArrayList<>();

    Collector(List<String> points, Sink sink) {
      this.points = points;
      this.sink = sink;
    }

    @Override
    public BoxedUnit apply(Object index, Answer answer) {
      int point = (Integer) index;
      String record = answer.record();
      if (record == null) {
        faults.add(points.get(point) + ": " + answer.fault());
      } else {
        try {
          sink.accept(point, record);
        } catch (IOException e) {
          throw new UncheckedIOException(e);
        }
      }
      return BoxedUnit.UNIT;
    }

    void requireNoFaults() throws IOException {
      if (!faults.isEmpty()) {
        throw new IOException(
            faults.getFirst()
                + (faults.size() == 1 ? "" : " (and " + (faults.size() - 1) + " more points)"));
      }
    }
  }
}
