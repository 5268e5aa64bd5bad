// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.ScoreOptions.Alibi;
import dev.crossover.attention.exact.ScoreOptions.AlibiForm;
import dev.crossover.attention.exact.ScoreOptions.Gate;
import dev.crossover.attention.exact.ScoreOptions.QkNorm;
import dev.crossover.attention.exact.ScoreOptions.Rope;

/// The eight lines of [ScoreOptions] in double precision, pair by pair.
final class NaiveScores {
  private final ScoreOptions options;
  private final AttentionShape shape;
  private final Mask mask;
  private final Tensors inputs;

  private NaiveScores(ScoreOptions options, AttentionShape shape, Mask mask, Tensors inputs) {
    this.options = options;
    this.shape = shape;
    this.mask = mask;
    this.inputs = inputs;
  }

  static double[] out(Attention attention, AttentionShape shape, Mask mask, Tensors inputs) {
    Tiled tiled = (Tiled) attention;
    double scale = tiled.scale().orElse(Attention.defaultScale(shape));
    return new NaiveScores(tiled.options(), shape, mask, inputs).out(scale);
  }

  private double[] out(double scale) {
    int nq = shape.querySeqLen();
    int nk = shape.keySeqLen();
    int dv = shape.valueDim();
    double[] out = new double[shape.problems() * nq * dv];
    for (int row = 0; row < shape.problems() * nq; row++) {
      int batch = row / nq / shape.numHeads();
      int h = row / nq % shape.numHeads();
      int i = row % nq;
      int p = i + (mask.isCausal() ? mask.causalOffset(nq, nk) : nk - nq);
      double sum = options.sinkLogit() ? Math.exp(at("sink_logit", h)) : 0;
      boolean any = false;
      for (int j = 0; j < nk; j++) {
        boolean near =
            options.windowSize().isEmpty()
                || Math.abs(p - j) < options.windowSize().getAsInt()
                || j < options.sinkTokens();
        if (!near || j >= mask.causalLimit(i, nq, nk) || !mask.isRealKey(batch, j)) {
          continue;
        }
        any = true;
        double weight = Math.exp(score(batch, h, i, j, p, scale));
        sum += weight;
        for (int c = 0; c < dv; c++) {
          out[row * dv + c] += weight * at("v", shape.valueOffset(batch, h) + j * dv + c);
        }
      }
      for (int c = 0; c < dv; c++) {
        int e = row * dv + c;
        double gate =
            options.outputGate() == Gate.NONE
                ? 1
                : 1 / (1 + Math.exp(-at("output_gate", options.gatePerHead() ? row : e)));
        out[e] = any ? out[e] / sum * gate : 0;
      }
    }
    return out;
  }

  private double at(String name, int index) {
    return inputs.get(name).data()[index];
  }

  private double score(int batch, int h, int i, int j, int p, double scale) {
    int d = shape.headDim();
    boolean sink =
        options.sinkPositions() == ScoreOptions.SinkPositions.CACHE && j < options.sinkTokens();
    int met = sink ? Math.min(p, options.sinkTokens() + options.windowSize().orElseThrow() - 1) : p;
    double[] q = row("q", shape.queryOffset(batch, h) + i * d, met);
    double[] k = row("k", shape.keyOffset(batch, h) + j * d, j);
    double score = 0;
    for (int c = 0; c < d; c++) {
      score += scale * q[c] * k[c];
    }
    if (options.logitSoftcap().isPresent()) {
      double cap = options.logitSoftcap().getAsDouble();
      score = cap * Math.tanh(score / cap);
    }
    if (inputs.has("bias")) {
      score += at("bias", (h * shape.querySeqLen() + i) * shape.keySeqLen() + j);
    }
    if (options.alibi() != Alibi.NONE) {
      double slope =
          options.alibi() == Alibi.GIVEN
              ? at("alibi_slopes", h)
              : ScoreOptions.geometricSlopes(shape.numHeads())[h];
      double distance = options.alibiForm() == AlibiForm.SIGNED ? met - j : Math.abs(met - j);
      score -= slope * distance;
    }
    return score;
  }

  private double[] row(String name, int from, int position) {
    int d = shape.headDim();
    double[] x = new double[d];
    double mean = 0;
    for (int c = 0; c < d; c++) {
      x[c] = at(name, from + c);
      mean += x[c] / d;
    }
    double squares = 0;
    for (int c = 0; c < d; c++) {
      x[c] -= options.qkNorm() == QkNorm.LAYER ? mean : 0;
      squares += x[c] * x[c];
    }
    double root =
        switch (options.qkNorm()) {
          case NONE -> 1;
          case RMS, LAYER -> Math.sqrt(squares / d + options.qkNormEps());
          case L2 -> Math.max(Math.sqrt(squares), options.qkNormEps());
        };
    for (int c = 0; c < d; c++) {
      String weight = name + "_norm_weight";
      x[c] *= (inputs.has(weight) ? at(weight, c) : 1) / root;
    }
    int rotated = options.rope() == Rope.NONE ? 0 : options.ropeDim().orElse(d);
    for (int a = 0; a < rotated / 2; a++) {
      double frequency =
          inputs.has("rope_frequencies")
              ? at("rope_frequencies", a)
              : Math.pow(options.ropeBase(), -2.0 * a / rotated);
      double angle = (position + options.ropeOffset()) * frequency;
      int u = options.rope() == Rope.HALF ? a : 2 * a;
      int w = options.rope() == Rope.HALF ? a + rotated / 2 : 2 * a + 1;
      double first = x[u];
      x[u] = options.ropeConcentration() * (first * Math.cos(angle) - x[w] * Math.sin(angle));
      x[w] = options.ropeConcentration() * (x[w] * Math.cos(angle) + first * Math.sin(angle));
    }
    return x;
  }
}
