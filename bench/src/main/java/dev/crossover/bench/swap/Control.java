// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Cost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;
import java.util.Locale;

/// What is put in the place of attention to see what is left without it: no mechanism.
///
/// @param kind what a row becomes
record Control(Kind kind) implements Attention {

  /// What a row becomes.
  enum Kind {
    /// The mean of all values: attention with equal weights.
    UNIFORM,
    /// Its own value.
    OWN_VALUE,
    /// Zero.
    ZERO
  }

  @Override
  public String name() {
    return "control:" + kind.name().toLowerCase(Locale.ROOT);
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL;
  }

  @Override
  public Cost cost(AttentionShape shape, Mask mask, int threads) {
    double flops = kind == Kind.UNIFORM ? Tensor.sizeOf(outputShape(shape)) : 0;
    return new Cost(flops, Cost.tensorBytes(shape), 0);
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new Plan(request);
  }

  private final class Plan extends AttentionPlan {
    Plan(PlanRequest request) {
      super(request);
    }

    @Override
    protected void compute(Tensor output) {
      float[] v = input("v");
      float[] out = output.data();
      switch (kind) {
        case UNIFORM -> means(v, out);
        case OWN_VALUE -> System.arraycopy(v, 0, out, 0, output.size());
        case ZERO -> Arrays.fill(out, 0);
      }
    }

    private void means(float[] v, float[] out) {
      int n = shape.keySeqLen();
      int dv = shape.valueDim();
      for (int problem = 0; problem < shape.problems(); problem++) {
        int at = problem * n * dv;
        for (int c = 0; c < dv; c++) {
          double sum = 0;
          for (int j = 0; j < n; j++) {
            sum += v[at + j * dv + c];
          }
          float mean = (float) (sum / n);
          for (int i = 0; i < n; i++) {
            out[at + i * dv + c] = mean;
          }
        }
      }
    }
  }
}
