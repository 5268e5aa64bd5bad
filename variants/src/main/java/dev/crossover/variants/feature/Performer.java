// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import static dev.crossover.attention.Axis.HEAD_DIM;

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
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.linear.Denominator;
import dev.crossover.attention.linear.LinearAttentionPlan;
import dev.crossover.attention.linear.LinearCost;
import dev.crossover.attention.linear.LinearDecodeSession;
import dev.crossover.attention.linear.LinearDifferentiablePlan;
import dev.crossover.attention.linear.LinearForm;
import dev.crossover.attention.mechanism.Knob;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.random.OrthogonalDraws;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;

/// Performer: linear attention with random features whose products are unbiased estimates of the
/// softmax kernel (FAVOR+), or with a generalised kernel.
///
/// Choromanski, Likhosherstov, Dohan, Song, Gane, Sarlos, Hawkins, Davis, Mohiuddin, Kaiser,
/// Belanger, Colwell, Weller: "Rethinking Attention with Performers", ICLR 2021, arXiv:2009.14794,
/// equations (5) to (7), lemma 1 and algorithm 1.
///
/// ```
/// S     = Σ_j φ_k(k_j) v_jᵀ,     z = Σ_j φ_k(k_j)              causal: over j ≤ i
/// out_i = φ_q(q_i) S / r(φ_q(q_i)·z)
/// r(x)  = x + 2 s where |x| ≤ s, x elsewhere                    s = renorm_stabilizer
/// ```
///
/// The feature maps are those of [PerformerFeatures].
///
/// | paper | here                | shape                               |
/// |-------|---------------------|-------------------------------------|
/// | Q     | `q`                 | `[batch, numHeads, nq, d]`          |
/// | K     | `k`                 | `[batch, numKeyValueHeads, nk, d]`  |
/// | V     | `v`                 | `[batch, numKeyValueHeads, nk, dv]` |
/// | ω     | `random_projection` | `[numFeatures, d]`, one for all heads; drawn from the seed if absent |
///
/// Time `8·n·m·d` per head (hyperbolic and trigonometric `12·n·m·d`); memory M·(dv + 1). Honours
/// every [Mask]; a row that may see no key is zero. Tends to exact softmax attention as m grows,
/// with an error like 1/√m once m exceeds about exp(|q + k|²/√d), the relative variance of one
/// positive feature. On peaked input that is out of reach: on the built-in captured tensors
/// |q + k|²/√d has the median 72 (head 0) and 90 (head 1) for the key of largest weight, so that
/// e⁷² features would be needed.
///
/// *Backward*: dφ, dv as in [LinearTransformer], then with u = s ω x, g = s²|x|²/2, s = d^(-1/4)
///
/// ```
/// softmax_positive       du = dφ ∘ e, dg = −Σ du          e: the exponential without eps
/// softmax_hyperbolic     du = dφ₁ ∘ φ₁ − dφ₂ ∘ φ₂, dg = −Σ (dφ₁ ∘ φ₁ + dφ₂ ∘ φ₂)
/// softmax_trigonometric  du = dφ₂ ∘ φ₁ − dφ₁ ∘ φ₂, dg = Σ (dφ₁ ∘ φ₁ + dφ₂ ∘ φ₂), 0 for queries
/// relu                   du = dφ where φ > eps            s = 1, m^(-1/2) or without ω; no dg
/// dx = s ωᵀ du + s² dg x
/// ```
///
/// Constants: both subtracted maxima (the released PyTorch code detaches them, the JAX code does
/// not; it matters in the order of eps), the step of r, and ω.
///
/// *Large norms.* c holds no norm, so every feature is at most exp(−|x|²/(2√d)). Where that lies
/// below eps, features are all but the constant eps, sums of products fall below s, and the added
/// 2 s outweighs them: rows sum to nearly 0 instead of 1. The published code does the same in
/// double precision. `eps=0,renorm_stabilizer=0` is the estimator of the paper without either,
/// whose rows sum to 1 and whose error on such input is then that of its variance.
///
/// *Causality.* The published key maximum c of `softmax_positive` runs over all positions, those of
/// later tokens and padding included: it cancels but for eps, so that rows depend on keys they may
/// not see in the order of eps. `stabiliser=global` is that form, which golden files mean and which
/// cannot decode. `stabiliser=running`, the default, takes c over the keys that the query may see,
/// which makes every causal row equal to the form without mask on its prefix. Without a mask the
/// two are one.
///
/// *Differences from the code.* The trigonometric map scales each query by its own norm instead of
/// the largest over all positions, which cancels except in comparison with s. Projections are drawn
/// once, not on every call.
///
/// @param kernel the feature map
/// @param numFeatures rows m of the random projection
/// @param eps added to every feature (softmax_positive, relu): 1e-6, or 1e-3 for relu
/// @param renormStabilizer s: 1e-6, or 0 for relu
/// @param projection how random projections are drawn
/// @param qrSign whether their orthogonal matrices are uniform
/// @param stabiliser what the key maximum runs over under a mask
/// @param seed seed of the projection
@Mechanism(
    name = "performer",
    title = "Performer (FAVOR+)",
    paper = "Choromanski et al., Rethinking Attention with Performers, ICLR 2021",
    arxiv = "2009.14794",
    family = Mechanism.Family.FEATURE_MAP,
    approximates = Mechanism.Approximates.SOFTMAX,
    exactness =
        "error falls like 1/√num_features (softmax kernels), from about exp(‖q + k‖²/√d) on",
    time = "8 n m d",
    memory = "m d",
    exponent = 1,
    bound =
        "products, near the peak, are two thirds of the time; exponentials of "
            + "256 features per row and their maxima are a fifth, passes over "
            + "features in the second-level cache the rest; memory does not count",
    decoding = "not with stabiliser=global: the maximum it subtracts runs over later keys too",
    differences = {
      @Mechanism.Difference(
          what = "signs of the orthogonal random features",
          paper = "uniformly random orthogonal matrices",
          code = "Q of a QR factorisation as it comes, whose signs are not random: biased",
          paperOption = "qr_sign=fixed",
          codeOption = "qr_sign=raw",
          defaultIs = "the paper's: the code's kernel estimate is off by up to a third",
          test = "PerformerLawsTest.kernelEstimateIsUnbiasedOnlyWithTheSignFix"),
      @Mechanism.Difference(
          what = "maximum subtracted from key exponents under a mask",
          paper = "not specified",
          code = "over all positions, future ones and padding included",
          paperOption = "",
          codeOption = "stabiliser=global",
          defaultIs = "over visible keys: later tokens cannot change earlier rows",
          test = "PerformerTest.globalStabiliserLeaksTheFutureInTheOrderOfEps"),
      @Mechanism.Difference(
          what = "constants that keep features and denominators from zero",
          paper = "eps in the kernel only, denominators as they are",
          code = "1e-6 added to every feature, twice 1e-6 to denominators up to 1e-6",
          paperOption = "eps=0,renorm_stabilizer=0",
          codeOption = "",
          defaultIs = "the code's: on inputs of large norm its rows sum to nearly 0",
          test = "PerformerPeakedInputTest.rowsOfLargeNormSumToNearlyNothing"),
      @Mechanism.Difference(
          what = "ratio of the ReLU features",
          paper = "1/√m on every feature, which cancels (as in the JAX code, which has none)",
          code = "TensorFlow: inside the ReLU, where eps does not scale with it",
          paperOption = "kernel=relu",
          codeOption = "kernel=relu_tensorflow",
          defaultIs = "neither: the default kernel is softmax_positive",
          test = "PerformerTest.reluRatiosDifferThroughEpsOnly")
    })
public record Performer(
    @Parameter(value = "feature map", defaultValue = "softmax_positive") Kernel kernel,
    @Knob(
            values = {64, 128, 256, 512, 1024},
            costs = "features m: 8 n m d")
        @Parameter(value = "rows m of the random projection, >= 1", defaultValue = "256")
        int numFeatures,
    @Parameter(
            value = "added to every feature: 1e-6, or 1e-3 for relu, when absent; >= 0",
            defaultValue = "")
        OptionalDouble eps,
    @Parameter(
            value =
                "denominators no larger get twice this added: 1e-6, or 0 for relu, when absent;"
                    + " >= 0",
            defaultValue = "")
        OptionalDouble renormStabilizer,
    @Parameter(value = "how the projection is drawn", defaultValue = "regular")
        Projection projection,
    @Parameter(value = "whether orthogonal draws are uniform", defaultValue = "fixed")
        QrSign qrSign,
    @Parameter(
            value = "what the key maximum runs over under a mask",
            defaultValue = "running",
            goldenDefault = "global")
        Stabiliser stabiliser,
    @Parameter(value = "seed of the projection", defaultValue = "42") long seed)
    implements Attention {

  /// Feature maps.
  public enum Kernel {
    /// Positive features of the softmax kernel.
    SOFTMAX_POSITIVE,
    /// Positive features in pairs of opposite directions.
    SOFTMAX_HYPERBOLIC,
    /// Random Fourier features: not positive; the baseline of the paper.
    SOFTMAX_TRIGONOMETRIC,
    /// ReLU of the projection.
    RELU,
    /// ReLU of the projection divided by √m.
    RELU_TENSORFLOW,
    /// ReLU of the input itself.
    RELU_UNPROJECTED;

    /// Whether key features carry the scale of a running maximum.
    boolean isScaled() {
      return this == SOFTMAX_POSITIVE || this == SOFTMAX_TRIGONOMETRIC;
    }

    /// Whether products of features estimate the softmax kernel.
    boolean isSoftmax() {
      return this == SOFTMAX_POSITIVE
          || this == SOFTMAX_HYPERBOLIC
          || this == SOFTMAX_TRIGONOMETRIC;
    }
  }

  /// Draws of the random projection.
  public enum Projection {
    /// Orthogonal blocks, lengths of independent normal vectors.
    REGULAR,
    /// Orthogonal blocks, all lengths √d.
    SCALED,
    /// Independent normal elements.
    IID
  }

  /// Signs of orthogonal matrices.
  public enum QrSign {
    /// Uniform over the orthogonal group.
    FIXED,
    /// As the QR factorisation leaves them.
    RAW
  }

  /// Range of the key maximum under a mask.
  public enum Stabiliser {
    /// Keys that the query may see.
    RUNNING,
    /// All keys, as published.
    GLOBAL
  }

  /// Validates the numbers.
  public Performer {
    if (numFeatures < 1) {
      throw new IllegalArgumentException("num_features must be >= 1, but was " + numFeatures);
    }
    requireNotNegative("eps", eps);
    requireNotNegative("renorm_stabilizer", renormStabilizer);
  }

  private static void requireNotNegative(String name, OptionalDouble value) {
    double number = value.orElse(0);
    if (!(number >= 0) || Double.isInfinite(number)) {
      throw new IllegalArgumentException(name + " must be >= 0, but was " + number);
    }
  }

  /// A kernel with a number of features and a seed, everything else at its default.
  public Performer(Kernel kernel, int numFeatures, long seed) {
    this(
        kernel,
        numFeatures,
        OptionalDouble.empty(),
        OptionalDouble.empty(),
        Projection.REGULAR,
        QrSign.FIXED,
        Stabiliser.RUNNING,
        seed);
  }

  /// With the defaults: 256 positive features.
  public Performer() {
    this(Kernel.SOFTMAX_POSITIVE, 256, Draws.DEFAULT_SEED);
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(Causality.OPTIONAL)
        .keyPadding(Padding.ANY)
        .crossAttention(true)
        .groupedQueries(true)
        .valueDim(true)
        .gradients(true)
        .decoding(!readsAhead());
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(s));
    if (kernel != Kernel.RELU_UNPROJECTED) {
      specs.add(
          TensorSpec.parameter(
                  "random_projection",
                  "random features, one per row; drawn as `projection` and `qr_sign` say",
                  this::draw,
                  s,
                  Axis.of("features", numFeatures),
                  HEAD_DIM)
              .constant());
    }
    return List.copyOf(specs);
  }

  /// ω: orthogonal blocks with random lengths, or independent normal elements.
  private Tensor draw(long drawSeed, int... shape) {
    if (projection == Projection.IID) {
      return Draws.gaussian(drawSeed, shape);
    }
    OrthogonalDraws.Lengths lengths =
        projection == Projection.SCALED
            ? OrthogonalDraws.Lengths.SCALED
            : OrthogonalDraws.Lengths.REGULAR;
    return OrthogonalDraws.of(drawSeed, lengths, qrSign == QrSign.FIXED, shape[0], shape[1]);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double project = 2.0 * s.headDim() * numFeatures;
    double row = rowFlops(s);
    double keys = (double) s.batchSize() * s.numKeyValueHeads() * s.keySeqLen();
    double ahead = PerformerFeatures.readsAhead(this, mask) ? keys * (project + numFeatures) : 0;
    return new LinearCost(s, mask, threads, width(s))
        .running(isShifted(), kernel.isScaled())
        .total(row, row, ahead, PerformerFeatures.scratchBytes(this, s, mask, threads));
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    double row = rowFlops(s) + 2.0 * s.headDim() * numFeatures + 4.0 * width(s) + 2.0 * s.headDim();
    return new LinearCost(s, mask, threads, width(s))
        .running(isShifted(), kernel.isScaled())
        .gradient(
            row,
            row,
            PerformerFeatures.scratchBytes(this, s, mask, threads)
                + PerformerFeatures.gradientBytes(threads),
            LinearCost.Parameters.NONE);
  }

  private boolean isShifted() {
    return kernel == Kernel.SOFTMAX_POSITIVE && epsOrDefault() > 0;
  }

  /// Operations of the features of one row.
  private double rowFlops(AttentionShape s) {
    double project = 2.0 * s.headDim() * numFeatures;
    return switch (kernel) {
      case SOFTMAX_POSITIVE -> project + 4.0 * numFeatures + 2.0 * s.headDim();
      case SOFTMAX_HYPERBOLIC -> project + 5.0 * numFeatures + 2.0 * s.headDim();
      case SOFTMAX_TRIGONOMETRIC -> project + 4.0 * numFeatures + 2.0 * s.headDim();
      case RELU, RELU_TENSORFLOW -> project + 2.0 * numFeatures;
      case RELU_UNPROJECTED -> 2.0 * s.headDim();
    };
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new LinearAttentionPlan(request, form());
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    return new LinearDifferentiablePlan(request, form());
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads) {
    if (readsAhead()) {
      return Attention.super.decode(shape, threads);
    }
    return new LinearDecodeSession(this, shape, threads, form());
  }

  private LinearForm form() {
    return new LinearForm(
        site -> new PerformerFeatures(this, site), Denominator.awayFromZero(renormOrDefault()));
  }

  /// Number of features M: 2 m for pairs, m otherwise, d without projection.
  int width(AttentionShape s) {
    return switch (kernel) {
      case SOFTMAX_HYPERBOLIC, SOFTMAX_TRIGONOMETRIC -> Math.multiplyExact(2, numFeatures);
      case RELU_UNPROJECTED -> s.headDim();
      default -> numFeatures;
    };
  }

  /// eps, or its default for the kernel.
  double epsOrDefault() {
    return eps.orElse(kernel.isSoftmax() ? 1e-6 : 1e-3);
  }

  /// s, or its default for the kernel.
  double renormOrDefault() {
    return renormStabilizer.orElse(kernel.isSoftmax() ? 1e-6 : 0);
  }

  /// Whether plans under a mask look at all keys for a maximum first.
  boolean readsAhead() {
    return stabiliser == Stabiliser.GLOBAL
        && (kernel == Kernel.SOFTMAX_POSITIVE || kernel == Kernel.SOFTMAX_TRIGONOMETRIC);
  }
}
