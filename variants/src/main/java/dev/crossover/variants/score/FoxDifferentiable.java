// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.score;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.Workers;
import dev.crossover.attention.exact.ScoreTerms;
import dev.crossover.attention.exact.TiledBackward;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.ScoreTerm;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;

/// [Fox] with its backward pass: that of exact attention, with the differences of c as a term that
/// is computed tile by tile. Keeps the log-sum-exp of every row.
///
/// ∂c is summed in double precision; where a head's work is cut into parts, each has its own sums,
/// which are added in order.
final class FoxDifferentiable extends DifferentiablePlan {
  private final Fox fox;
  private final Kernels kernels = Kernels.get();
  private final AttentionPlan forward;
  private final TiledBackward backward;
  private final int nk = shape.keySeqLen();
  private final int shares;
  private final float[] lse;

  /// c, `[batch, heads, nk]`.
  private final double[] sums;

  /// ∂c, `[shares, batch, heads, nk]`.
  private final double[] gradSums;

  private final Differences[] terms = new Differences[threads()];
  private final ScoreTerms source = this::term;
  private final Workers.Task sum = this::sum;
  private final Workers.Task gateGradients = this::gateGradients;

  FoxDifferentiable(Fox fox, PlanRequest request) {
    super(request);
    this.fox = fox;
    lse = kept.floats((long) shape.problems() * shape.querySeqLen());
    forward = fox.planWithLse(request, lse);
    scratch.include(forward.scratchBytes());
    backward = new TiledBackward(shape, mask, threads(), fox.scaleFor(shape), true, scratch);
    shares = backward.shares();
    sums = scratch.doubles((long) shape.problems() * nk);
    gradSums = scratch.doubles((long) shares * shape.problems() * nk);
    for (int t = 0; t < threads(); t++) {
      terms[t] = new Differences();
    }
  }

  static GradientCost cost(Fox fox, AttentionShape s, Mask mask, int threads) {
    long keys = (long) s.problems() * s.keySeqLen();
    double pairs = s.problems() * fox.pairs(s, mask);
    return new GradientCost(
        pairs * (6.0 * s.headDim() + 4.0 * s.valueDim() + 11) + 2 * keys,
        Float.BYTES * (long) s.problems() * s.querySeqLen(),
        fox.cost(s, mask, threads).scratchBytes()
            + TiledBackward.bytes(s, mask, threads, true)
            + Double.BYTES * (1L + TiledBackward.shares(s)) * keys);
  }

  @Override
  protected void compute(Tensor output) {
    runNested(forward, output, Tensors.NONE);
  }

  @Override
  protected void differentiate(float[] gradOut) {
    Arrays.fill(gradSums, 0);
    workers.run(shape.problems(), sum);
    backward.bind(input("q"), input("k"), input("v"), output(), lse);
    backward.terms(source, false);
    backward.add(gradOut, wanted("q"), wanted("k"), wanted("v"));
    if (wantsGradient("log_decay")) {
      workers.run(shape.problems(), gateGradients);
    }
  }

  private void sum(int worker, int problem) {
    Fox.sum(shape, mask, problem, input("log_decay"), sums, problem * nk);
  }

  private ScoreTerm term(int worker, int batch, int head, int share) {
    Differences term = terms[worker];
    term.at = (batch * shape.numHeads() + head) * nk;
    term.gradAt = share * shape.problems() * nk + term.at;
    return term;
  }

  /// c_p(i) − c_j of a tile, −∞ outside the window.
  private final class Differences implements ScoreTerm {
    private int at;
    private int gradAt;

    @Override
    public int firstKey(int query) {
      return fox.firstKey(shape, mask, query);
    }

    @Override
    public void scores(
        int firstQuery, int queries, int[] keys, int count, float[] to, int start, int ld) {
      for (int r = 0; r < queries; r++) {
        double own = sums[at + Fox.place(shape, mask, firstQuery + r)];
        int least = firstKey(firstQuery + r);
        int row = start + r * ld;
        if (count > 0 && keys[count - 1] - keys[0] == count - 1) {
          kernels.differences(count, own, sums, at + keys[0], to, row);
          int hidden = Math.clamp((long) least - keys[0], 0, count);
          Arrays.fill(to, row, row + hidden, Float.NEGATIVE_INFINITY);
          continue;
        }
        for (int c = 0; c < count; c++) {
          int j = keys[c];
          to[row + c] = j < least ? Float.NEGATIVE_INFINITY : (float) (own - sums[at + j]);
        }
      }
    }

    @Override
    public void gradients(
        int firstQuery, int queries, int[] keys, int count, float[] from, int start, int ld) {
      for (int r = 0; r < queries; r++) {
        double row = 0;
        for (int c = 0; c < count; c++) {
          float slope = from[start + r * ld + c];
          row += slope;
          gradSums[gradAt + keys[c]] -= slope;
        }
        gradSums[gradAt + Fox.place(shape, mask, firstQuery + r)] += row;
      }
    }
  }

  /// ∂log f of a head: sums of ∂c from the last position on, zero behind padding.
  private void gateGradients(int worker, int problem) {
    float[] target = gradient("log_decay");
    double later = 0;
    for (int t = nk - 1; t >= 0; t--) {
      for (int share = 0; share < shares; share++) {
        later += gradSums[(share * shape.problems() + problem) * nk + t];
      }
      if (mask.isRealKey(problem / shape.numHeads(), t)) {
        target[problem * nk + t] += (float) later;
      }
    }
  }
}
