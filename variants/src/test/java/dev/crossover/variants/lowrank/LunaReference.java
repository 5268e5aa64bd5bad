// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.testing.LunaOracle;
import dev.crossover.variants.lowrank.Luna.Activation;
import java.util.function.DoubleUnaryOperator;

/// Luna by [LunaOracle], head by head.
final class LunaReference {
  private LunaReference() {}

  static double[] out(Luna luna, AttentionShape s, Mask mask, Tensors inputs) {
    DoubleUnaryOperator omega =
        luna.activation() == Activation.ELU_PLUS_ONE
            ? LunaOracle::eluPlusOne
            : LunaOracle::softplus2;
    double[] out = new double[s.problems() * s.querySeqLen() * s.valueDim()];
    for (int p = 0; p < s.problems(); p++) {
      double[][] y =
          LunaOracle.causal(
              rows(inputs, "q", p, s.querySeqLen(), s.headDim()),
              rows(inputs, "k", p, s.keySeqLen(), s.headDim()),
              rows(inputs, "v", p, s.keySeqLen(), s.valueDim()),
              rows(inputs, "pack_keys", p, s.keySeqLen(), s.headDim()),
              rows(inputs, "pack", p, luna.packLength(), s.headDim()),
              s.valueDim(),
              mask,
              p / s.numHeads(),
              omega);
      for (int i = 0; i < y.length; i++) {
        System.arraycopy(y[i], 0, out, (p * s.querySeqLen() + i) * s.valueDim(), s.valueDim());
      }
    }
    return out;
  }

  private static double[][] rows(Tensors inputs, String name, int block, int n, int width) {
    float[] x = inputs.get(name).data();
    double[][] rows = new double[n][width];
    for (int i = 0; i < n; i++) {
      for (int e = 0; e < width; e++) {
        rows[i][e] = x[(block * n + i) * width + e];
      }
    }
    return rows;
  }
}
