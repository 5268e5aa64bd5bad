// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import static dev.crossover.attention.Axis.HEADS;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.recurrent.RecurrentCost;
import dev.crossover.attention.recurrent.RecurrentGradientPlan;
import dev.crossover.attention.recurrent.RecurrentPlan;
import dev.crossover.attention.recurrent.RecurrentSession;
import dev.crossover.attention.recurrent.UpdateRule;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;
import org.jspecify.annotations.Nullable;

/// Retention: linear attention whose memory fades by a fixed factor γ per step, each head at its
/// own rate.
///
/// Sun, Dong, Huang, Ma, Xia, Xue, Wang, Wei: "Retentive Network: A Successor to Transformer for
/// Large Language Models", 2023, arXiv:2307.08621, equations (5) to (7).
///
/// ```
/// parallel    out_i = Σ_{j ≤ i} γ^(i−j) (scale q_i·k_j) v_j
/// recurrent   S_t = γ S_{t−1} + k_t v_tᵀ,   out_t = scale q_t S_t
/// ```
///
/// | paper | here    | shape                             |
/// |-------|---------|-----------------------------------|
/// | Q, K  | `q`, `k` | `[batch, heads, n, d]`           |
/// | V     | `v`     | `[batch, heads, n, dv]`           |
/// | γ     | `decay` | `[heads]`, drawn as 1 − 2^(−5−h)  |
/// | S     | `initial_state`, `final_state` | `[batch, heads, d, dv]` |
///
/// `rotary=interleaved` first rotates the pairs (2a, 2a + 1) of q and k at position t by `t ·
/// 10000^(−a/(d/2 − 1))`. With `state_positions=relative`, `final_state` is then relative to the
/// next position, so that it may be the `initial_state` of a sequence that counts from 0 again;
/// with `state_positions=absolute`, which golden files mean, it is the sum of rotated keys as it
/// stands.
///
/// `normalisation=scores_and_rms` divides row i of D by √ΣD_i, row i of the weights by their
/// absolute sum held within [1, 5e4], and the output row by its root mean square. The absolute sum
/// runs over all earlier keys and no state holds it, so this setting takes a second pass of `n²·(d
/// + 1)` operations per head, without storing weights, and offers neither decoding nor states.
///
/// Backward, with G the gradient of `out`, from the last token to the first (the paper trains by
/// automatic differentiation; R starts as the gradient of `final_state`, and γR_1 is that of
/// `initial_state`):
///
/// ```
/// R_t  = γ R_{t+1} + scale q_t G_tᵀ
/// dq_t = scale S_t G_t,   dk_t = R_t v_t,   dv_t = R_tᵀ k_t
/// dγ   = Σ_t ⟨R_t, S_{t−1}⟩
/// ```
///
/// with dq and dk rotated back. γ is fixed in the authors' code; its gradient is formed where it is
/// asked for, from powers of γ differentiated one by one. With `scores_and_rms` the root mean
/// square is differentiated, `G ← f (G − out ⟨out, G⟩ / dv)` with f the factor of the row; the
/// sums of absolute values are constants, as in the authors' code, which detaches them, while √ΣD_i
/// has its part in dγ (a small one: the root mean square removes any factor of a row but for eps).
///
/// Time `4·n·d·dv + n·C·(d + dv)` per head in chunks of C = 64 rows; memory d·dv per head at
/// work. Causal by construction; any key padding: padded keys write nothing, the decay goes on. No
/// setting makes it softmax.
///
/// @param scale factor on q; absent: 1/√d
/// @param rotary rotation of q and k by position
/// @param normalisation of scores and output rows
/// @param statePositions what rotated final states are relative to
/// @param eps added to the mean square of an output row, with `scores_and_rms`
@Mechanism(
    name = "retnet",
    title = "RetNet retention",
    paper = "Sun et al., Retentive Network, 2023",
    arxiv = "2307.08621",
    family = Mechanism.Family.RECURRENT,
    approximates = Mechanism.Approximates.NONE,
    exactness = "none: no softmax; parallel, recurrent and chunkwise form are equal",
    time = "4 n d² (scores_and_rms: + n² d)",
    memory = "d²",
    padding = "writes nothing; the decay goes on",
    exponent = 1,
    decoding =
        "not with normalisation=scores_and_rms: the absolute sums of a row's weights need "
            + "every earlier key, which no state of bounded size holds",
    bound = "memory: 75 % of the peak while tensors stay in the cache, near 50 % at n = 8192",
    differences =
        @Mechanism.Difference(
            what = "normalisation of scores and outputs",
            paper = "the recurrence alone, equation (6); group norm in the layer around it",
            code = "normalises D, the rows of weights, and outputs by their root mean square",
            paperOption = "",
            codeOption = "normalisation=scores_and_rms",
            defaultIs = "the paper's: the code's row sums need all earlier keys again",
            test = "RetNetNormalisedTest.normalisedRowsHaveUnitMeanSquare"))
public record RetNet(
    @Parameter(value = "factor on q; absent: 1/sqrt(d)", defaultValue = "") OptionalDouble scale,
    @Parameter(value = "rotation of q and k by position", defaultValue = "none") Rotary rotary,
    @Parameter(value = "of scores and output rows", defaultValue = "none")
        Normalisation normalisation,
    @Parameter(
            value = "what rotated final states are relative to",
            defaultValue = "relative",
            goldenDefault = "absolute")
        StatePositions statePositions,
    @Parameter(value = "eps of the root mean square, > 0", defaultValue = "1e-6") double eps)
    implements Attention {

  /// Rotations of queries and keys.
  public enum Rotary {
    /// None.
    NONE,
    /// Pairs of neighbouring components.
    INTERLEAVED
  }

  /// Normalisations.
  public enum Normalisation {
    /// None.
    NONE,
    /// Decay rows, weight rows, and root mean square of output rows, as in the authors' code.
    SCORES_AND_RMS
  }

  /// What a final state of rotated keys is relative to.
  public enum StatePositions {
    /// The position after the last, where the next sequence counts from 0.
    RELATIVE,
    /// Position 0 of the sequence.
    ABSOLUTE
  }

  /// Validates eps.
  public RetNet {
    if (!(eps > 0) || Double.isInfinite(eps)) {
      throw new IllegalArgumentException("eps must be > 0, but was " + eps);
    }
  }

  /// With final states from which the next sequence goes on.
  public RetNet(OptionalDouble scale, Rotary rotary, Normalisation normalisation, double eps) {
    this(scale, rotary, normalisation, StatePositions.RELATIVE, eps);
  }

  /// The recurrence alone.
  public RetNet() {
    this(OptionalDouble.empty(), Rotary.NONE, Normalisation.NONE, 1e-6);
  }

  /// γ_h = 1 − 2^(−5−h), exact in float32.
  static Tensor decays(int heads) {
    Tensor decay = Tensor.zeros(heads);
    for (int h = 0; h < heads; h++) {
      decay.data()[h] = (float) (1 - Math.scalb(1.0, -5 - h));
    }
    return decay;
  }

  @Override
  public Capabilities capabilities() {
    return States.capabilities().decoding(!normalised());
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(s));
    specs.add(
        TensorSpec.parameter(
            "decay", "γ per head, 1 − 2^(−5−h)", (_, shape) -> decays(shape[0]), s, HEADS));
    if (!normalised()) {
      specs.add(States.initialState(s));
    }
    return List.copyOf(specs);
  }

  @Override
  public List<TensorSpec> results(AttentionShape s) {
    return normalised() ? List.of() : States.results(s);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    Cost core = RecurrentCost.of(s, mask, threads, new Rule(s), RecurrentPlan.DEFAULT_CHUNK, 0);
    double n = s.querySeqLen();
    double rotation = rotary == Rotary.NONE ? 0 : 6.0 * s.problems() * n * s.headDim();
    if (!normalised()) {
      return new Cost(core.flops() + rotation, core.bytesMoved(), core.scratchBytes());
    }
    return new Cost(
        core.flops() + rotation + RowNormalisation.flops(s),
        core.bytesMoved(),
        core.scratchBytes() + threads * RowNormalisation.bytes(s));
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    Rule rule = new Rule(request.shape());
    return normalised() ? new Normalised(request, rule) : plain(request, rule);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    Rule rule = new Rule(request.shape());
    return normalised()
        ? new NormalisedGradient(request, rule)
        : new RecurrentGradientPlan(request, rule, RecurrentPlan.DEFAULT_CHUNK);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    double finishing = normalised() ? 5 : 0;
    GradientCost core =
        RecurrentCost.gradient(
            s, mask, threads, new Rule(s), RecurrentPlan.DEFAULT_CHUNK, finishing);
    double rows = (double) s.problems() * s.querySeqLen();
    double rotation = rotary == Rotary.NONE ? 0 : 12 * rows * s.headDim();
    long kept = normalised() ? 2 * (long) rows * Float.BYTES : 0;
    long scratch = normalised() ? threads * RowNormalisation.bytes(s) : 0;
    return new GradientCost(
        core.flops() + rotation, core.keptBytes() + kept, core.scratchBytes() + scratch);
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads) {
    if (normalised()) {
      return Attention.super.decode(shape, threads);
    }
    return new RecurrentSession(this, shape, threads, new Rule(shape));
  }

  private static AttentionPlan plain(PlanRequest request, UpdateRule rule) {
    return new RecurrentPlan(request, rule, RecurrentPlan.DEFAULT_CHUNK);
  }

  private boolean normalised() {
    return normalisation == Normalisation.SCORES_AND_RMS;
  }

  /// S_t = γ S_{t−1} + k_t v_tᵀ with k, q rotated by position.
  final class Rule implements UpdateRule {
    private final double scale;
    private final double[] angles;
    private final double[] stepCos;
    private final double[] stepSin;
    private float[] decay = new float[0];
    private float[] gradDecay = UNWANTED;
    private double[] decayParts = new double[0];
    private int partsPerHead;
    private @Nullable RowNormalisation completion;

    Rule(AttentionShape s) {
      scale = RetNet.this.scale.orElse(Attention.defaultScale(s));
      int pairs = rotary == Rotary.NONE ? 0 : s.headDim() / 2;
      if (rotary != Rotary.NONE && s.headDim() % 2 != 0) {
        throw new IllegalArgumentException(
            "retnet: headDim must be even with rotary=interleaved, but was " + s.headDim());
      }
      angles = new double[pairs];
      stepCos = new double[pairs];
      stepSin = new double[pairs];
      for (int a = 0; a < pairs; a++) {
        angles[a] = pairs == 1 ? 1 : Math.pow(10_000, -a / (pairs - 1.0));
        stepCos[a] = Math.cos(angles[a]);
        stepSin[a] = Math.sin(angles[a]);
      }
    }

    @Override
    public Decay decay() {
      return Decay.CONSTANT;
    }

    @Override
    public void bind(BoundTensors inputs) {
      decay = inputs.get("decay");
    }

    @Override
    public void bindGradients(BoundTensors gradients) {
      gradDecay = States.place(gradients, "decay");
    }

    @Override
    public boolean wantsDecayGradient() {
      return gradDecay.length > 0;
    }

    @Override
    public void addDecayGradient(int head, double gradient) {
      gradDecay[head] += (float) gradient;
    }

    @Override
    public boolean finishes() {
      return normalised();
    }

    @Override
    public void finishBack(
        int part,
        int head,
        int row,
        int count,
        float[] unfinished,
        float[] out,
        float[] gradOut,
        float[] grad) {
      if (completion == null) {
        throw new IllegalStateException("no rows were normalised");
      }
      double sum = completion.back(row, count, out, gradOut, grad, wantsDecayGradient());
      if (wantsDecayGradient()) {
        decayParts[part] = sum;
      }
    }

    @Override
    public void allocateGradients(AttentionShape shape, int parts, Scratch scratch) {
      decayParts = scratch.doubles(normalised() ? parts : 0);
      partsPerHead = shape.problems() == 0 ? 0 : parts / shape.problems();
    }

    @Override
    public void addGradients() {
      for (int part = 0; part < decayParts.length && wantsDecayGradient(); part++) {
        addDecayGradient(part / partsPerHead % decay.length, decayParts[part]);
      }
    }

    @Override
    public double logDecay(int head, int row) {
      return Math.log(decay[head]);
    }

    double gamma(int head) {
      return decay[head];
    }

    @Override
    public double scale() {
      return scale;
    }

    @Override
    public boolean transforms() {
      return angles.length > 0;
    }

    @Override
    public void transform(float[] rows, int at, int position, int count) {
      turn(rows, at, position, count, 1);
    }

    /// The transpose of a rotation turns the other way.
    @Override
    public void transformBack(float[] rows, int at, int position, int count) {
      turn(rows, at, position, count, -1);
    }

    private void turn(float[] rows, int at, int position, int count, int direction) {
      int dim = 2 * angles.length;
      for (int a = 0; a < angles.length; a++) {
        double cos = Math.cos(position * angles[a]);
        double sin = Math.sin(position * angles[a]);
        for (int x = at + 2 * a; x < at + count * dim; x += dim) {
          rotate(rows, x, x + 1, cos, direction * sin);
          double next = cos * stepCos[a] - sin * stepSin[a];
          sin = sin * stepCos[a] + cos * stepSin[a];
          cos = next;
        }
      }
    }

    @Override
    public void restartPositions(float[] state, int at, int width, int positions) {
      turnState(state, at, width, -positions);
    }

    @Override
    public void restartPositionsBack(float[] state, int at, int width, int positions) {
      turnState(state, at, width, positions);
    }

    private void turnState(float[] state, int at, int width, int positions) {
      boolean relative = statePositions == StatePositions.RELATIVE;
      for (int a = 0; a < angles.length && relative; a++) {
        double cos = Math.cos(positions * angles[a]);
        double sin = Math.sin(positions * angles[a]);
        int row = at + 2 * a * width;
        for (int c = 0; c < width; c++) {
          rotate(state, row + c, row + width + c, cos, sin);
        }
      }
    }

    private static void rotate(float[] x, int even, int odd, double cos, double sin) {
      double first = x[even];
      double second = x[odd];
      x[even] = (float) (first * cos - second * sin);
      x[odd] = (float) (first * sin + second * cos);
    }
  }

  /// The recurrence and, on its output, what the two score normalisations and the root mean square
  /// do.
  private final class Normalised extends RecurrentPlan {
    private final RowNormalisation rows;

    Normalised(PlanRequest request, Rule rule) {
      super(request, rule, DEFAULT_CHUNK);
      rows = new RowNormalisation(shape, mask, rule, eps, workers, scratch);
    }

    @Override
    protected void compute(Tensor output) {
      super.compute(output);
      rows.apply(input("q"), input("k"), output.data(), UpdateRule.UNWANTED, UpdateRule.UNWANTED);
    }
  }

  /// As [Normalised], with the factor of each row kept for the backward pass.
  private final class NormalisedGradient extends RecurrentGradientPlan {
    private final RowNormalisation rows;
    private final float[] factors;
    private final float[] rests;

    NormalisedGradient(PlanRequest request, Rule rule) {
      super(request, rule, RecurrentPlan.DEFAULT_CHUNK);
      rows = new RowNormalisation(shape, mask, rule, eps, workers, scratch);
      factors = kept.floats((long) shape.problems() * shape.querySeqLen());
      rests = kept.floats((long) shape.problems() * shape.querySeqLen());
      rule.completion = rows;
    }

    @Override
    protected void compute(Tensor output) {
      super.compute(output);
      rows.apply(input("q"), input("k"), output.data(), factors, rests);
    }
  }
}
