// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jobs;

import java.io.IOException;
import java.io.Serializable;

/// Computes single points of a study, here or in another process.
///
/// What comes out depends on the job's own fields and the point only, never on which points were
/// computed before, where, or how many at a time: that is what makes the records of a study the
/// same wherever its points went. A job may keep in memory what several points need.
@FunctionalInterface
public interface PointJob extends Serializable {

  /// Computes a point; may be called by several threads at once.
  ///
  /// @param point the point as one line of text
  /// @return its record as one JSON line without the line break
  /// @throws IOException if something that the point needs cannot be read here
  String compute(String point) throws IOException;
}
