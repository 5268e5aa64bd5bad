// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import static dev.crossover.attention.Axis.ONE;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Workers;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Softmax attention and its gradients by plain loops with one fault built in, to show that the
/// contract's checks of gradients can fail.
///
/// Without a fault it keeps every claim.
record FaultyGradients(Fault fault) implements Attention {
  private static final int BLOCK = 16;

  /// What is wrong, and the claim it breaks.
  enum Fault {
    NOTHING(null),
    FORGETS_THE_SCALE_OF_KEYS(Claim.GRADIENTS_MATCH_DIFFERENCES),
    FORGETS_THE_MEAN_SLOPE(Claim.GRADIENTS_MATCH_DIFFERENCES),
    FORGETS_A_HEAD_OF_THE_GROUP(Claim.GRADIENTS_MATCH_DIFFERENCES),
    FORGETS_ONE_PAIR(Claim.GRADIENTS_MATCH_DIFFERENCES),
    COMPUTES_ANOTHER_OUTPUT(Claim.GRADIENT_FORWARD_EQUALS_PLAIN),
    DIVIDES_BY_ZERO_AFTER_A_BLOCK(Claim.GRADIENTS_AT_EVERY_LENGTH),
    SUBTRACTS_NO_MAXIMUM(Claim.GRADIENTS_OF_HUGE_SCORES_FINITE),
    DEPENDS_ON_THE_THREADS(Claim.GRADIENTS_SAME_BITS_FOR_THREADS),
    COUNTS_ITS_CALLS(Claim.GRADIENTS_REPEATABLE),
    KEEPS_NAN_IN_ITS_SCRATCH(Claim.GRADIENTS_REPEATABLE),
    LEAVES_OUT_VALUES_THAT_ARE_ASKED_FOR_ALONE(Claim.GRADIENTS_REPEATABLE),
    WRITES_INSTEAD_OF_ADDING(Claim.GRADIENTS_ACCUMULATE),
    SCALES_UPSTREAM_IN_PLACE(Claim.GRADIENTS_LEAVE_INPUTS_ALONE),
    SCALES_THE_OUTPUT_IN_PLACE(Claim.GRADIENTS_LEAVE_INPUTS_ALONE),
    MULTIPLIES_LATER_KEYS_BY_ZERO(Claim.GRADIENTS_NAN_BEHIND_CAUSAL_ORDER),
    MULTIPLIES_EARLIER_QUERIES_BY_ZERO(Claim.GRADIENTS_NAN_BEHIND_CAUSAL_ORDER),
    MULTIPLIES_EARLIER_UPSTREAM_BY_ZERO(Claim.GRADIENTS_NAN_BEHIND_CAUSAL_ORDER),
    MULTIPLIES_PADDED_KEYS_BY_ZERO(Claim.GRADIENTS_NAN_BEHIND_PADDING),
    GIVES_PADDED_VALUES_A_GRADIENT(Claim.UNUSED_GRADIENTS_ZERO),
    GIVES_EMPTY_ROWS_A_GRADIENT(Claim.UNUSED_GRADIENTS_ZERO),
    FORGETS_WHAT_IT_KEEPS(Claim.GRADIENT_COST_DECLARED),
    FORGETS_THE_THREADS_IN_ITS_COST(Claim.GRADIENT_COST_DECLARED),
    ALLOCATES_A_ROW_PER_HEAD(Claim.GRADIENTS_ALLOCATE_NOTHING),
    ACCEPTS_UNKNOWN_GRADIENTS(Claim.BAD_GRADIENTS_REFUSED),
    SAYS_IT_HAS_NO_GRADIENTS(Claim.BAD_GRADIENTS_REFUSED),
    TAKES_QUERIES_FOR_CONSTANT(Claim.GRADIENT_ALIASING_REFUSED),
    RUNS_FORWARD_WHEN_BUILT(Claim.BACKWARD_BEFORE_FORWARD_REFUSED);

    private final @Nullable Claim breaks;

    Fault(@Nullable Claim breaks) {
      this.breaks = breaks;
    }

    boolean breaks(Claim claim) {
      return breaks == claim;
    }
  }

  private boolean has(Fault other) {
    return fault == other;
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(Causality.OPTIONAL)
        .keyPadding(Padding.ANY)
        .crossAttention(true)
        .groupedQueries(true)
        .valueDim(true)
        .gradients(!has(Fault.SAYS_IT_HAS_NO_GRADIENTS));
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    return new Cost(1, 1, 8L * threads * s.keySeqLen());
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    int counted = has(Fault.FORGETS_THE_THREADS_IN_ITS_COST) ? 1 : threads;
    long kept = has(Fault.FORGETS_WHAT_IT_KEEPS) ? 0 : 8L * s.problems() * s.querySeqLen();
    return new GradientCost(1, kept, 8L * s.keySeqLen() * 2 * counted);
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new Plan(request, this, 1);
  }

  @Override
  public DifferentiablePlan differentiable(AttentionShape shape, Mask mask, int threads) {
    return newDifferentiablePlan(PlanRequest.checked(this, shape, mask, threads));
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    return switch (fault) {
      case ACCEPTS_UNKNOWN_GRADIENTS -> new Plan(request, new Lenient(this), 1);
      case TAKES_QUERIES_FOR_CONSTANT -> new Plan(request, new Constant(this), 1);
      case COMPUTES_ANOTHER_OUTPUT -> new Plan(request, this, 1.001f);
      case RUNS_FORWARD_WHEN_BUILT -> {
        Plan plan = new Plan(request, this, 1);
        AttentionShape s = request.shape();
        plan.forward(Inputs.of(this, s, 1), Tensor.zeros(outputShape(s)));
        yield plan;
      }
      default -> new Plan(request, this, 1);
    };
  }

  /// Declares an input the mechanism does not have.
  private record Lenient(FaultyGradients inner) implements Attention {
    @Override
    public Capabilities capabilities() {
      return inner.capabilities();
    }

    @Override
    public Cost cost(AttentionShape shape, Mask mask, int threads) {
      return inner.cost(shape, mask, threads);
    }

    @Override
    public AttentionPlan newPlan(PlanRequest request) {
      return inner.newPlan(request);
    }

    @Override
    public List<TensorSpec> inputs(AttentionShape shape) {
      List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(shape));
      specs.add(TensorSpec.parameter("no_such_input", "", Draws::gaussian, shape, ONE));
      return specs;
    }
  }

  /// Declares its queries constant.
  private record Constant(FaultyGradients inner) implements Attention {
    @Override
    public Capabilities capabilities() {
      return inner.capabilities();
    }

    @Override
    public Cost cost(AttentionShape shape, Mask mask, int threads) {
      return inner.cost(shape, mask, threads);
    }

    @Override
    public AttentionPlan newPlan(PlanRequest request) {
      return inner.newPlan(request);
    }

    @Override
    public List<TensorSpec> inputs(AttentionShape shape) {
      List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(shape));
      specs.set(0, specs.get(0).constant());
      return specs;
    }
  }

  private final class Plan extends DifferentiablePlan {
    private final double[][] weights = new double[threads()][];
    private final double[][] slopes = new double[threads()][];
    private final double[] sums;
    private final double factor;
    private final Workers.Task answer = this::answer;
    private final Workers.Task back = this::back;
    private int calls;
    private double residue;

    Plan(PlanRequest request, Attention declared, double factor) {
      super(new PlanRequest(declared, request.shape(), request.mask(), request.threads()));
      this.factor = factor;
      for (int t = 0; t < threads(); t++) {
        weights[t] = scratch.doubles(shape.keySeqLen());
        slopes[t] = scratch.doubles(shape.keySeqLen());
      }
      sums = kept.doubles((long) shape.problems() * shape.querySeqLen());
    }

    @Override
    protected void compute(Tensor output) {
      workers.run(shape.problems(), answer);
    }

    private void answer(int worker, int problem) {
      int b = problem / shape.numHeads();
      int h = problem % shape.numHeads();
      double[] row = weights[worker];
      for (int i = 0; i < shape.querySeqLen(); i++) {
        sums[problem * shape.querySeqLen() + i] = exponentials(b, h, i, row, false);
        normalise(row, sums[problem * shape.querySeqLen() + i]);
        for (int c = 0; c < shape.valueDim(); c++) {
          double sum = 0;
          for (int j = 0; j < shape.keySeqLen(); j++) {
            sum += sees(b, i, j) ? row[j] * input("v")[value(b, h, j) + c] : 0;
          }
          out[upstream(b, h, i) + c] = (float) (sum * factor);
        }
      }
    }

    private boolean sees(int b, int i, int j) {
      return j < mask.causalLimit(i, shape.querySeqLen(), shape.keySeqLen())
          && mask.isRealKey(b, j);
    }

    private int query(int b, int h, int i) {
      return shape.queryOffset(b, h) + i * shape.headDim();
    }

    private int key(int b, int h, int j) {
      return shape.keyOffset(b, h) + j * shape.headDim();
    }

    private int value(int b, int h, int j) {
      return shape.valueOffset(b, h) + j * shape.valueDim();
    }

    private int upstream(int b, int h, int i) {
      return shape.outputOffset(b, h) + i * shape.valueDim();
    }

    private double scale() {
      return 1 / Math.sqrt(shape.headDim());
    }

    private double exponentials(int b, int h, int i, double[] row, boolean unshifted) {
      double max = Double.NEGATIVE_INFINITY;
      for (int j = 0; j < shape.keySeqLen(); j++) {
        row[j] = Double.NEGATIVE_INFINITY;
        if (sees(b, i, j)) {
          row[j] = scale() * dot(shape.headDim(), "q", query(b, h, i), "k", key(b, h, j));
          max = Math.max(max, row[j]);
        }
      }
      double sum = 0;
      for (int j = 0; j < shape.keySeqLen(); j++) {
        row[j] = sees(b, i, j) ? Math.exp(row[j] - (unshifted ? 0 : max)) : 0;
        sum += row[j];
      }
      return sum;
    }

    private double dot(int width, String a, int ao, String b, int bo) {
      float[] x = a.isEmpty() ? gradOut : input(a);
      float[] y = b.isEmpty() ? out : input(b);
      double sum = 0;
      for (int c = 0; c < width; c++) {
        sum += (double) x[ao + c] * y[bo + c];
      }
      return sum;
    }

    private static void normalise(double[] row, double sum) {
      for (int j = 0; j < row.length; j++) {
        row[j] = sum == 0 ? 0 : row[j] / sum;
      }
    }

    @Override
    protected void differentiate(float[] gradOutput) {
      calls++;
      workers.run(shape.batchSize() * shape.numKeyValueHeads(), back);
      if (has(Fault.SCALES_UPSTREAM_IN_PLACE) && gradOut.length > 0) {
        gradOut[0] *= 2;
      }
      if (has(Fault.SCALES_THE_OUTPUT_IN_PLACE) && out.length > 0) {
        out[0] *= 2;
      }
    }

    private void back(int worker, int index) {
      int b = index / shape.numKeyValueHeads();
      int first = index % shape.numKeyValueHeads() * shape.groupSize();
      int heads = shape.groupSize() - (has(Fault.FORGETS_A_HEAD_OF_THE_GROUP) ? 1 : 0);
      for (int h = first; h < first + Math.max(1, heads); h++) {
        double[] slope = has(Fault.ALLOCATES_A_ROW_PER_HEAD) ? row() : slopes[worker];
        for (int i = 0; i < shape.querySeqLen(); i++) {
          slopes(b, h, i, weights[worker], slope);
          addRow(b, h, i, weights[worker], slope);
        }
      }
    }

    private double[] row() {
      return new double[shape.keySeqLen()];
    }

    /// Leaves weights in `row` and the gradients of the scores in `slope`.
    private void slopes(int b, int h, int i, double[] row, double[] slope) {
      double sum = exponentials(b, h, i, row, has(Fault.SUBTRACTS_NO_MAXIMUM));
      normalise(row, has(Fault.SUBTRACTS_NO_MAXIMUM) ? sum : sums[sumOf(b, h, i)]);
      double mean = dot(shape.valueDim(), "", upstream(b, h, i), "", upstream(b, h, i));
      if (has(Fault.FORGETS_THE_MEAN_SLOPE)) {
        mean = 0;
      }
      for (int j = 0; j < shape.keySeqLen(); j++) {
        slope[j] = 0;
        if (sees(b, i, j)) {
          double weighed = dot(shape.valueDim(), "", upstream(b, h, i), "v", value(b, h, j));
          slope[j] = row[j] * (weighed - mean);
        }
        if (has(Fault.FORGETS_ONE_PAIR) && i == 0 && j == 0) {
          slope[j] = 0;
        }
        if (has(Fault.DIVIDES_BY_ZERO_AFTER_A_BLOCK) && j == BLOCK) {
          slope[j] /= 0;
        }
      }
    }

    private int sumOf(int b, int h, int i) {
      return (b * shape.numHeads() + h) * shape.querySeqLen() + i;
    }

    private void addRow(int b, int h, int i, double[] row, double[] slope) {
      boolean empty = sums[sumOf(b, h, i)] == 0 && has(Fault.GIVES_EMPTY_ROWS_A_GRADIENT);
      for (int j = 0; j < shape.keySeqLen(); j++) {
        boolean inOrder = j < mask.causalLimit(i, shape.querySeqLen(), shape.keySeqLen());
        boolean real = mask.isRealKey(b, j);
        boolean sees = inOrder && real;
        double ds = scale() * slope[j];
        boolean invents = !real && has(Fault.GIVES_PADDED_VALUES_A_GRADIENT) || empty;
        double p = invents ? 1 : row[j];
        double keyScale = has(Fault.FORGETS_THE_SCALE_OF_KEYS) ? 1 / scale() : 1;
        boolean reads =
            sees
                || !inOrder && has(Fault.MULTIPLIES_LATER_KEYS_BY_ZERO)
                || !real && has(Fault.MULTIPLIES_PADDED_KEYS_BY_ZERO);
        for (int c = 0; c < shape.headDim(); c++) {
          if (reads) {
            add("q", query(b, h, i) + c, ds * input("k")[key(b, h, j) + c]);
          }
          if (sees || !inOrder && has(Fault.MULTIPLIES_EARLIER_QUERIES_BY_ZERO)) {
            add("k", key(b, h, j) + c, ds * keyScale * input("q")[query(b, h, i) + c]);
          }
        }
        for (int c = 0; c < shape.valueDim(); c++) {
          if (sees || invents || !inOrder && has(Fault.MULTIPLIES_EARLIER_UPSTREAM_BY_ZERO)) {
            add("v", value(b, h, j) + c, p * gradOut[upstream(b, h, i) + c]);
          }
        }
      }
    }

    private void add(String input, int at, double term) {
      if (!wantsGradient(input)) {
        return;
      }
      double added = term;
      switch (fault) {
        case DEPENDS_ON_THE_THREADS -> added *= 1 + threads() * 0x1p-20;
        case COUNTS_ITS_CALLS -> added *= 1 + calls * 0x1p-20;
        case KEEPS_NAN_IN_ITS_SCRATCH -> {
          residue = 0 * (residue + term);
          added += residue;
        }
        case LEAVES_OUT_VALUES_THAT_ARE_ASKED_FOR_ALONE -> added *= wantsGradient("q") ? 1 : 0;
        default -> {}
      }
      float[] sum = gradient(input);
      sum[at] = (float) (added + (has(Fault.WRITES_INSTEAD_OF_ADDING) ? 0 : sum[at]));
    }
  }
}
