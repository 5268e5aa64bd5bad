// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.HEAD_DIM;
import static dev.crossover.attention.Axis.KEY;
import static dev.crossover.attention.Axis.VALUE_DIM;

import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Axis;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Cost;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.recurrent.RecurrentCost;
import dev.crossover.attention.recurrent.RecurrentPlan;
import dev.crossover.attention.recurrent.UpdateRule;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.variants.recurrent.MatrixRecurrence;
import dev.crossover.variants.recurrent.SkipAndGate;
import dev.crossover.variants.recurrent.States;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalInt;

/// The layer core of Mamba-2: time steps scale decay rates and inputs of the mechanism
/// `mamba2_ssd`, groups of heads share queries and keys, a skip and a gate complete the output.
///
/// Dao, Gu: "Transformers are SSMs: Generalized Models and Efficient Algorithms Through Structured
/// State Space Duality", ICML 2024, arXiv:2405.21060, section 7.
///
/// ```
/// dt_t  = time_step, or softplus(time_step + time_step_bias)
/// S_t   = exp(dt_t A) S_{t−1} + dt_t k_t x_tᵀ
/// out_t = (S_tᵀ q_t + D x_t) · silu(z_t)
/// ```
///
/// | paper | here                 | shape                                                |
/// |-------|----------------------|------------------------------------------------------|
/// | C, B  | `q`, `k`             | `[batch, groups, n, d]`                              |
/// | X     | `v`                  | `[batch, heads, n, dv]`                              |
/// | Δ     | `time_step`, `time_step_bias` | `[batch, heads, n]`, `[heads]`              |
/// | A, D  | `decay_rate`, `skip` | `[heads]`, A drawn from −uniform(1, 16), D = 1       |
/// | z     | `output_gate`        | `[batch, heads, n, dv]`, optional                    |
/// | h     | `initial_state`, `final_state` | `[batch, heads, d, dv]`                    |
///
/// Backward, behind that of the recurrence with `a_t = dt_t A` and `v_t = dt_t x_t`: `dx = dt dv +
/// D dy`, `ddt = A da + x·dv` through the softplus, `dA = Σ dt da`, `dD = Σ x·dy`, and the gate:
/// `dy = dout silu(z)`, `dz = dout y (s + z s (1 − s))` with s = σ(z).
///
/// Causal by construction; any key padding: the time step is 0 at padded positions, whose x reaches
/// their own row only, through the skip. The maps and the convolution before, the norm and the map
/// behind belong to the layer of models, [Layers#attention].
///
/// @param groups heads of q and k, a divisor of the number of heads
/// @param timeStepSoftplus time steps are softplus(time_step + time_step_bias)
/// @param chunkLength rows of a chunk; without effect on the result; absent: 64
@Mechanism(
    name = "mamba2",
    golden = "mamba2_ssd",
    goldenLevels = "module",
    title = "Mamba-2 layer core",
    paper = "Dao, Gu, Transformers are SSMs, ICML 2024",
    arxiv = "2405.21060",
    family = Mechanism.Family.RECURRENT,
    approximates = Mechanism.Approximates.NONE,
    exactness = "none: no softmax; chunkwise and recurrent form are equal",
    time = "4 n d²",
    memory = "d²",
    padding = "writes nothing and forgets nothing; its x reaches its own row only",
    exponent = 1)
public record Mamba2Layer(
    @Parameter(value = "heads of q and k", defaultValue = "1") int groups,
    @Parameter(value = "softplus of time_step + bias", defaultValue = "true")
        boolean timeStepSoftplus,
    @Parameter(value = "rows of a chunk, >= 1, no effect on the result", defaultValue = "")
        OptionalInt chunkLength)
    implements NamedLayer, MatrixRecurrence {

  /// Validates groups and chunk length.
  public Mamba2Layer {
    if (groups < 1) {
      throw new IllegalArgumentException("groups must be >= 1, but was " + groups);
    }
    States.requireChunk(chunkLength);
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    States.requireGroups(name(), s.numHeads(), groups);
    Axis group = Axis.of("groups", groups);
    return List.of(
        TensorSpec.input("q", "C, N(0,1)", Draws::gaussian, s, BATCH, group, KEY, HEAD_DIM),
        TensorSpec.input("k", "B, N(0,1)", Draws::gaussian, s, BATCH, group, KEY, HEAD_DIM),
        TensorSpec.input("v", "x, N(0,1)", Draws::gaussian, s, BATCH, HEADS, KEY, VALUE_DIM),
        TensorSpec.input(
            "time_step",
            "dt log-uniform in [1e-3, 0.1], before the softplus if there is one",
            this::drawTimeSteps,
            s,
            BATCH,
            HEADS,
            KEY),
        TensorSpec.optional(
            "time_step_bias",
            "added before the softplus, N(0,1)/10",
            (seed, shape) -> Draws.gaussian(seed, 0.1, shape),
            s,
            HEADS),
        TensorSpec.parameter(
            "decay_rate",
            "A < 0, -uniform(1, 16)",
            (seed, shape) -> Draws.uniform(seed, -16, -1, shape),
            s,
            HEADS),
        TensorSpec.parameter("skip", "D, 1", (_, shape) -> Draws.constant(1, shape), s, HEADS),
        TensorSpec.optional(
            "output_gate",
            "z, enters as silu, N(0,1)",
            Draws::gaussian,
            s,
            BATCH,
            HEADS,
            KEY,
            VALUE_DIM),
        States.initialState(s));
  }

  /// Time steps, or what softplus makes them of: log(exp(dt) − 1).
  private Tensor drawTimeSteps(long seed, int... shape) {
    Tensor steps = States.timeSteps(seed, shape);
    float[] data = steps.data();
    for (int i = 0; i < data.length && timeStepSoftplus; i++) {
      data[i] = (float) Math.log(Math.expm1(data[i]));
    }
    return steps;
  }

  /// Heads are those of v; q and k have one per group.
  @Override
  public AttentionShape shapeOf(Tensors inputs) {
    return States.groupedShape(inputs);
  }

  /// A group's q and k are those of its first head.
  @Override
  public Tensors adapt(AttentionShape shape, Tensors qkv, long seed) {
    States.requireGroups(name(), shape.numHeads(), groups);
    return AttentionInputs.complete(this, shape, States.grouped(qkv, groups), seed);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    return RecurrentCost.of(s, mask, threads, rule(s), chunk(s), 8);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    return RecurrentCost.gradient(s, mask, threads, rule(s), chunk(s), 16);
  }

  @Override
  public int chunk(AttentionShape s) {
    return chunkLength.orElse(RecurrentPlan.DEFAULT_CHUNK);
  }

  @Override
  public UpdateRule rule(AttentionShape s) {
    return new Rule(groups, timeStepSoftplus, s);
  }

  /// Time steps in front, skip and gate behind.
  private static final class Rule extends SkipAndGate {
    /// From here on softplus(x) = x in float32.
    private static final double LINEAR = 20;

    private final int groups;
    private final boolean softplus;
    private float[] timeStep = UNWANTED;
    private float[] bias = UNWANTED;
    private float[] rate = UNWANTED;
    private float[] gradTimeStep = UNWANTED;
    private float[] gradBias = UNWANTED;
    private float[] gradRate = UNWANTED;
    private float[] logDecayGradients = UNWANTED;
    private float[] strengthGradients = UNWANTED;
    private int tokens;

    Rule(int groups, boolean softplus, AttentionShape shape) {
      super(shape);
      this.groups = groups;
      this.softplus = softplus;
    }

    @Override
    public Decay decay() {
      return Decay.TOKEN;
    }

    @Override
    public boolean weighsWrites() {
      return true;
    }

    @Override
    public int queryKeyHeads(AttentionShape shape) {
      return groups;
    }

    @Override
    public void bind(BoundTensors inputs) {
      super.bind(inputs);
      timeStep = inputs.get("time_step");
      rate = inputs.get("decay_rate");
      bias = States.place(inputs, "time_step_bias");
    }

    /// a_t = dt_t A.
    @Override
    public double logDecay(int head, int row) {
      return timeStep(head, row) * rate[head];
    }

    /// dt_t.
    @Override
    public float writeStrength(int head, int row) {
      return (float) timeStep(head, row);
    }

    private double timeStep(int head, int row) {
      double raw = timeStep[row];
      if (!softplus) {
        return raw;
      }
      double step = bias.length == 0 ? raw : raw + bias[head];
      return step > LINEAR ? step : Math.log1p(Math.exp(step));
    }

    @Override
    public void allocateGradients(AttentionShape shape, int parts, Scratch scratch) {
      tokens = shape.querySeqLen();
      long rows = (long) shape.problems() * shape.querySeqLen();
      logDecayGradients = scratch.floats(rows);
      strengthGradients = scratch.floats(rows);
      super.allocateGradients(shape, parts, scratch);
    }

    @Override
    public void bindGradients(BoundTensors gradients) {
      super.bindGradients(gradients);
      gradTimeStep = States.place(gradients, "time_step");
      gradBias = States.place(gradients, "time_step_bias");
      gradRate = States.place(gradients, "decay_rate");
      Arrays.fill(logDecayGradients, 0);
      Arrays.fill(strengthGradients, 0);
    }

    @Override
    public float[] gradLogDecays() {
      return logDecayGradients;
    }

    @Override
    public float[] gradStrengths() {
      return strengthGradients;
    }

    /// From the gradients of a_t and dt_t to those of time steps, their bias, and A; sums over
    /// tokens in their order.
    @Override
    public void addGradients() {
      super.addGradients();
      for (int head = 0; head < heads; head++) {
        double rateSum = 0;
        double biasSum = 0;
        for (int problem = head; problem < problems; problem += heads) {
          for (int row = problem * tokens; row < (problem + 1) * tokens; row++) {
            double decay = logDecayGradients[row];
            double strength = strengthGradients[row];
            if (decay != 0 || strength != 0) {
              rateSum += timeStep(head, row) * decay;
              double step = (decay * rate[head] + strength) * slope(head, row);
              biasSum += softplus ? step : 0;
              if (gradTimeStep.length > 0) {
                gradTimeStep[row] += (float) step;
              }
            }
          }
        }
        add(gradRate, head, rateSum);
        add(gradBias, head, biasSum);
      }
    }

    private static void add(float[] place, int head, double gradient) {
      if (place.length > 0) {
        place[head] += (float) gradient;
      }
    }

    /// Derivative of the time step with respect to what is given.
    private double slope(int head, int row) {
      if (!softplus) {
        return 1;
      }
      double raw = bias.length == 0 ? timeStep[row] : timeStep[row] + bias[head];
      return 1 / (1 + Math.exp(-raw));
    }
  }
}
