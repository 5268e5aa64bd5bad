// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.recurrent;

import dev.crossover.attention.Scratch;
import java.util.Arrays;

/// Decay by one constant per head: powers of γ = exp(g).
///
/// The gradient is taken with respect to γ, from powers differentiated one by one, `m γ^(m−1)`: it
/// neither divides by γ nor cancels.
final class ConstantDecay extends NumberDecay {
  private final float[] powers;
  private float[] slopes = new float[0];
  private float[] reversedSlopes = new float[0];
  private float[] products = new float[0];
  private float[] row = new float[0];
  private double[] partials = new double[0];
  private double sum;
  private int constantReach;

  ConstantDecay(ChunkLayout layout, Scratch scratch) {
    super(layout, scratch);
    powers = scratch.floats(chunk + 1);
  }

  @Override
  void head(int head) {
    double g = rule.logDecay(head, 0);
    for (int m = 0; m <= chunk; m++) {
      powers[m] = m == 0 ? 1 : (float) Math.exp(m * g);
    }
    constantReach = 0;
    for (int i = 0; i < chunk; i++) {
      double c = (i + 1) * g;
      constantReach = c >= -ROW_REACH && c <= ROW_REACH ? i + 1 : constantReach;
      factors[i] = powers[i + 1];
      factors[chunk + i] = (float) Math.exp(-c);
      for (int j = 0; j <= i; j++) {
        table[i * chunk + j] = powers[i - j];
      }
      Arrays.fill(table, i * chunk + i + 1, (i + 1) * chunk, 0);
    }
    for (int m = 0; m < slopes.length; m++) {
      slopes[m] = m == 0 ? 0 : m * (m == 1 ? 1 : (float) Math.exp((m - 1) * g));
      reversedSlopes[chunk - m] = slopes[m];
    }
  }

  @Override
  void begin(int rows) {
    count = rows;
    reach = Math.min(rows, constantReach);
  }

  @Override
  void differences(int from) {}

  @Override
  void departures() {
    for (int j = 0; j < count; j++) {
      leaving[j] = powers[count - 1 - j];
    }
  }

  @Override
  double flops(int rows) {
    return (double) rows * dim;
  }

  @Override
  double gradientFlops(int rows) {
    double n = rows;
    return (4 * sides + 4) * n * dim + sides * 2 * n * (n + 1);
  }

  @Override
  int width() {
    return 0;
  }

  @Override
  void allocateGradient(Scratch scratch) {
    slopes = scratch.floats(chunk + 1);
    reversedSlopes = scratch.floats(chunk + 1);
    products = scratch.floats(layout.scores());
    row = scratch.floats(chunk);
  }

  @Override
  void addTo(double[] newPartials) {
    partials = newPartials;
  }

  @Override
  void beginGradient() {
    sum = 0;
  }

  @Override
  void allScores(
      float[] left, float[] carried, float[] k, int ko, float[] scores, float[] transposed) {
    lower(left, k, ko, products, transposed);
    decayed(products, scores);
  }

  @Override
  void uncarry(float[] left, float[] gradLeft) {
    for (int i = 0; i < sides * count; i++) {
      int at = i * dim;
      sum += slopes[i % count + 1] * kernels.dot(dim, left, at, gradLeft, at);
      kernels.scale(dim, powers[i % count + 1], gradLeft, at, gradLeft, at);
    }
  }

  @Override
  void undepart(float[] k, int ko, float[] gradKeys) {
    for (int j = 0; j < count; j++) {
      int steps = count - 1 - j;
      sum += slopes[steps] * kernels.dot(dim, k, ko + j * dim, gradKeys, j * dim);
      kernels.scale(dim, powers[steps], gradKeys, j * dim, gradKeys, j * dim);
    }
  }

  @Override
  void unstate(float[] s, int so, float[] r, int ro, int valueDim) {
    for (int a = 0; a < dim; a++) {
      int at = a * valueDim;
      sum += slopes[count] * kernels.dot(valueDim, s, so + at, r, ro + at);
    }
  }

  @Override
  void unscore(
      float[] gradScores,
      float[] scores,
      float[] left,
      float[] carried,
      float[] k,
      int ko,
      float[] gradLeft,
      float[] gradKeys) {
    for (int line = 0; line < sides * count && partials.length > 0; line++) {
      int i = line % count;
      kernels.multiplyElements(i, gradScores, line * chunk, products, line * chunk, row, 0);
      sum += kernels.dot(i, row, 0, reversedSlopes, chunk - i);
    }
    decayed(gradScores, gradScores);
    unlower(gradScores, left, k, ko, gradLeft, gradKeys);
  }

  @Override
  void addGradient(
      int batch,
      int first,
      int atRow,
      int part,
      float[] left,
      float[] k,
      int ko,
      float[] gradLeft,
      float[] gradKeys) {
    if (partials.length > 0) {
      partials[part] = sum;
    }
  }
}
