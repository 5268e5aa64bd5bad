// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.input;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;

/// Gaussian queries and keys with a few keys planted that all queries prefer: a needle far away, or
/// the attention sinks of the first positions (Xiao et al., Efficient Streaming Language Models
/// with Attention Sinks, ICLR 2024, arXiv:2309.17453).
///
/// ```
/// q_i = √scale ε_i⊥ + a u                     u a random unit vector per head, ε⊥ without u
/// k_j = √scale ε_j⊥,  planted: k_j = a u      a² / √d = b
/// b   = ln(mass / (1 − mass)) + ln(nk / count) + scale² / 2
/// ```
///
/// A planted key scores exactly b, the others N(0, scale²·(1 − 1/d)), so that the planted keys
/// together take about the share `mass` of a row that sees all keys, and more of one that sees
/// fewer. Values are N(0, 1), those of sinks times `value`: trained sinks have small values.
///
/// @param first position of the first planted key
/// @param count number of planted keys, at least 1 and below the number of keys
/// @param mass share of a row's weight on the planted keys, between 0 and 1
/// @param value factor on the values of the planted keys
/// @param scale standard deviation of the other scores, above 0
record PlantedKeys(int first, int count, double mass, double value, double scale) {

  /// The tensors `q`, `k`, `v`.
  Tensors load(AttentionShape s, long seed) {
    int d = s.headDim();
    int nk = s.keySeqLen();
    Generated.require(count < nk, "count must be below the number of keys " + nk, count);
    Tensor direction = Draws.gaussian(Draws.seedFor(seed, "u"), s.numKeyValueHeads(), 1, d);
    Generated.normalise(direction);
    double b = Math.log(mass / (1 - mass)) + Math.log((double) nk / count) + scale * scale / 2;
    double a = Math.sqrt(Math.max(0, b) * Math.sqrt(d));
    Tensor q = Draws.gaussian(Draws.seedFor(seed, "q"), Math.sqrt(scale), Generated.queries(s, d));
    Tensor k = Draws.gaussian(Draws.seedFor(seed, "k"), Math.sqrt(scale), Generated.keys(s, d));
    Tensor v = Generated.values(s, seed);
    for (int row = 0; row < q.size() / d; row++) {
      int head = row / s.querySeqLen() % s.numHeads() / s.groupSize();
      replaceAlong(q, row, direction, head, a, 1);
    }
    for (int row = 0; row < k.size() / d; row++) {
      int head = row / nk % s.numKeyValueHeads();
      boolean planted = row % nk >= first && row % nk < first + count;
      replaceAlong(k, row, direction, head, planted ? a : 0, planted ? 0 : 1);
      if (planted) {
        for (int e = 0; e < s.valueDim(); e++) {
          v.data()[row * s.valueDim() + e] *= (float) value;
        }
      }
    }
    return Tensors.qkv(q, k, v);
  }

  /// Gives a row the component `along` in the head's direction, and keeps the share `rest` of what
  /// is orthogonal to it.
  private static void replaceAlong(
      Tensor rows, int row, Tensor direction, int head, double along, double rest) {
    int d = rows.extent(3);
    double has = 0;
    for (int e = 0; e < d; e++) {
      has += (double) rows.data()[row * d + e] * direction.data()[head * d + e];
    }
    for (int e = 0; e < d; e++) {
      double u = direction.data()[head * d + e];
      double orthogonal = rows.data()[row * d + e] - has * u;
      rows.data()[row * d + e] = (float) (rest * orthogonal + along * u);
    }
  }
}
