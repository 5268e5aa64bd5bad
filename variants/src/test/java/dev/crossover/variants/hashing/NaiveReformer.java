// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.hashing;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.variants.hashing.Reformer.Variant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/// LSH attention slot by slot in double precision, with the penalties added as the codes do.
final class NaiveReformer {
  private final Reformer reformer;
  private final AttentionShape shape;
  private final Mask mask;
  private final Tensors inputs;
  private final int n;
  private final int padded;
  private final int batch;
  private final int problem;
  private final float[] x;
  private final double[] keyNorms;
  private final int[][] bucket;
  private final int[][] chunkOf;
  private final List<Integer> slots = new ArrayList<>();

  private NaiveReformer(
      Reformer reformer, AttentionShape shape, Mask mask, Tensors inputs, int problem) {
    this.reformer = reformer;
    this.shape = shape;
    this.mask = mask;
    this.inputs = inputs;
    this.problem = problem;
    this.batch = problem / shape.numHeads();
    n = shape.keySeqLen();
    int m = reformer.chunkLength();
    padded = (n + m - 1) / m * m;
    x = inputs.get("qk").data();
    keyNorms = keyNorms();
    bucket = new int[reformer.numHashes()][padded];
    chunkOf = new int[reformer.numHashes()][padded];
    for (int r = 0; r < reformer.numHashes(); r++) {
      sort(r);
    }
  }

  static double[] out(Attention attention, AttentionShape shape, Mask mask, Tensors inputs) {
    int dv = shape.valueDim();
    double[] out = new double[shape.problems() * shape.keySeqLen() * dv];
    for (int p = 0; p < shape.problems(); p++) {
      NaiveReformer naive = new NaiveReformer((Reformer) attention, shape, mask, inputs, p);
      for (int t = 0; t < shape.keySeqLen(); t++) {
        if (mask.isRealKey(naive.batch, t)) {
          naive.row(t, out, (p * shape.keySeqLen() + t) * dv);
        }
      }
    }
    return out;
  }

  /// Pairs that some round finds in one bucket and within its own chunk or the one before.
  static boolean[][] pairsFound(Reformer reformer, AttentionShape shape, Tensors inputs) {
    NaiveReformer naive = new NaiveReformer(reformer, shape, Mask.none(), inputs, 0);
    boolean[][] found = new boolean[naive.n][naive.n];
    for (int t = 0; t < naive.n; t++) {
      for (int u = 0; u < naive.n; u++) {
        found[t][u] = naive.timesFound(t, u) > 0;
      }
    }
    return found;
  }

  private void sort(int r) {
    float[] rotations = inputs.get("rotations").data();
    int d = shape.headDim();
    List<Integer> factors = reformer.bucketFactors(n);
    int half = reformer.directions(n);
    int width = reformer.numHashes() * half;
    List<Integer> order = new ArrayList<>();
    for (int t = 0; t < padded; t++) {
      order.add(t);
      bucket[r][t] =
          t < n && mask.isRealKey(batch, t)
              ? bucket(
                  x,
                  (problem * n + t) * d,
                  d,
                  rotations,
                  problem * d * width + r * half,
                  width,
                  factors)
              : reformer.buckets(n);
    }
    order.sort(Comparator.comparingInt((Integer t) -> bucket[r][t]));
    for (int s = 0; s < padded; s++) {
      chunkOf[r][order.get(s)] = (r * padded + s) / reformer.chunkLength();
    }
    slots.addAll(order);
  }

  static int bucket(
      float[] x, int xo, int d, float[] rotations, int ro, int width, List<Integer> factors) {
    int result = 0;
    int radix = 1;
    int first = 0;
    for (int factor : factors) {
      double best = Double.NEGATIVE_INFINITY;
      int winner = 0;
      for (int i = 0; i < factor; i++) {
        int column = first + i % (factor / 2);
        double y = 0;
        for (int c = 0; c < d; c++) {
          y += (double) x[xo + c] * rotations[ro + c * width + column];
        }
        y = i < factor / 2 ? y : -y;
        if (y > best) {
          best = y;
          winner = i;
        }
      }
      result += radix * winner;
      radix *= factor;
      first += factor / 2;
    }
    return result;
  }

  private void row(int t, double[] out, int o) {
    int dv = shape.valueDim();
    int rounds = reformer.numHashes();
    double[] lse = new double[rounds];
    double[][] part = new double[rounds][dv];
    double max = Double.NEGATIVE_INFINITY;
    for (int r = 0; r < rounds; r++) {
      lse[r] = round(r, t, part[r]);
      max = Math.max(max, lse[r]);
    }
    double sum = 0;
    for (int r = 0; r < rounds; r++) {
      sum += Math.exp(lse[r] - max);
    }
    for (int r = 0; r < rounds && max > Double.NEGATIVE_INFINITY; r++) {
      for (int c = 0; c < dv; c++) {
        out[o + c] += Math.exp(lse[r] - max) / sum * part[r][c];
      }
    }
  }

  private double round(int r, int t, double[] out) {
    int m = reformer.chunkLength();
    int chunks = slots.size() / m;
    int own = chunkOf[r][t];
    List<Integer> keys = new ArrayList<>();
    List<Double> scores = new ArrayList<>();
    double max = Double.NEGATIVE_INFINITY;
    for (int c = own - reformer.chunksBefore(); c <= own + reformer.chunksAfter(); c++) {
      int chunk = Math.floorMod(c, chunks);
      for (int s = chunk * m; s < (chunk + 1) * m; s++) {
        int u = slots.get(s);
        double score = score(r, s / padded, t, u);
        if (score > Double.NEGATIVE_INFINITY) {
          keys.add(u);
          scores.add(score);
          max = Math.max(max, score);
        }
      }
    }
    if (max == Double.NEGATIVE_INFINITY) {
      return max;
    }
    double sum = 0;
    for (double score : scores) {
      sum += Math.exp(score - max);
    }
    for (int s = 0; s < keys.size(); s++) {
      double weight = Math.exp(scores.get(s) - max) / sum;
      for (int c = 0; c < out.length && weight > 0; c++) {
        out[c] += weight * inputs.get("v").data()[(problem * n + keys.get(s)) * out.length + c];
      }
    }
    return max + Math.log(sum);
  }

  /// Steps 6 and 7 of the specification: penalties are added in the authors' code, and replace the
  /// score in the other. Where an offset hides a token from itself, later keys do not exist.
  private double score(int round, int slotRound, int t, int u) {
    boolean padded = u >= n || !mask.isRealKey(batch, u);
    boolean later = u >= mask.causalLimit(t, n, n);
    double score = padded ? 0 : reformer.scale().orElse(defaultScale()) * product(t, u);
    if (t >= mask.causalLimit(t, n, n) && later) {
      return Double.NEGATIVE_INFINITY;
    }
    if (reformer.variant() == Variant.TRAX) {
      score -= (later ? 1e9 : 0) + (u == t ? 1e5 : 0) + (padded ? 1e9 : 0);
    } else if (u == t) {
      score = -5e4;
    } else if (later || padded) {
      score = Double.NEGATIVE_INFINITY;
    }
    if (reformer.sameBucketOnly() && (slotRound != round || bucket[round][t] != bucket[round][u])) {
      score = Double.NEGATIVE_INFINITY;
    }
    boolean discounted = reformer.discountDuplicates() && score > Double.NEGATIVE_INFINITY;
    return discounted ? score - Math.log(timesFound(t, u) + 1e-9) : score;
  }

  private double defaultScale() {
    return reformer.variant() == Variant.TRAX ? 1 : 1 / Math.sqrt(shape.headDim());
  }

  /// x_t · k̂_u.
  private double product(int t, int u) {
    int d = shape.headDim();
    double dot = 0;
    for (int c = 0; c < d; c++) {
      dot += (double) x[(problem * n + t) * d + c] * x[(problem * n + u) * d + c];
    }
    return dot / keyNorms[u];
  }

  /// What the row of every token is divided by to become a key.
  private double[] keyNorms() {
    int d = shape.headDim();
    double[] norms = new double[n];
    for (int u = 0; u < n; u++) {
      double squares = 0;
      for (int c = 0; c < d; c++) {
        double key = x[(problem * n + u) * d + c];
        squares += key * key;
      }
      norms[u] =
          reformer.variant() == Variant.TRAX
              ? Math.sqrt(squares / d + 1e-6) * Math.sqrt(d)
              : Math.max(Math.sqrt(squares), 1e-12);
    }
    return norms;
  }

  private int timesFound(int t, int u) {
    int chunks = slots.size() / reformer.chunkLength();
    int found = 0;
    for (int r = 0; r < reformer.numHashes(); r++) {
      boolean near =
          chunkOf[r][u] == chunkOf[r][t]
              || chunkOf[r][u] == Math.floorMod(chunkOf[r][t] - 1, chunks);
      found += near && bucket[r][t] == bucket[r][u] ? 1 : 0;
    }
    return found;
  }
}
