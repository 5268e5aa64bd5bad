// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.recurrent;

import dev.crossover.attention.Scratch;
import java.util.Arrays;

/// Decay by one number per head and token.
final class TokenDecay extends NumberDecay {
  /// Stands for −∞, so that differences remain numbers.
  static final float FORGET = -1e5f;

  private final float[] exponents;
  private final double[] cumulative;
  private double[] crossing = new double[0];
  private double[] arriving = new double[0];
  private double passing;

  TokenDecay(ChunkLayout layout, Scratch scratch) {
    super(layout, scratch);
    exponents = scratch.floats(Math.max(2L, chunk) * chunk);
    cumulative = scratch.doubles(chunk);
  }

  @Override
  void run(int head, int row, int from, int to) {
    for (int i = from; i < to; i++) {
      double before = i == 0 ? 0 : cumulative[i - 1];
      int own = row + i - from;
      boolean decays = own % steps == 0;
      cumulative[i] = before + (decays ? Math.max(FORGET, rule.logDecay(head, own / steps)) : 0);
    }
  }

  @Override
  void skip(int from, int to) {
    for (int i = from; i < to; i++) {
      cumulative[i] = i == 0 ? 0 : cumulative[i - 1];
    }
  }

  @Override
  void begin(int rows) {
    count = rows;
    rowFactors();
    reach = 0;
    while (reach < rows && Math.abs(cumulative[reach]) <= ROW_REACH) {
      reach++;
    }
  }

  /// exp(c_i) and exp(−c_i), with the rounding of c_i to float32 made good.
  private void rowFactors() {
    for (int i = 0; i < count; i++) {
      factors[i] = (float) cumulative[i];
      factors[chunk + i] = -factors[i];
    }
    kernels.exp(count, 1, 0, factors, 0, exponents, 0);
    kernels.exp(count, 1, 0, factors, chunk, exponents, chunk);
    for (int i = 0; i < count; i++) {
      float rest = (float) (cumulative[i] - factors[i]);
      factors[i] = Math.fma(exponents[i], rest, exponents[i]);
      factors[chunk + i] = Math.fma(exponents[chunk + i], -rest, exponents[chunk + i]);
    }
  }

  @Override
  void differences(int from) {
    for (int i = from; i < count; i++) {
      double own = cumulative[i];
      int at = i * chunk;
      for (int j = 0; j <= i; j++) {
        exponents[at + j] = (float) (own - cumulative[j]);
      }
      Arrays.fill(exponents, at + i + 1, at + chunk, Float.NEGATIVE_INFINITY);
    }
    int at = from * chunk;
    kernels.exp((count - from) * chunk, 1, 0, exponents, at, table, at);
  }

  @Override
  void departures() {
    double last = cumulative[count - 1];
    for (int j = 0; j < count; j++) {
      leaving[j] = (float) (last - cumulative[j]);
    }
    kernels.exp(count, 1, 0, leaving, 0, leaving, 0);
  }

  @Override
  double flops(int rows) {
    return rows * (dim + 5.0);
  }

  @Override
  double gradientFlops(int rows) {
    double n = rows;
    return (4 * sides + 4) * n * dim + (2 + sides * 2.5) * n * (n + 1);
  }

  @Override
  int width() {
    return 1;
  }

  @Override
  void allocateGradient(Scratch scratch) {
    crossing = scratch.doubles(chunk);
    arriving = scratch.doubles(chunk);
  }

  @Override
  void beginGradient() {
    differences(0);
    Arrays.fill(crossing, 0);
    passing = 0;
  }

  @Override
  void allScores(
      float[] left, float[] carried, float[] k, int ko, float[] scores, float[] transposed) {
    lower(left, k, ko, scores, transposed);
    decayed(scores, scores);
  }

  @Override
  void uncarry(float[] left, float[] gradLeft) {
    for (int row = 0; row < sides * count; row++) {
      int i = row % count;
      int at = row * dim;
      kernels.scale(dim, factors[i], gradLeft, at, gradLeft, at);
      crossing[i] += kernels.dot(dim, left, at, gradLeft, at);
    }
  }

  @Override
  void undepart(float[] k, int ko, float[] gradKeys) {
    for (int j = 0; j < count; j++) {
      int at = j * dim;
      kernels.scale(dim, leaving[j], gradKeys, at, gradKeys, at);
      arriving[j] = kernels.dot(dim, k, ko + at, gradKeys, at);
    }
  }

  @Override
  void unstate(float[] s, int so, float[] r, int ro, int valueDim) {
    double sum = 0;
    for (int a = 0; a < dim; a++) {
      int at = a * valueDim;
      sum += kernels.dot(valueDim, s, so + at, r, ro + at);
    }
    passing = sum * factors[count - 1];
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
    for (int row = 0; row < sides * count && rule.gradLogDecays().length > 0; row++) {
      cross(row % count, gradScores, scores, row * chunk);
    }
    decayed(gradScores, gradScores);
    unlower(gradScores, left, k, ko, gradLeft, gradKeys);
  }

  /// Adds M_ij to row i and takes it from row j: what lies between two rows on the same side of t
  /// then leaves no trace in sums from t on, as the very same number was added and taken.
  private void cross(int i, float[] gradScores, float[] scores, int at) {
    double sum = 0;
    for (int j = 0; j < i; j++) {
      double product = (double) gradScores[at + j] * scores[at + j];
      sum += product;
      crossing[j] -= product;
    }
    crossing[i] += sum;
  }

  @Override
  void addGradient(
      int batch,
      int first,
      int row,
      int part,
      float[] left,
      float[] k,
      int ko,
      float[] gradLeft,
      float[] gradKeys) {
    float[] gradient = rule.gradLogDecays();
    if (gradient.length == 0) {
      return;
    }
    for (int i = count - 2; i >= 0; i--) {
      crossing[i] += crossing[i + 1];
    }
    for (int i = 0; i < count; i++) {
      if ((row + i) % steps == 0 && layout.mask().isRealKey(batch, first + i)) {
        gradient[(row + i) / steps] += (float) (passing + crossing[i]);
      }
      passing += arriving[i];
    }
  }
}
