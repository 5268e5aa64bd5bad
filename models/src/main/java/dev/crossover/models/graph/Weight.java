// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.graph;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.PackedMatrix;

/// Consecutive rows of a parameter seen as a map `[out, in]`, packed once per step for all products
/// with it, in both directions.
public final class Weight {
  private final Parameter parameter;
  private final int from;
  private final int out;
  private final int in;
  private final PackedMatrix forward;
  private final PackedMatrix backward;
  private final boolean bothWays;

  Weight(Scratch scratch, Parameter parameter, int from, int out, int in, boolean bothWays) {
    this.parameter = parameter;
    this.from = from;
    this.out = out;
    this.in = in;
    this.bothWays = bothWays;
    forward = new PackedMatrix(scratch, in, out);
    backward = bothWays ? new PackedMatrix(scratch, out, in) : forward;
  }

  boolean covers(Parameter other, int otherFrom, int otherOut) {
    return parameter == other && from == otherFrom && out == otherOut;
  }

  boolean bothWays() {
    return bothWays;
  }

  /// The parameter.
  public Parameter parameter() {
    return parameter;
  }

  /// First element within the parameter.
  public int offset() {
    return from * in;
  }

  /// Rows: the width of what the map gives.
  public int out() {
    return out;
  }

  /// Columns: the width of what it takes.
  public int in() {
    return in;
  }

  int tasks() {
    return forward.panels() + (bothWays ? backward.panels() : 0);
  }

  void pack(int task) {
    float[] data = parameter.value().data();
    if (task < forward.panels()) {
      forward.packTransposed(task, data, offset(), in);
    } else {
      backward.pack(task - forward.panels(), data, offset(), in);
    }
  }

  /// `y[m, out] (+)= x[m, in] Wᵀ`.
  public void apply(
      int m, float[] x, int xo, int ldx, float[] y, int yo, int ldy, boolean accumulate) {
    forward.multiply(m, x, xo, ldx, y, yo, ldy, accumulate);
  }

  /// `dx[m, in] (+)= dy[m, out] W`.
  public void applyTransposed(
      int m, float[] dy, int yo, int ldy, float[] dx, int xo, int ldx, boolean accumulate) {
    backward.multiply(m, dy, yo, ldy, dx, xo, ldx, accumulate);
  }
}
