// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.HEAD_DIM;
import static dev.crossover.attention.Axis.KEY;
import static dev.crossover.attention.Axis.ONE;
import static dev.crossover.attention.Axis.VALUE_DIM;

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
import dev.crossover.attention.ExactTarget;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
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
import java.util.Map;

/// Random feature attention: linear attention over queries and keys of unit length, with random
/// Fourier features of the Gaussian kernel or ReLU features of the arc-cosine kernel, and an
/// optional forget gate.
///
/// Peng, Pappas, Yogatama, Schwartz, Smith, Kong: "Random Feature Attention", ICLR 2021,
/// arXiv:2103.02143, equations (4) to (7).
///
/// ```
/// x̂      = x/|x|                                     code: x/(|x| + 1e-3)
/// W      = sigma · random_projection / tau            sigma per channel, 1 if absent
/// φ(x)   = c [sin W x̂, cos W x̂]    gaussian          φ(x) = c relu(W x̂)    arccos
/// S_t    = g_t S_(t−1) + (1 − g_t) φ(k_t) v_tᵀ,   z_t likewise       gated; without gate both factors 1
/// out_t  = φ(q_t) S_t / (φ(q_t)·z_t)
/// ```
///
/// with c = D^(-1/2). The released code (`variant=code`) has c = 0.1 and a denominator of at least
/// 1.
///
/// | paper | here                | shape                           |
/// |-------|---------------------|---------------------------------|
/// | Q     | `q`                 | `[batch, numHeads, nq, d]`      |
/// | K     | `k`                 | `[batch, numHeads, nk, d]`      |
/// | V     | `v`                 | `[batch, numHeads, nk, dv]`     |
/// | w     | `random_projection` | `[numHeads, D, d]`, drawn from the seed if absent |
/// | σ     | `sigma`             | `[numHeads, 1, d]`, optional    |
/// | g     | `gate`              | `[batch, numHeads, n]` in (0, 1), gated only |
/// | S, z  | `final_state`, `final_normaliser` | `[batch, numHeads, M, dv]`, `[batch, numHeads, M]` |
///
/// Time `12·n·D·d` per head (arccos `8·n·D·d`); memory M·(dv + 1) with M = 2D (arccos D). Honours
/// every [Mask]; padding writes nothing, but the gate goes on forgetting; a row that may see no key
/// is zero. As D grows the gaussian form without gate tends to softmax attention over x̂ with scale
/// 1/tau².
///
/// *Backward*: dφ, dv as in [LinearTransformer], the gradient of the denominator being 0 in rows at
/// its lower bound (`variant=code`; the sign of the sum where its magnitude is bounded); then with
/// n = 1/|x| (code: 1/(|x| + 1e-3))
///
/// ```
/// gaussian  du = dφ₁ ∘ φ₂ − dφ₂ ∘ φ₁        arccos  du = c dφ where φ > 0
/// y = random_projectionᵀ du / tau,   dx̂ = sigma ∘ y,   dsigma = Σ x̂ ∘ y over queries and keys
/// dx = n (dx̂ − x (x·dx̂) n/|x|)
/// dg_t = ⟨dS_t, S_(t−1)⟩ + dz_t·z_(t−1) − φ(k_t)·dφ(k_t)      dφ(k_t) before 1 − g_t is multiplied in
/// ```
///
/// where dS_t, dz_t are the gradients of the sums after token t. `random_projection` is a constant.
///
/// @param variant paper or released code
/// @param kernel features
/// @param numFeatures rows D of the projection
/// @param tau divides the projection, greater than 0
/// @param gated whether `gate` is read; paper variant, causal
/// @param projection how random projections are drawn
/// @param seed seed of the projection
@Mechanism(
    name = "rfa",
    title = "Random Feature Attention",
    paper = "Peng et al., Random Feature Attention, ICLR 2021",
    arxiv = "2103.02143",
    family = Mechanism.Family.FEATURE_MAP,
    approximates = Mechanism.Approximates.SOFTMAX,
    target = "softmax over queries and keys of unit length",
    exactness = "error falls like 1/√num_features (gaussian, not gated), on unit-length q and k",
    time = "12 n D d",
    memory = "2 D d",
    padding = "writes nothing; a gate, where there is one, goes on forgetting",
    exponent = 1,
    bound =
        "products, near the peak, are half of the time; sines and cosines are a "
            + "tenth, norms, scaling and sums, each a pass over the features, the "
            + "rest",
    differences =
        @Mechanism.Difference(
            what = "normalisation of features and denominator",
            paper = "unit vectors, factor 1/√D, no bound",
            code = "norm + 1e-3, factor 0.1, denominator at least 1",
            paperOption = "variant=paper",
            codeOption = "variant=code",
            defaultIs = "the paper's: the code's bound damps early rows",
            test = "RfaTest.codeVariantDampsEarlyRows"))
public record Rfa(
    @Parameter(value = "paper or released code", defaultValue = "paper") Variant variant,
    @Parameter(value = "features", defaultValue = "gaussian") Kernel kernel,
    @Knob(
            values = {64, 128, 256, 512},
            costs = "features D: 12 n D d")
        @Parameter(value = "rows D of the projection, >= 1", defaultValue = "64")
        int numFeatures,
    @Parameter(value = "divides the projection, > 0", defaultValue = "1") double tau,
    @Parameter(value = "forget gate (paper, causal)", defaultValue = "false") boolean gated,
    @Parameter(value = "how the projection is drawn", defaultValue = "iid") Projection projection,
    @Parameter(value = "seed of the projection", defaultValue = "42") long seed)
    implements Attention {

  /// Whose normalisation.
  public enum Variant {
    /// The equations.
    PAPER,
    /// The released module.
    CODE
  }

  /// Random features.
  public enum Kernel {
    /// Sines and cosines.
    GAUSSIAN,
    /// ReLU.
    ARCCOS
  }

  /// Draws of the random projection.
  public enum Projection {
    /// Independent normal elements.
    IID,
    /// Orthogonal blocks with the lengths of independent normal vectors.
    REGULAR
  }

  /// Validates the numbers.
  public Rfa {
    if (numFeatures < 1) {
      throw new IllegalArgumentException("num_features must be >= 1, but was " + numFeatures);
    }
    if (!(tau > 0) || Double.isInfinite(tau)) {
      throw new IllegalArgumentException("tau must be > 0, but was " + tau);
    }
    if (gated && variant != Variant.PAPER) {
      throw new IllegalArgumentException("gated must be false with variant code, but was true");
    }
  }

  /// The paper's form without gate.
  public Rfa(Kernel kernel, int numFeatures, long seed) {
    this(Variant.PAPER, kernel, numFeatures, 1, false, Projection.IID, seed);
  }

  /// With the defaults: the paper's form, 64 Gaussian features.
  public Rfa() {
    this(Kernel.GAUSSIAN, 64, Draws.DEFAULT_SEED);
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(gated ? Causality.ALWAYS : Causality.OPTIONAL)
        .keyPadding(Padding.ANY)
        .crossAttention(!gated)
        .valueDim(true)
        .gradients(true)
        .decoding(true);
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(s));
    specs.add(
        TensorSpec.parameter(
                "random_projection",
                "random features of each head, one per row",
                this::draw,
                s,
                HEADS,
                Axis.of("random_features", numFeatures),
                HEAD_DIM)
            .constant());
    specs.add(
        TensorSpec.optional(
            "sigma",
            "factor on every channel of the projection",
            (drawSeed, shape) -> Draws.uniform(drawSeed, 0.5, 1.5, shape),
            s,
            HEADS,
            ONE,
            HEAD_DIM));
    if (gated) {
      specs.add(
          TensorSpec.input(
              "gate",
              "forget gate, uniform in (0.8, 0.99)",
              (drawSeed, shape) -> Draws.uniform(drawSeed, 0.8, 0.99, shape),
              s,
              BATCH,
              HEADS,
              KEY));
    }
    return List.copyOf(specs);
  }

  /// One independent projection per head.
  private Tensor draw(long drawSeed, int... shape) {
    if (projection == Projection.IID) {
      return Draws.gaussian(drawSeed, shape);
    }
    Tensor all = Tensor.zeros(shape);
    for (int h = 0; h < shape[0]; h++) {
      Tensor one =
          OrthogonalDraws.of(
              Draws.seedFor(drawSeed, "head " + h),
              OrthogonalDraws.Lengths.REGULAR,
              true,
              shape[1],
              shape[2]);
      System.arraycopy(one.data(), 0, all.data(), h * one.size(), one.size());
    }
    return all;
  }

  @Override
  public List<TensorSpec> results(AttentionShape s) {
    int b = s.batchSize();
    return List.of(
        TensorSpec.result(
            "final_state",
            "S after the last key",
            s,
            BATCH,
            HEADS,
            Axis.of("features", width()),
            VALUE_DIM),
        TensorSpec.result(
            "final_normaliser",
            "z after the last key",
            s,
            BATCH,
            HEADS,
            Axis.of("features", width())));
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double row = 2.0 * s.headDim() * (numFeatures + 1) + 2.0 * width();
    long scratch = RfaFeatures.scratchBytes(this, s, threads);
    return new LinearCost(s, mask, threads, width())
        .running(false, gated)
        .total(row, row, 0, scratch);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    double row = 4.0 * s.headDim() * (numFeatures + 2) + 5.0 * width();
    double again = gated ? 2.0 * s.headDim() * numFeatures + 2.0 * width() : 0;
    long scratch =
        RfaFeatures.scratchBytes(this, s, threads) + RfaFeatures.gradientBytes(this, threads);
    return new LinearCost(s, mask, threads, width())
        .running(false, gated)
        .gradient(row, row + again, scratch, new LinearCost.Parameters(s.headDim(), s.headDim()));
  }

  /// Softmax attention over unit-length queries and keys, stretched by sigma/tau per channel.
  @Override
  public ExactTarget exactTarget(AttentionShape shape, Mask mask, Tensors inputs) {
    return new ExactTarget(
        shape,
        mask,
        stretched(inputs.get("q"), inputs),
        stretched(inputs.get("k"), inputs),
        inputs.get("v"),
        1);
  }

  @Override
  public Map<String, double[]> targetGradients(
      Tensors inputs, double[] gradQuery, double[] gradKey) {
    return Map.of(
        "q", unstretched(inputs.get("q"), inputs, gradQuery),
        "k", unstretched(inputs.get("k"), inputs, gradKey));
  }

  /// dx = (g − x̂ (x̂·g))/|x| with g = sigma ∘ dy / tau, of y = sigma ∘ x̂ / tau.
  private double[] unstretched(Tensor x, Tensors inputs, double[] gradient) {
    int d = x.extent(3);
    double[] dx = new double[x.size()];
    for (int row = 0; row < x.size() / Math.max(1, d); row++) {
      int head = row / Math.max(1, x.extent(2)) % x.extent(1);
      int at = row * d;
      double squares = 0;
      double along = 0;
      for (int c = 0; c < d; c++) {
        double sigma = inputs.has("sigma") ? inputs.get("sigma").data()[head * d + c] : 1;
        dx[at + c] = gradient[at + c] * sigma / tau;
        squares += (double) x.data()[at + c] * x.data()[at + c];
        along += dx[at + c] * x.data()[at + c];
      }
      for (int c = 0; c < d; c++) {
        dx[at + c] =
            squares == 0
                ? 0
                : (dx[at + c] - along / squares * x.data()[at + c]) / Math.sqrt(squares);
      }
    }
    return dx;
  }

  private Tensor stretched(Tensor x, Tensors inputs) {
    int d = x.extent(3);
    Tensor y = Tensor.zeros(x.shape());
    for (int row = 0; row < x.size() / Math.max(1, d); row++) {
      int head = row / Math.max(1, x.extent(2)) % x.extent(1);
      double norm = 0;
      for (int c = 0; c < d; c++) {
        norm += (double) x.data()[row * d + c] * x.data()[row * d + c];
      }
      for (int c = 0; c < d && norm > 0; c++) {
        double sigma = inputs.has("sigma") ? inputs.get("sigma").data()[head * d + c] : 1;
        y.data()[row * d + c] = (float) (x.data()[row * d + c] / Math.sqrt(norm) * sigma / tau);
      }
    }
    return y;
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new LinearAttentionPlan(request, form(request.mask().isCausal()));
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    return new LinearDifferentiablePlan(request, form(request.mask().isCausal()));
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads) {
    return new LinearDecodeSession(this, shape, threads, form(true));
  }

  /// The released code bounds the sum itself in the causal form, its absolute value in the other.
  private LinearForm form(boolean causal) {
    Denominator bounded = causal ? Denominator.atLeast(1) : Denominator.magnitudeAtLeast(1);
    return new LinearForm(
        site -> new RfaFeatures(this, site), variant == Variant.CODE ? bounded : Denominator.PLAIN);
  }

  /// Number of features M: 2 D, or D for arccos.
  int width() {
    return kernel == Kernel.GAUSSIAN ? Math.multiplyExact(2, numFeatures) : numFeatures;
  }
}
