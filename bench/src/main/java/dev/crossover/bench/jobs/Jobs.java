// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jobs;

import java.io.IOException;
import java.util.List;

/// Where the points of a study are computed: in this process, or by those of a cluster.
public interface Jobs {

  /// Receives records as they are finished.
  @FunctionalInterface
  interface Sink {
    /// Takes a record; never called by two threads at once.
    ///
    /// @param index of the point, from 0
    /// @param record one JSON line without the line break
    /// @throws IOException if it cannot be kept, which ends the study
    void accept(int index, String record) throws IOException;
  }

  /// Threads of one point where nobody says otherwise, at least 1.
  int threads();

  /// Computes every point once, in any order, and hands over each record as soon as it is finished.
  ///
  /// @throws IOException if a point cannot be computed or a record not be kept; what was handed
  ///     over before stays
  void run(PointJob job, List<String> points, Sink sink) throws IOException;

  /// One point after the other, in this process.
  ///
  /// @param threads number of threads of a point
  static Jobs here(int threads) {
    return new Jobs() {
      @Override
      public int threads() {
        return threads;
      }

      @Override
      public void run(PointJob job, List<String> points, Sink sink) throws IOException {
        for (int i = 0; i < points.size(); i++) {
          sink.accept(i, job.compute(points.get(i)));
        }
      }
    };
  }
}
