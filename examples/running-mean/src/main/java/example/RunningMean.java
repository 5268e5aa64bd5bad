// SPDX-License-Identifier: Apache-2.0
package example;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Ability;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.MechanismProvider;
import dev.crossover.attention.tensor.Tensor;
import java.util.List;

/// Each token gets the mean of the values it sees: softmax attention at infinite temperature.
///
/// `out_i = (v_1 + … + v_m) / m`, where m is the number of keys that row i sees: i with causal
/// order, n without.
@Mechanism(
    name = "running_mean",
    title = "Running mean",
    paper = "an example",
    family = Mechanism.Family.SCORE,
    approximates = Mechanism.Approximates.NONE,
    exactness = "where all scores of a row are equal",
    time = "n d",
    memory = "d",
    exponent = 1)
public record RunningMean() implements Attention {

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL.causal(Causality.OPTIONAL).with(Ability.GRADIENTS);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double flops = 2.0 * s.problems() * s.keySeqLen() * s.valueDim();
    return new Cost(flops, Cost.tensorBytes(s), Double.BYTES * (long) s.valueDim());
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    double flops = 2.0 * s.problems() * s.keySeqLen() * s.valueDim();
    return new GradientCost(flops, 0, Double.BYTES * (long) s.valueDim());
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new Plan(request);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    return new Plan(request);
  }

  private static final class Plan extends DifferentiablePlan {
    private final int n = shape.keySeqLen();
    private final int width = shape.valueDim();
    private final double[] sums = scratch.doubles(width);

    Plan(PlanRequest request) {
      super(request);
    }

    @Override
    protected void compute(Tensor output) {
      float[] v = input("v");
      float[] out = output.data();
      for (int problem = 0; problem < shape.problems(); problem++) {
        int base = problem * n * width;
        java.util.Arrays.fill(sums, 0);
        int seen = 0;
        for (int i = 0; i < n; i++) {
          int limit = mask.causalLimit(i, n, n);
          while (seen < limit) {
            add(v, base + seen++ * width, 1);
          }
          for (int c = 0; c < width; c++) {
            out[base + i * width + c] = seen == 0 ? 0 : (float) (sums[c] / seen);
          }
        }
      }
    }

    /// Token j gets the shares of all rows that see it, from the last row back.
    @Override
    protected void differentiate(float[] gradOut) {
      if (!wantsGradient("v")) {
        return;
      }
      float[] gradient = gradient("v");
      for (int problem = 0; problem < shape.problems(); problem++) {
        int base = problem * n * width;
        java.util.Arrays.fill(sums, 0);
        int row = n - 1;
        for (int j = n - 1; j >= 0; j--) {
          while (row >= 0 && mask.causalLimit(row, n, n) > j) {
            add(gradOut, base + row * width, 1.0 / mask.causalLimit(row, n, n));
            row--;
          }
          for (int c = 0; c < width; c++) {
            gradient[base + j * width + c] += (float) sums[c];
          }
        }
      }
    }

    private void add(float[] rows, int offset, double weight) {
      for (int c = 0; c < width; c++) {
        sums[c] += weight * rows[offset + c];
      }
    }
  }

  /// What `META-INF/services` names.
  public static final class Provider implements MechanismProvider {
    @Override
    public List<Class<? extends Attention>> mechanisms() {
      return List.of(RunningMean.class);
    }
  }
}
