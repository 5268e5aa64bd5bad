// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.HEADS;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Axis;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.mechanism.Knob;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;

/// Softmax attention approximated through m landmarks by the Nyström method.
///
/// Xiong, Zeng, Chakraborty, Tan, Fung, Li and Singh, "Nyströmformer: A Nyström-Based Algorithm for
/// Approximating Self-Attention", AAAI 2021, arXiv:2102.03902, equations (10) to (14).
///
/// ```
/// q̃ = segment means of q,  k̃ = segment means of k
/// K1 = softmax(q k̃ᵀ / √d),  K2 = softmax(q̃ k̃ᵀ / √d),  K3 = softmax(q̃ kᵀ / √d)
/// out = K1 · (Z · (K3 v)) + conv(v),   Z ≈ pinv(K2) by `iterations` steps
/// ```
///
/// | paper | here              | shape                                            |
/// |-------|-------------------|--------------------------------------------------|
/// | m     | `landmarks`       | rows of q̃ and k̃                                 |
/// | A_S   | `landmark_kernel` | K2, `[batch, heads, m, m]`, result               |
/// | Z*    | `pseudo_inverse`  | `[batch, heads, m, m]`, result                   |
/// | D     | `conv_weight`     | `[heads, conv_kernel_size]`, skip convolution of v |
///
/// Time `8·n·m·d + 8·T·m³`, rows of K1 and K3 streamed, the m × m chain in double precision;
/// scratch about `4·m² + 4·m·d` per head. Causal order is refused: landmarks average over the
/// future. Equals exact attention where landmarks = nq = nk (no iteration is made then).
///
/// Padding, `authors`: rows of q and k count as zero in the segment means, which are still divided
/// by the segment's length; K3 hides padded keys. `masked_landmarks`: a landmark is divided by its
/// real rows plus eps and hidden if it has none; rows of hidden landmarks are uniform. Queries
/// count as padded where nq = nk; such rows weigh all landmarks alike under both rules, and all
/// real keys alike where attention is exact. A sequence without real keys gives zeros. Lengths
/// below `landmarks` are refused under `unequal`, because a segment would be empty; under
/// `front_padding` zero rows fill them up.
///
/// The `original` initial scale is one number for the whole batch, so that an output depends on the
/// other batch entries and heads; `exact` follows the paper and does not.
///
/// Backward, through all iterations (derived from the equations; checked against differences), with
/// C = K3 v, M = Z C and one iteration read as P = K2 Z, A = 7I − P, B = 15I − P A, D = 13I − P B,
/// Z' = ¼ Z D:
///
/// ```
/// ∂M = K1ᵀ ∂out      ∂Z = ∂M Cᵀ      ∂C = Zᵀ ∂M      ∂v = K3ᵀ ∂C
/// ∂D = ¼ Zᵀ ∂Z'      ∂B = −Pᵀ ∂D      ∂A = −Pᵀ ∂B      ∂P = −∂D Bᵀ − ∂B Aᵀ − ∂A
/// ∂Z = ¼ ∂Z' Dᵀ + K2ᵀ ∂P      ∂K2 += ∂P Zᵀ
/// Z_0 = K2ᵀ/s:  ∂K2 += ∂Z_0ᵀ/s,  ∂s = −Σ ∂Z_0 ∘ Z_0 / s, to the column with the largest sum
/// K = softmax(S):  ∂S = K ∘ (∂K − rowsum(∂K ∘ K)),  then to q, k, q̃, k̃ as in softmax attention
/// ∂q_i += ∂q̃_a / (length of segment a, or its real rows + eps),  ∂k_j alike
/// conv:  ∂v_p += Σ_j w_j ∂out_{p−j+⌊taps/2⌋},  ∂w_j = Σ_{b,t} ∂out_t · v_{t+j−⌊taps/2⌋}
/// ```
///
/// The scale s belongs to the graph; under `original` its gradient crosses batch entries. Which
/// column sum is the largest is constant, and so are the row sums, which are 1. K1 and K3 are
/// computed again; landmarks, K2, C, M and two numbers per row are kept.
///
/// @param landmarks m, at least 1
/// @param iterations T, at least 1
/// @param init scale of the first iterate
/// @param segmentRule what happens when m does not divide n
/// @param maskRule what padding does to landmarks
/// @param convKernelSize width of the skip convolution; absent: none; needs nq = nk
/// @param eps added to the count of real rows, `masked_landmarks` only
@Mechanism(
    name = "nystromformer",
    title = "Nyströmformer",
    paper =
        "Xiong et al., Nyströmformer: A Nyström-Based Algorithm for Approximating Self-Attention,"
            + " AAAI 2021",
    arxiv = "2102.03902",
    family = Mechanism.Family.LOW_RANK,
    approximates = Mechanism.Approximates.SOFTMAX,
    exactness = "landmarks = n",
    time = "8 n m d + 8 T m³",
    memory = "4 m² + 4 m d",
    exponent = 1,
    decoding =
        "none: landmarks and the pseudo-inverse take in all positions, later ones "
            + "included, so it cannot be causal",
    bound =
        "few landmarks, which do not repay packing every key once: the two products are 48 % of the"
            + " time, exponentials 12 %, packing 11 %, the pseudo-inverse in double precision 8 %",
    differences = {
      @Mechanism.Difference(
          what = "scale of the pseudo-inverse's first iterate",
          paper = "‖K2‖₁ ‖K2‖∞ of each head",
          code = "largest column sum over all heads and batch entries, which couples them",
          paperOption = "init=exact",
          codeOption = "init=original",
          defaultIs = "the code's, because published results were made with it",
          test = "NystromformerTest.publishedInitialisationCouplesBatchEntries")
    })
public record Nystromformer(
    @Knob(
            values = {16, 32, 64, 128, 256},
            costs = "landmarks m: 8 n m d")
        @Parameter(value = "number of landmarks m, >= 1", defaultValue = "64")
        int landmarks,
    @Parameter(value = "steps T of the pseudo-inverse, >= 1", defaultValue = "6") int iterations,
    @Parameter(value = "scale of the first iterate", defaultValue = "original") Init init,
    @Parameter(value = "segments when landmarks does not divide n", defaultValue = "unequal")
        SegmentRule segmentRule,
    @Parameter(value = "what padding does to landmarks", defaultValue = "authors")
        MaskRule maskRule,
    @Parameter(value = "width of the skip convolution, none when absent", defaultValue = "")
        OptionalInt convKernelSize,
    @Parameter(value = "added to the count of real rows (masked_landmarks)", defaultValue = "1e-8")
        double eps)
    implements Attention {

  /// Initial scale of the pseudo-inverse.
  public enum Init {
    /// Largest column sum of K2 over the whole batch.
    ORIGINAL,
    /// Largest column sum of each head's K2.
    EXACT,
    /// Largest column sum times largest row sum, both over the whole batch.
    GLOBAL_PRODUCT
  }

  /// Segments of a sequence that landmarks does not divide.
  public enum SegmentRule {
    /// The last segments are one row longer.
    UNEQUAL,
    /// Zero rows, marked as padding, are put in front.
    FRONT_PADDING
  }

  /// What padding does to landmarks.
  public enum MaskRule {
    /// Padded rows are zeros in the means.
    AUTHORS,
    /// Means over real rows; landmarks without one are hidden.
    MASKED_LANDMARKS
  }

  /// Validates the parameters.
  public Nystromformer {
    requirePositive("landmarks", landmarks);
    requirePositive("iterations", iterations);
    requirePositive("conv_kernel_size", convKernelSize.orElse(1));
    if (!(eps >= 0)) {
      throw new IllegalArgumentException("eps must be >= 0, but was " + eps);
    }
  }

  /// The authors' setting with another number of landmarks.
  public Nystromformer(int landmarks) {
    this(landmarks, 6, Init.ORIGINAL);
  }

  /// The authors' setting with other landmarks, iterations and initial scale.
  public Nystromformer(int landmarks, int iterations, Init init) {
    this(
        landmarks,
        iterations,
        init,
        SegmentRule.UNEQUAL,
        MaskRule.AUTHORS,
        OptionalInt.empty(),
        1e-8);
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .keyPadding(Padding.ANY)
        .crossAttention(convKernelSize.isEmpty())
        .groupedQueries(true)
        .valueDim(true)
        .gradients(true)
        .batchIndependent(init == Init.EXACT);
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(s));
    if (convKernelSize.isPresent()) {
      int taps = convKernelSize.getAsInt();
      specs.add(
          TensorSpec.parameter(
              "conv_weight",
              "skip convolution along the positions, N(0,1/conv_kernel_size)",
              (seed, shape) -> Draws.gaussian(seed, 1 / Math.sqrt(taps), shape),
              s,
              HEADS,
              Axis.of("taps", taps)));
    }
    return List.copyOf(specs);
  }

  @Override
  public List<TensorSpec> results(AttentionShape s) {
    if (isExact(s)) {
      return List.of();
    }
    Axis[] axes = {BATCH, HEADS, Axis.of("landmarks", landmarks), Axis.of("landmarks", landmarks)};
    return List.of(
        TensorSpec.result("landmark_kernel", "K2", s, axes),
        TensorSpec.result("pseudo_inverse", "Z after the last iteration", s, axes));
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double d = s.headDim();
    double dv = s.valueDim();
    double perPair = 2 * d + 2 * dv + 5;
    double pairs =
        isExact(s)
            ? (double) s.querySeqLen() * s.keySeqLen()
            : landmarks * ((double) s.querySeqLen() + s.keySeqLen());
    double chain =
        isExact(s)
            ? 0
            : (s.querySeqLen() + s.keySeqLen()) * d
                + landmarks * (double) landmarks * (2 * d + 2 * dv + 5)
                + PseudoInverse.flops(landmarks, iterations);
    double skip = 2.0 * s.querySeqLen() * dv * convKernelSize.orElse(0);
    return new Cost(
        s.problems() * (pairs * perPair + chain + skip),
        Cost.tensorBytes(s) + Float.BYTES * (double) s.problems() * s.keySeqLen() * d,
        NystromformerPlan.scratchBytes(this, s, threads));
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    requireLengths(request.shape());
    return new NystromformerPlan(this, request);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    requireLengths(request.shape());
    return isExact(request.shape())
        ? new NystromformerExactDifferentiable(this, request)
        : new NystromformerDifferentiable(this, request);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    return isExact(s)
        ? NystromformerExactDifferentiable.cost(this, s, mask, threads)
        : NystromformerDifferentiable.cost(this, s, mask, threads);
  }

  private void requireLengths(AttentionShape s) {
    int shortest = Math.min(s.querySeqLen(), s.keySeqLen());
    int least = segmentRule == SegmentRule.UNEQUAL ? landmarks : 1;
    if (shortest < least) {
      throw new IllegalArgumentException(
          "nystromformer: querySeqLen and keySeqLen must be at least landmarks ("
              + least
              + "), but was "
              + shortest);
    }
  }

  /// Whether the landmarks are the positions themselves.
  boolean isExact(AttentionShape s) {
    return landmarks == s.querySeqLen() && landmarks == s.keySeqLen();
  }

  private static void requirePositive(String name, int value) {
    if (value < 1) {
      throw new IllegalArgumentException(name + " must be >= 1, but was " + value);
    }
  }
}
