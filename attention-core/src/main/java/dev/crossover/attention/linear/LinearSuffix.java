// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.linear;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;
import java.util.Arrays;

/// What the keys before a position need to know of the queries after it: R = Σ ψ_i [G_i, δ_i] of
/// one head, kept transposed, `[dv + 1, M]`, and with a key shift X = Σ (Σ_a ψ_ia) G_i.
///
/// With a scale, R is relative to the reference of the position.
final class LinearSuffix {
  private final Kernels kernels = Kernels.get();
  private final int width;
  private final int valueDim;

  /// Rᵀ.
  final float[] sum;

  /// X, only with a key shift.
  final float[] shifted;

  LinearSuffix(Scratch scratch, int width, int valueDim, boolean shift) {
    this.width = width;
    this.valueDim = valueDim;
    sum = scratch.floats((valueDim + 1L) * width);
    shifted = scratch.floats(shift ? valueDim : 0);
  }

  /// Bytes the constructor allocates.
  static long bytes(int width, int valueDim, boolean shift) {
    return ((valueDim + 1L) * width + (shift ? valueDim : 0)) * Float.BYTES;
  }

  void clear() {
    Arrays.fill(sum, 0);
    Arrays.fill(shifted, 0);
  }

  /// Adds the upstream gradient `[M, dv]` of the final state.
  void addState(float[] gradient, int from) {
    for (int i = 0; i < width * valueDim; i++) {
      sum[i % valueDim * width + i / valueDim] += gradient[from + i];
    }
  }

  /// Adds the upstream gradient `[M]` of the final normaliser.
  void addNormaliser(float[] gradient, int from) {
    kernels.add(width, sum, valueDim * width, gradient, from, sum, valueDim * width);
  }

  /// Adds R_G to the gradient `[M, dv]` of the initial state.
  void addToState(float[] gradient, int to) {
    for (int i = 0; i < width * valueDim; i++) {
      gradient[to + i] += sum[i % valueDim * width + i / valueDim];
    }
  }

  /// Adds R_δ to the gradient `[M]` of the initial normaliser.
  void addToNormaliser(float[] gradient, int to) {
    kernels.add(width, gradient, to, sum, valueDim * width, gradient, to);
  }

  /// Adds another part, brought to this one's reference.
  void add(float factor, LinearSuffix other) {
    kernels.axpy(sum.length, factor, other.sum, 0, sum, 0);
    kernels.add(shifted.length, shifted, 0, other.shifted, 0, shifted, 0);
  }

  /// Expresses R relative to another reference.
  void rescale(double factor) {
    if (factor != 1) {
      kernels.scale(sum.length, (float) factor, sum, 0, sum, 0);
    }
  }
}
