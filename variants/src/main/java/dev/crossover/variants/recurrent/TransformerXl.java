// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.HEAD_DIM;
import static dev.crossover.attention.Axis.KEY;
import static dev.crossover.attention.Axis.MODEL_DIM;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Axis;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.FittedAttention;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CachingAttention;
import dev.crossover.attention.store.SlotStore;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;

/// Attention of a segment over a cached memory and itself, with positions that enter by distance
/// only.
///
/// Dai, Yang, Yang, Carbonell, Le and Salakhutdinov, "Transformer-XL: Attentive Language Models
/// Beyond a Fixed-Length Context", ACL 2019, arXiv:1901.02860, section 3.3; order of the sinusoid
/// and evaluation mode from the authors' code.
///
/// ```
/// r_D   = sinusoid(min(D, clamp_length)) W_r
/// s_ij  = ((q_i + u)·k_j + (q_i + v)·r_{i+m−j}) / √d      j ≤ i + m
/// out_i = Σ_j softmax_j(s_ij) v_j
/// sinusoid(D) = [sin(D f_0) … sin(D f_{p−1}), cos(D f_0) …],  f_t = 10000^(−2t/D_model)
/// ```
///
/// | paper     | here                  | shape                                       |
/// |-----------|-----------------------|---------------------------------------------|
/// | u, v      | `content_bias`, `position_bias` | `[numHeads, d]`                   |
/// | W_{k,R}   | `position_projection` | `[model_dim, numHeads · d]`, `sinusoid`     |
/// | R W_{k,R} | `projected_positions` | `[numHeads, nk, d]`, row t for distance nk − 1 − t, `given` |
/// | τ, m      | –                     | keys are memory then segment: nk = m + nq   |
///
/// The mask is always causal, offset m. Without `same_length` the lengths must satisfy nk =
/// memory_length + nq. With it, memory_length is nominal: every query sees the same number of keys,
/// memory_length once the memory is full. Padded keys are removed, which the source does not have.
/// Rows that may see no key are zero.
///
/// Time `6·pairs·d` and `2·nk·model_dim·d` for the positions; the position scores of a block of
/// queries are one product with r, read with a row stride one short so that each row is shifted by
/// one (the paper's appendix B). Scratch the packed keys, the sinusoids and r. Equals causal
/// softmax attention where r, u and v are zero. A sequence cut into segments that remember
/// everything before gives the rows of the uncut one.
///
/// Backward, with L the row's log-sum-exp and the sinusoids constant; derived from the equations:
///
/// ```
/// p_ij = exp(s_ij − L_i)      ds_ij = p_ij (∂out_i·v_j − ∂out_i·out_i) / √d
/// ∂q_i = Σ_j ds_ij (k_j + r_{i+m−j})      ∂k_j = Σ_i ds_ij (q_i + u)
/// ∂u = Σ_{b,i,j} ds_ij k_j      ∂v = Σ_{b,i,j} ds_ij r_{i+m−j}
/// ∂r_D = Σ ds_ij (q_i + v) over all pairs at distance D      ∂W_r = Rᵀ ∂r, R the clamped sinusoids
/// ```
///
/// Rows of the memory get their gradients too; that the source detaches them is the layer's affair.
/// Position scores and their gradients exist tile by tile only.
///
/// Decoding keeps the last memory_length keys and values and gives what a segment of one token with
/// that memory gives; with memory_length 0 it continues one segment and keeps all.
///
/// @param memoryLength keys before the first query, at least 0; at least 1 with `same_length`
/// @param sameLength evaluation mode: every query sees the same number of keys
/// @param positions where r comes from
/// @param clampLength larger distances count as this one; absent: no clamp
/// @param modelDim width of the sinusoid, even; absent: numHeads · d
/// @param seed seed of the drawn parameters
@Mechanism(
    name = "transformer_xl",
    title = "Transformer-XL",
    paper =
        "Dai et al., Transformer-XL: Attentive Language Models Beyond a Fixed-Length Context,"
            + " ACL 2019",
    arxiv = "1901.02860",
    family = Mechanism.Family.RECURRENT,
    approximates = Mechanism.Approximates.NONE,
    exactness = "zero positions and biases: causal softmax",
    time = "6 n² d",
    memory = "3 n d",
    exponent = 2,
    decoding =
        "not with positions=given: a token brings the position key of its own distance "
            + "only, not those of all earlier ones",
    bound =
        "three products per pair instead of two: position scores take 28 % of the time, the two "
            + "products of softmax 41 %, adding one to the other 7 %")
public record TransformerXl(
    @Parameter(value = "keys before the first query, >= 0", defaultValue = "0") int memoryLength,
    @Parameter(value = "every query sees the same number of keys", defaultValue = "false")
        boolean sameLength,
    @Parameter(value = "where the position keys come from", defaultValue = "sinusoid")
        Positions positions,
    @Parameter(value = "larger distances count as this one", defaultValue = "")
        OptionalInt clampLength,
    @Parameter(value = "width of the sinusoid, heads times d when absent", defaultValue = "")
        OptionalInt modelDim,
    @Parameter(value = "seed of the drawn parameters", defaultValue = "42") long seed)
    implements CachingAttention, FittedAttention {

  private static final double INITIAL_DEVIATION = 0.02;

  /// Where the position keys r come from.
  public enum Positions {
    /// From sinusoids of the distances through `position_projection`.
    SINUSOID,
    /// From `projected_positions`, as they are.
    GIVEN
  }

  /// Validates the parameters.
  public TransformerXl {
    int least = sameLength ? 1 : 0;
    if (memoryLength < least) {
      throw new IllegalArgumentException(
          "memory_length must be >= " + least + ", but was " + memoryLength);
    }
    if (clampLength.isPresent() && clampLength.getAsInt() < 1) {
      throw new IllegalArgumentException(
          "clamp_length must be >= 1, but was " + clampLength.getAsInt());
    }
    if (modelDim.isPresent() && (modelDim.getAsInt() < 2 || modelDim.getAsInt() % 2 != 0)) {
      throw new IllegalArgumentException(
          "model_dim must be even and >= 2, but was " + modelDim.getAsInt());
    }
  }

  /// A training segment after a memory.
  public TransformerXl(int memoryLength) {
    this(
        memoryLength,
        false,
        Positions.SINUSOID,
        OptionalInt.empty(),
        OptionalInt.empty(),
        Draws.DEFAULT_SEED);
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(Causality.ALWAYS)
        .keyPadding(Padding.ANY)
        .crossAttention(memoryLength > 0)
        .groupedQueries(true)
        .valueDim(true)
        .decoding(positions == Positions.SINUSOID)
        .gradients(true);
  }

  @Override
  public Attention fittedTo(Tensors inputs) {
    if (!inputs.has("position_projection")) {
      return this;
    }
    OptionalInt width = OptionalInt.of(inputs.get("position_projection").extent(0));
    return new TransformerXl(memoryLength, sameLength, positions, clampLength, width, seed);
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(s));
    specs.add(learned("content_bias", "added to q against keys", s, HEADS, HEAD_DIM));
    specs.add(learned("position_bias", "added to q against positions", s, HEADS, HEAD_DIM));
    if (positions == Positions.SINUSOID) {
      specs.add(
          learned(
              "position_projection",
              "projects sinusoids",
              s,
              Axis.of("model_width", modelWidth(s)),
              MODEL_DIM));
    } else {
      specs.add(
          TensorSpec.parameter(
              "projected_positions",
              "position keys, row t for distance nk - 1 - t, N(0,1)",
              Draws::gaussian,
              s,
              HEADS,
              KEY,
              HEAD_DIM));
    }
    return List.copyOf(specs);
  }

  private static TensorSpec learned(String name, String meaning, AttentionShape s, Axis... axes) {
    return TensorSpec.parameter(
        name,
        meaning + ", N(0,0.02²) as in the run scripts",
        (seed, shape) -> Draws.gaussian(seed, INITIAL_DEVIATION, shape),
        s,
        axes);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double pairs = 0;
    for (int i = 0; i < s.querySeqLen(); i++) {
      pairs += mask.causalLimit(i, s.querySeqLen(), s.keySeqLen()) - firstKey(s, i);
    }
    double projection =
        positions == Positions.SINUSOID
            ? 2.0 * s.keySeqLen() * modelWidth(s) * s.numHeads() * s.headDim()
            : 0;
    double flops = projection + s.problems() * pairs * (4.0 * s.headDim() + 2.0 * s.valueDim() + 6);
    double positionKeys = (double) Float.BYTES * s.keySeqLen() * s.numHeads() * s.headDim();
    return new Cost(
        flops,
        Cost.tensorBytes(s) + 3 * positionKeys,
        TransformerXlPlan.scratchBytes(this, s, threads));
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    requireLengths(request);
    return new TransformerXlPlan(this, request);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    requireLengths(request);
    return new TransformerXlDifferentiable(this, request);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    return TransformerXlDifferentiable.cost(this, s, mask, threads);
  }

  private void requireLengths(PlanRequest request) {
    AttentionShape s = request.shape();
    int memory = s.keySeqLen() - s.querySeqLen();
    if (sameLength ? memory < 0 : memory != memoryLength) {
      throw new IllegalArgumentException(
          "transformer_xl: keySeqLen must be "
              + (sameLength ? "at least querySeqLen" : "memory_length + querySeqLen")
              + " ("
              + (s.querySeqLen() + (sameLength ? 0 : memoryLength))
              + "), but was "
              + s.keySeqLen());
    }
    int offset = request.mask().causalOffset(s.querySeqLen(), s.keySeqLen());
    if (offset != memory) {
      throw new IllegalArgumentException(
          "transformer_xl: causal offset must be the memory's length ("
              + memory
              + "), but was "
              + offset);
    }
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads, CacheOptions cache) {
    if (positions == Positions.GIVEN) {
      return CachingAttention.super.decode(shape, threads);
    }
    return new TransformerXlSession(this, shape, SlotStore.storageOf(this, cache));
  }

  /// Width of the sinusoid.
  int modelWidth(AttentionShape s) {
    int width = s.numHeads() * s.headDim();
    return modelDim.orElse(width + width % 2);
  }

  /// First column of the position scores that counts: 0, or what leaves a query memory_length keys.
  int firstColumn(AttentionShape s) {
    return sameLength ? Math.max(0, s.keySeqLen() - memoryLength) : 0;
  }

  /// First key query `i` sees.
  int firstKey(AttentionShape s, int i) {
    int column = firstColumn(s);
    return column == 0 ? 0 : Math.max(0, column + i + 1 - s.querySeqLen());
  }

  /// Number of keys a decoded token sees at most, itself included; all with memory_length 0.
  int decodingWindow(int capacity) {
    int window = sameLength ? memoryLength : memoryLength + 1;
    return memoryLength == 0 ? capacity : Math.min(window, capacity);
  }

  /// sinusoid(min(distance, clamp_length)), all sines before all cosines; angles in double
  /// precision.
  ///
  /// @param step distance in `table` between two elements
  void sinusoid(int distance, int width, float[] table, int at, int step) {
    int half = width / 2;
    double position = Math.min(distance, clampLength.orElse(distance));
    for (int t = 0; t < half; t++) {
      double angle = position * Math.pow(10000, -2.0 * t / width);
      table[at + t * step] = (float) Math.sin(angle);
      table[at + (half + t) * step] = (float) Math.cos(angle);
    }
  }
}
